"""Plans: what may speak about one action, for one partner and purpose, and for how long."""

from __future__ import annotations

import math

import msgspec
import pytest

from portcullis.domain.errors import NotCovered, NotPermitted
from portcullis.domain.plans import Plan, Plans
from portcullis.domain.policies import Partner, Policy
from tests.support.policies import LOAN, NOW, YEAR_S, a_list, agreement, measure, policy, published_lists


def plans_of(the_policy: Policy) -> Plans:
    return Plans(the_policy, published_lists(the_policy))


def ask(plans: Plans, now: float = NOW) -> Plan:
    return plans.plan("lender", "loan.apply", "lending", now)


def a_partner(*agreements: object, **changes: object) -> Partner:
    return Partner(name="lender", title="A lender", agreements=agreements, **changes)  # type: ignore[arg-type]


def test_a_plan_binds_the_measures_of_the_lists_agreed_by_their_number() -> None:
    lists = (a_list("first", measure("one"), measure("two")), a_list("second"), a_list("third"))
    plan = ask(plans_of(policy(*lists, partners=(a_partner(agreement(("first", "third"))),))))
    bound = {number: [(each.name, each.bit, each.list_number) for each in own] for number, own in plan.by_list.items()}
    assert {1: [("one", 1, 1), ("two", 2, 1)], 3: [("loans", 1, 3)]} == bound


def test_the_number_and_the_bit_are_the_editions() -> None:
    the_policy = policy(a_list("court", measure("one")))
    (published,) = published_lists(the_policy, measures=("gone", "one"))
    plan = ask(Plans(the_policy, [msgspec.structs.replace(published, number=700)]))
    assert [(700, 2)] == [(each.list_number, each.bit) for each in plan.by_list[700]]


def test_a_plan_is_compiled_once() -> None:
    plans = plans_of(policy())
    assert ask(plans) is ask(plans, NOW + 1)


def test_a_plan_holds_until_the_next_agreement_begins_or_ends() -> None:
    lists = (a_list("first"), a_list("second"))
    later = agreement(("second",), valid_from=NOW + 100, valid_until=NOW + 200)
    plans = plans_of(policy(*lists, partners=(a_partner(agreement(("first",)), later),)))
    assert (NOW - YEAR_S, NOW + 100) == (ask(plans).begins, ask(plans).ends)
    asked = [sorted(ask(plans, NOW + second).by_list) for second in (0, 99.9, 100, 199.9, 200, 99)]
    assert [[1], [1], [1, 2], [1, 2], [1], [1]] == asked


def test_an_agreement_that_never_changes_again_holds_for_good() -> None:
    ended = agreement(("court",), valid_from=0, valid_until=NOW - 1)
    plans = plans_of(policy(partners=(a_partner(ended),)))
    with pytest.raises(NotPermitted):
        ask(plans)
    current = agreement(("court",), valid_from=0, valid_until=NOW + 1)
    assert (0, NOW + 1) == ask(plans_of(policy(partners=(a_partner(current),))))[3:5]


def test_a_partner_without_agreements_may_ask_nothing() -> None:
    with pytest.raises(NotPermitted):
        ask(plans_of(policy(partners=(a_partner(),))))
    with pytest.raises(NotPermitted):
        plans_of(policy()).plan("stranger", "loan.apply", "lending", NOW)


@pytest.mark.parametrize("name", ["tea.drink", ""])
def test_an_action_that_nobody_declares_is_refused_as_one_of_others_is(name: str) -> None:
    plans = plans_of(policy())
    told = []
    for action in (name, "rail.ticket.purchase"):
        with pytest.raises(NotPermitted) as caught:
            plans.plan("lender", action, "lending", NOW)
        told.append((caught.value.message, caught.value.metadata))
        assert plans.binder("lender", action, "lending", NOW) is None
    assert told[0] == told[1]


def test_a_list_without_a_measure_on_the_action_covers_nothing() -> None:
    with pytest.raises(NotCovered):
        ask(plans_of(policy(a_list("court", measure(actions=("rail.ticket.purchase",))))))


def test_shadow_comes_from_the_measure_the_list_or_the_partner() -> None:
    def shadow(the_policy: Policy) -> bool:
        ((bound,),) = ask(plans_of(the_policy)).by_list.values()
        return bound.shadow

    assert not shadow(policy())
    assert shadow(policy(a_list("court", measure(shadow=True))))
    assert shadow(policy(a_list("court", shadow=True)))
    assert shadow(policy(partners=(a_partner(agreement(), shadow=True),)))


def test_a_plan_names_the_attributes_that_its_conditions_look_at() -> None:
    plan = ask(plans_of(policy(a_list("court", measure(when="amount > 5.0")))))
    assert ({"amount"}, {"amount": 0.0, "divisor": 1}) == (plan.looked_at, dict(plan.blank or {}))


def test_where_an_attribute_is_required_nothing_at_all_is_not_enough() -> None:
    rail = policy(
        a_list("court", measure(actions=("rail.ticket.purchase",))),
        partners=(a_partner(agreement(actions=("rail.ticket.purchase",))),),
    )
    assert None is plans_of(rail).plan("lender", "rail.ticket.purchase", "lending", NOW).blank


def test_outside_caller_identification_no_publication_period_counts() -> None:
    ((bound,),) = ask(plans_of(policy())).by_list.values()
    assert (-math.inf, math.inf) == (bound.published_from, bound.published_until)


def test_lists_that_are_not_the_policys_are_a_fault_at_once() -> None:
    with pytest.raises(ValueError, match="zip"):
        ask(Plans(policy(), []))


def test_a_suspended_list_does_not_speak_but_covers_its_actions() -> None:
    the_policy = policy(a_list("court", suspended=True), a_list("other"))
    assert [2] == list(ask(plans_of(the_policy)).by_list)
    alone = ask(plans_of(policy(a_list("court", suspended=True))))
    assert ({}, frozenset()) == (alone.by_list, alone.looked_at)


def test_a_plan_names_its_action_for_people() -> None:
    titled = msgspec.structs.replace(LOAN, title="Apply for a loan")
    plans = (plans_of(policy(actions=(action,))) for action in (LOAN, titled))
    assert ["loan.apply", "Apply for a loan"] == [ask(each).title for each in plans]
