"""Which policies may be loaded: names, actions, and the places of problems."""

from __future__ import annotations

import pytest

from portcullis.domain.policies import (
    Action,
    AttributeSpec,
    AttributeType,
    Partner,
    Policy,
    RestrictedList,
)
from portcullis.domain.policy_rules import check_policy
from tests.support.policies import CALL, LOAN, RAIL, a_list, agreement, measure, policy
from tests.support.policy_checks import refusals


def of_action(*attributes: AttributeSpec, name: str = "loan.apply") -> Policy:
    return policy(actions=(LOAN, RAIL, CALL, Action(name, attributes=attributes))[1 if name == "loan.apply" else 0 :])


def test_a_sound_policy_has_no_problems():
    assert [] == check_policy(policy())


def test_an_empty_policy_has_no_problems():
    assert [] == check_policy(Policy())


@pytest.mark.parametrize("name", ["", "Court", "court_list", "court list", "-court", "court-", "a--b", "ünder", "x" * 65])
def test_a_list_has_a_well_formed_name(name):
    place = f"list[{name or 0}].name"
    assert place in refusals(policy(a_list(name), partners=()))


@pytest.mark.parametrize(
    "name", ["", "loan", "loan.", ".loan", "Loan.apply", "loan_x.apply", "loan..apply", "a." + "x" * 63]
)
def test_an_action_has_a_dotted_name(name):
    assert f"action[{name or 0}].name" in refusals(Policy(actions=(Action(name),)))


def test_a_measure_has_a_well_formed_name():
    assert ["list[court].measure[New Loans].name"] == refusals(policy(a_list("court", measure("New Loans"))))


def test_a_partner_has_a_well_formed_name():
    assert ["partner[The Bank].name"] == refusals(policy(partners=(Partner("The Bank", "A bank", (agreement(),)),)))


def test_the_names_of_each_kind_are_unique():
    doubled = policy(
        a_list("court", measure("loans"), measure("loans")),
        a_list("court"),
        actions=(LOAN, LOAN),
        partners=(Partner("bank", "A bank", (agreement(),)),) * 2,
    )
    assert [
        "action[loan.apply].name",
        "list[court].name",
        "list[court].measure[loans].name",
        "partner[bank].name",
    ] == refusals(doubled)


def test_two_lists_may_have_measures_of_the_same_name():
    assert [] == refusals(policy(a_list("court"), a_list("tax")))


@pytest.mark.parametrize(
    "word",
    [
        *("score", "credit-score", "grade", "rank", "rating", "risk-ratings", "graded", "scoring"),
        *("creditscore", "scorecard", "score2", "risk-grade-3", "socialrating"),
    ],
)
def test_no_list_or_measure_is_named_as_a_score(word):
    """Rule 5."""
    scored = policy(a_list(word, measure(word)), partners=())
    assert {f"list[{word}].name", f"list[{word}].measure[{word}].name"} <= set(refusals(scored))


@pytest.mark.parametrize("name", ["score", "credit_score", "grade", "customer_rank", "rating"])
def test_no_attribute_is_named_as_a_score(name):
    """Rule 5."""
    checked = of_action(AttributeSpec(name, AttributeType.INT, default=0))
    assert f"action[loan.apply].attribute[{name}].name" in refusals(checked)


def test_no_action_is_named_as_a_score():
    """Rule 5."""
    assert ["action[person.score.compute].name"] == refusals(Policy(actions=(Action("person.score.compute"),)))


@pytest.mark.parametrize("name", ["stars", "underscore", "upgrade", "frank", "operating", "separating"])
def test_words_that_merely_contain_such_a_word_are_taken(name):
    assert [] == refusals(of_action(AttributeSpec(name, AttributeType.INT, default=0)))


@pytest.mark.parametrize("name", ["", "Amount", "in", "int", "a-b", "1a"])
def test_an_attribute_has_a_name_that_cel_takes(name):
    checked = of_action(AttributeSpec(name, AttributeType.INT, default=0))
    assert [f"action[loan.apply].attribute[{name or 0}].name"] == refusals(checked)


@pytest.mark.parametrize(("required", "default"), [(True, 1), (False, None)])
def test_an_attribute_is_either_required_or_has_a_default(required, default):
    checked = of_action(AttributeSpec("amount", AttributeType.INT, required=required, default=default))
    assert ["action[loan.apply].attribute[amount].default"] == refusals(checked)


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        (AttributeType.INT, True),
        (AttributeType.INT, 1.5),
        (AttributeType.INT, 2**63),
        (AttributeType.DOUBLE, "1"),
        (AttributeType.DOUBLE, float("inf")),
        (AttributeType.BOOL, 1),
        (AttributeType.STRING, 1),
        (AttributeType.STRING, "x" * 257),
    ],
)
def test_a_default_is_of_the_declared_type(kind, default):
    checked = of_action(AttributeSpec("amount", kind, default=default))
    assert ["action[loan.apply].attribute[amount].default"] == refusals(checked)


@pytest.mark.parametrize("default", [False, 0, ""])
def test_a_default_may_be_empty_or_zero(default):
    kinds = {bool: AttributeType.BOOL, int: AttributeType.INT, str: AttributeType.STRING}
    assert [] == refusals(of_action(AttributeSpec("amount", kinds[type(default)], default=default)))


def test_an_attribute_is_declared_once():
    twice = AttributeSpec("amount", AttributeType.INT, default=0)
    assert ["action[loan.apply].attribute[amount].name"] == refusals(of_action(twice, twice))


def test_an_action_declares_at_most_16_attributes():
    many = [AttributeSpec(f"a{number}", AttributeType.INT, default=0) for number in range(17)]
    assert ["action[loan.apply].attribute"] == refusals(of_action(*many))
    assert [] == refusals(of_action(*many[:16]))


def test_problems_name_the_file_that_each_part_stands_in():
    faulty = policy(
        a_list("court", measure("loans", message=""), authority=""),
        actions=(LOAN, Action("Bad.name"), RAIL, CALL),
        partners=(Partner("lender", "", (agreement(purposes=()),)),),
    )
    files = {"actions[1]": "actions.toml", "lists[0]": "lists/court.toml", "partners[0]": "partners/lender.toml"}
    assert [
        "actions.toml:action[Bad.name].name",
        "lists/court.toml:list.authority",
        "lists/court.toml:measure[loans].message",
        "partners/lender.toml:partner.title",
        "partners/lender.toml:agreement[0].purposes",
    ] == [problem.where for problem in check_policy(faulty, files)]


def test_every_problem_says_what_to_write_instead():
    faulty: RestrictedList = a_list("", measure("", actions=(), message=""), authority="", redress_url="", max_age_s=0)
    for problem in check_policy(policy(faulty)):
        assert problem.where
        assert problem.what
        assert problem.instead
