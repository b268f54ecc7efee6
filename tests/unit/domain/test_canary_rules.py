"""A list of canaries is known to the gateways and to nobody else."""

from __future__ import annotations

import msgspec
import pytest

from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.policy_rules import check_policy
from tests.support.policies import a_list, agreement, lender, measure, policy


def canaries(**changes: object) -> object:
    return msgspec.structs.replace(a_list("nobody"), **({"measures": (), "canary": True} | changes))


def faults(the_policy: Policy) -> list[str]:
    return [each.where for each in check_policy(the_policy)]


def the_policy(*lists: str, **changes: object) -> Policy:
    partner = lender(agreement(lists or ("court",)))
    return policy(a_list("court"), canaries(**changes), partners=(partner,))  # type: ignore[arg-type]


def test_a_list_of_canaries_needs_no_measure() -> None:
    assert [] == [each for each in faults(the_policy()) if "nobody" in each]


@pytest.mark.parametrize(
    ("changes", "key"), [({"measures": (measure(),)}, "canary"), ({"disclosure": Disclosure.PUBLIC}, "disclosure")]
)
def test_a_list_of_canaries_does_nothing_and_is_shown_to_nobody(changes: dict[str, object], key: str) -> None:
    assert any(each.endswith(key) and "nobody" in each for each in faults(the_policy(**changes)))


def test_a_list_of_canaries_stands_in_no_agreement() -> None:
    assert any(each.endswith(".lists") for each in faults(the_policy("court", "nobody")))
