"""The rules of one partner and its agreements, one by one."""

from __future__ import annotations

import pytest

from portcullis.domain.policies import (
    Partner,
    Policy,
)
from tests.support.policies import NOW, RAIL, a_list, agreement, measure, policy
from tests.support.policy_checks import refusals, warnings


def lender(**changes: object) -> Policy:
    return policy(partners=(Partner("lender", "A lender", (agreement(**changes),)),))


def test_an_agreement_begins_before_it_ends():
    assert ["partner[lender].agreement[0].valid_until"] == refusals(lender(valid_from=NOW, valid_until=NOW))


def test_an_agreement_names_declared_lists_and_actions():
    assert ["partner[lender].agreement[0].lists"] == refusals(lender(lists=("court", "curt")))
    assert ["partner[lender].agreement[0].actions"] == refusals(lender(actions=("loan.apply", "loan.applies")))


@pytest.mark.parametrize("key", ["lists", "actions", "purposes"])
def test_an_agreement_names_lists_actions_and_purposes(key):
    assert [f"partner[lender].agreement[0].{key}"] == refusals(lender(**{key: ()}))


@pytest.mark.parametrize(("key", "name"), [("lists", "court"), ("actions", "loan.apply")])
def test_an_agreement_names_each_once(key, name):
    assert [f"partner[lender].agreement[0].{key}"] == refusals(lender(**{key: (name, name)}))


def test_a_purpose_has_a_well_formed_name():
    assert ["partner[lender].agreement[0].purposes"] == refusals(lender(purposes=("Any purpose",)))


def test_an_action_that_no_list_of_the_agreement_covers_gives_a_warning():
    assert ["partner[lender].agreement[0].actions"] == warnings(lender(actions=("loan.apply", "call.identify")))


def test_a_list_that_covers_no_action_of_the_agreement_gives_a_warning():
    two = policy(a_list("court"), a_list("rail", measure("m", actions=(RAIL.name,), when="train.startsWith('G')")))
    assert ["partner[lender].agreement[0].lists"] == warnings(two)


def test_a_partner_without_an_agreement_gives_a_warning():
    assert ["partner[lender]"] == warnings(policy(partners=(Partner("lender", "A lender", ()),)))


def test_a_partner_has_a_title():
    assert ["partner[lender].title"] == refusals(policy(partners=(Partner("lender", "", (agreement(),)),)))
