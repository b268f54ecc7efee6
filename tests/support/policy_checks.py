"""Checks of policies in tests: which places are refused, which only warned of."""

from __future__ import annotations

from portcullis.domain.policies import Policy
from portcullis.domain.policy_rules import check_policy


def refusals(checked: Policy) -> list[str]:
    """The places of the problems that prevent loading."""
    return [problem.where for problem in check_policy(checked) if not problem.warning]


def warnings(checked: Policy) -> list[str]:
    """The places of the problems that do not."""
    return [problem.where for problem in check_policy(checked) if problem.warning]
