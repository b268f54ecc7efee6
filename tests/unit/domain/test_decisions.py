"""Deciding, rule by rule, and against a plain model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.conditions import Condition
from portcullis.domain.decisions import ALLOWED, Outcome, Verdict, decide, stale_lists
from portcullis.domain.editions import FORMAT, Edition
from portcullis.domain.errors import NotCovered, NotPermitted
from portcullis.domain.plans import Plans
from portcullis.domain.policies import Disclosure, Effect, OnStale, Partner, Policy, RestrictedList
from portcullis.domain.records import ALL_MEASURES, Record, encode_body
from portcullis.domain.segments import join_segments
from tests.support.policies import NOW, RAIL, YEAR_S, a_list, agreement, measure, policy, published_lists

TOKEN = b"t" * 16
OTHER = b"o" * 16


def a_record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "list_number": 1,
        "legal_index": 0,
        "until": NOW + 100,
        "entry_id": 1,
        "case_reference": "case-1",
    }
    return Record(**(values | changes))


def ask(
    the_policy: Policy,
    index: Mapping[bytes, list[Record]],
    *,
    probes: tuple[tuple[bytes, bool], ...] = ((TOKEN, False),),
    age_s: float = 0.0,
    action: str = "loan.apply",
    purpose: str = "lending",
    attributes: dict[str, Any] | None = None,
    now: float = NOW,
    stalled: Mapping[int, float] | None = None,
) -> Verdict:
    """Ask as the lender; ``stalled`` says since when lists, by number, can't be brought up to date."""
    edition = an_edition(the_policy, stalled or {})
    plan = Plans(the_policy, edition.lists).plan("lender", action, purpose, now)
    replica = {token: value_of(records) for token, records in index.items()}
    bound = plan.binder.bind(list((attributes or {}).items()))
    return decide(plan, probes, bound, replica.get, now, stale_lists(edition, now, age_s))


def an_edition(the_policy: Policy, stalled: Mapping[int, float]) -> Edition:
    lists = tuple(msgspec.structs.replace(each, stalled_at=stalled.get(each.number)) for each in published_lists(the_policy))
    return Edition(
        format=FORMAT, version=1, published_at=NOW, registry_seq=1, policy=the_policy, lists=lists, credentials=()
    )


def value_of(records: Iterable[Record]) -> bytes:
    numbers = sorted({each.list_number for each in records})
    return join_segments((number, encode_body(each for each in records if each.list_number == number)) for number in numbers)


def rail_policy(*measures: Any, **changes: Any) -> Policy:
    court = a_list("court", *measures, **changes)
    partner = Partner(
        name="lender",
        title="A ticket office",
        agreements=(agreement(actions=("rail.ticket.purchase",), purposes=("ticketing",)),),
    )
    return policy(court, partners=(partner,))


def test_a_customer_on_no_list_is_allowed_without_a_trace() -> None:
    assert ALLOWED is ask(policy(), {OTHER: [a_record()]})


def test_a_listed_customer_is_restricted_with_the_reason() -> None:
    verdict = ask(policy(), {TOKEN: [a_record()]})
    assert Outcome.RESTRICT == verdict.outcome
    assert ["case-1"] == [hit.record.case_reference for hit in verdict.hits if hit.record]


def test_an_entry_past_its_end_has_no_effect() -> None:
    assert Outcome.ALLOW == ask(policy(), {TOKEN: [a_record(until=NOW)]}).outcome
    assert Outcome.RESTRICT == ask(policy(), {TOKEN: [a_record(until=NOW + 1)]}).outcome


def test_expiry_is_judged_at_check_time_even_if_the_feed_died_years_ago() -> None:
    late = NOW + YEAR_S // 2
    verdict = ask(policy(), {TOKEN: [a_record(until=NOW + 1)]}, now=late)
    assert Outcome.ALLOW == verdict.outcome


def test_an_entry_that_has_not_begun_has_no_effect() -> None:
    assert Outcome.ALLOW == ask(policy(), {TOKEN: [a_record(valid_from=NOW + 1)]}).outcome
    assert Outcome.RESTRICT == ask(policy(), {TOKEN: [a_record(valid_from=NOW)]}).outcome


def test_a_stayed_entry_has_no_effect() -> None:
    assert Outcome.ALLOW == ask(policy(), {TOKEN: [a_record(stayed=True)]}).outcome


@pytest.mark.parametrize("on_stale", OnStale)
def test_a_suspended_list_refuses_nobody_whoever_is_on_it_and_however_old_it_is(on_stale: OnStale) -> None:
    court = a_list("court", measure(on_stale=on_stale), suspended=True)
    index = {TOKEN: [a_record()]}
    assert (Outcome.ALLOW, False, ()) == told(ask(policy(court), index))
    assert (Outcome.ALLOW, False, ()) == told(ask(policy(court), index, age_s=1e9))
    assert ALLOWED is ask(policy(court), {}, age_s=1e9)
    other = ask(policy(court, a_list("other")), {TOKEN: [a_record(), a_record(list_number=2, entry_id=2)]})
    assert ["other"] == [hit.measure.list.name for hit in other.hits]


def told(verdict: Verdict) -> tuple[Outcome, bool, object]:
    return verdict.outcome, verdict.degraded, verdict.hits


def test_an_entry_narrowed_to_other_measures_has_no_effect_here() -> None:
    two = policy(a_list("court", measure("one"), measure("two", effect=Effect.REVIEW)))
    assert Outcome.REVIEW == ask(two, {TOKEN: [a_record(measures=0b10)]}).outcome
    assert Outcome.RESTRICT == ask(two, {TOKEN: [a_record(measures=ALL_MEASURES)]}).outcome


def test_a_weak_match_can_only_review() -> None:
    verdict = ask(policy(), {TOKEN: [a_record()]}, probes=((TOKEN, True),))
    assert Outcome.REVIEW == verdict.outcome
    assert [Effect.REVIEW] == [hit.effect for hit in verdict.hits]


@pytest.mark.parametrize("effect", [Effect.NOTICE, Effect.GRANT])
def test_a_weak_match_gives_neither_notice_nor_grant(effect: Effect) -> None:
    verdict = ask(policy(a_list("court", measure(effect=effect))), {TOKEN: [a_record()]}, probes=((TOKEN, True),))
    assert () == verdict.hits


def test_an_exact_match_beside_a_weak_one_of_the_same_entry_restricts() -> None:
    verdict = ask(policy(), {TOKEN: [a_record()], OTHER: [a_record()]}, probes=((OTHER, True), (TOKEN, False)))
    assert Outcome.RESTRICT == verdict.outcome
    assert 1 == len(verdict.hits)


def test_restrict_beats_review_beats_allow_and_the_others_ride_along() -> None:
    lists = (
        a_list("grants", measure(effect=Effect.GRANT)),
        a_list("reviews", measure(effect=Effect.REVIEW)),
        a_list("notices", measure(effect=Effect.NOTICE)),
        a_list("refusals", measure()),
    )
    index = {TOKEN: [a_record(list_number=number, entry_id=number) for number in range(1, 5)]}
    verdict = ask(policy(*lists), index)
    assert Outcome.RESTRICT == verdict.outcome
    assert [Effect.RESTRICT, Effect.REVIEW, Effect.NOTICE, Effect.GRANT] == [hit.effect for hit in verdict.hits]


def test_a_condition_is_asked_once_however_many_entries_a_list_has_on_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    holds = Condition.holds
    monkeypatch.setattr(Condition, "holds", lambda self, values: asked.append(self.text) or holds(self, values))
    lists = (a_list("court", measure(when="amount > 1.0"), measure("more", when="amount > 2.0")),)
    verdict = ask(policy(*lists), {TOKEN: [a_record(entry_id=number) for number in range(50)]}, attributes={"amount": 5.0})
    assert 100 == len(verdict.hits)
    assert ["amount > 1.0", "amount > 2.0"] == sorted(asked)


def test_a_condition_that_does_not_hold_leaves_the_customer_alone() -> None:
    big = policy(a_list("court", measure(when="amount > 1000.0")))
    assert Outcome.ALLOW == ask(big, {TOKEN: [a_record()]}, attributes={"amount": 1000.0}).outcome
    assert Outcome.RESTRICT == ask(big, {TOKEN: [a_record()]}, attributes={"amount": 1000.5}).outcome


def test_a_condition_that_cannot_be_evaluated_asks_a_person() -> None:
    broken = policy(a_list("court", measure(when="10 / divisor > 1")))
    assert Outcome.REVIEW == ask(broken, {TOKEN: [a_record()]}, attributes={"divisor": 0}).outcome


def test_a_condition_that_this_release_cannot_read_asks_a_person_and_leaves_the_other_lists_their_say() -> None:
    lists = (a_list("broken", measure(when="amount >")), a_list("sound", measure()))
    assert Outcome.REVIEW == ask(policy(*lists), {TOKEN: [a_record()]}).outcome
    assert Outcome.RESTRICT == ask(policy(*lists), {TOKEN: [a_record(), a_record(list_number=2)]}).outcome
    assert ALLOWED is ask(policy(*lists), {})


@pytest.mark.parametrize(
    ("on_stale", "outcome"),
    [(OnStale.ALLOW, Outcome.ALLOW), (OnStale.REVIEW, Outcome.REVIEW), (OnStale.RESTRICT, Outcome.RESTRICT)],
)
def test_past_the_greatest_age_the_declared_fail_mode_applies_to_everyone(on_stale: OnStale, outcome: Outcome) -> None:
    stale = policy(a_list("court", measure(on_stale=on_stale), max_age_s=60))
    for index in ({}, {TOKEN: [a_record()]}):
        verdict = ask(stale, index, age_s=60.1)
        assert (outcome, True) == (verdict.outcome, verdict.degraded)
    assert ALLOWED is ask(stale, {}, age_s=60.0)


@pytest.mark.parametrize("effect", [Effect.NOTICE, Effect.GRANT])
@pytest.mark.parametrize("on_stale", [OnStale.RESTRICT, OnStale.REVIEW])
def test_a_label_or_benefit_never_turns_into_a_refusal_of_everyone(effect: Effect, on_stale: OnStale) -> None:
    stale = policy(a_list("court", measure(effect=effect, on_stale=on_stale), max_age_s=-1))
    for index in ({}, {TOKEN: [a_record()]}):
        verdict = ask(stale, index)
        assert (Outcome.ALLOW, (), True) == (verdict.outcome, verdict.hits, verdict.degraded)


def test_a_stale_list_leaves_the_fresh_ones_their_say() -> None:
    lists = (a_list("old", measure(), max_age_s=1), a_list("fresh", measure(), max_age_s=1000))
    verdict = ask(policy(*lists), {TOKEN: [a_record(list_number=2)]}, age_s=10)
    assert (Outcome.RESTRICT, True) == (verdict.outcome, verdict.degraded)
    assert ["fresh"] == [hit.measure.list.name for hit in verdict.hits]


@pytest.mark.parametrize(
    ("on_stale", "outcome"),
    [(OnStale.ALLOW, Outcome.ALLOW), (OnStale.REVIEW, Outcome.REVIEW), (OnStale.RESTRICT, Outcome.RESTRICT)],
)
def test_a_list_that_the_publisher_cannot_bring_up_to_date_grows_old_alone(on_stale: OnStale, outcome: Outcome) -> None:
    lists = (a_list("stuck", measure(on_stale=on_stale), max_age_s=60), a_list("other", measure(), max_age_s=60))
    verdict = ask(policy(*lists), {}, age_s=1, stalled={1: NOW - 61})
    assert (outcome, True) == (verdict.outcome, verdict.degraded)
    assert ALLOWED is ask(policy(*lists), {}, age_s=1, stalled={1: NOW - 60})
    listed = ask(policy(*lists), {TOKEN: [a_record(list_number=2)]}, age_s=1, stalled={1: NOW - 61})
    assert (Outcome.RESTRICT, True) == (listed.outcome, listed.degraded)


def test_a_list_is_never_younger_than_its_snapshot() -> None:
    stuck = policy(a_list("court", measure(on_stale=OnStale.REVIEW), max_age_s=60))
    assert Outcome.REVIEW == ask(stuck, {}, age_s=61, stalled={1: NOW - 1}).outcome


def test_a_stalled_list_that_the_plan_does_not_ask_degrades_nothing() -> None:
    lists = (a_list("court", measure()), a_list("stuck", measure(on_stale=OnStale.RESTRICT), max_age_s=60))
    the_policy = policy(*lists, partners=(Partner(name="lender", title="A lender", agreements=(agreement(),)),))
    assert ALLOWED is ask(the_policy, {}, stalled={2: NOW - 1000})
    listed = ask(the_policy, {TOKEN: [a_record()]}, stalled={2: NOW - 1000})
    assert (Outcome.RESTRICT, False) == (listed.outcome, listed.degraded)


def test_a_bit_means_what_the_edition_says_and_not_the_place_in_the_policy() -> None:
    the_policy = policy(a_list("court", measure("new"), measure("old", effect=Effect.REVIEW)))
    (published,) = published_lists(the_policy, measures=("gone", "old", "new"))
    plan = Plans(the_policy, [published]).plan("lender", "loan.apply", "lending", NOW)

    def outcome(mask: int) -> Outcome:
        value = value_of([a_record(measures=mask)])
        return decide(plan, [(TOKEN, False)], plan.binder.bind(()), {TOKEN: value}.get, NOW, frozenset()).outcome

    assert [Outcome.ALLOW, Outcome.REVIEW, Outcome.RESTRICT] == [outcome(0b001), outcome(0b010), outcome(0b100)]


def test_records_of_a_list_that_the_edition_does_not_have_say_nothing() -> None:
    assert Outcome.ALLOW == ask(policy(), {TOKEN: [a_record(list_number=9)]}).outcome


@pytest.mark.parametrize("effect", [Effect.RESTRICT, Effect.REVIEW])
def test_a_stale_list_whose_condition_cannot_be_evaluated_asks_a_person(effect: Effect) -> None:
    stale = policy(a_list("court", measure(effect=effect, on_stale=OnStale.RESTRICT, when="1 / divisor > 0"), max_age_s=1))
    for index in ({}, {TOKEN: [a_record()]}):
        assert Outcome.REVIEW == ask(stale, index, age_s=10, attributes={"divisor": 0}).outcome
        assert Outcome.RESTRICT == ask(stale, index, age_s=10, attributes={"divisor": 1}).outcome


def test_a_weak_match_is_no_ground_for_a_stale_refusal() -> None:
    stale = policy(a_list("court", measure(on_stale=OnStale.RESTRICT), max_age_s=1))
    verdict = ask(stale, {TOKEN: [a_record()]}, probes=((TOKEN, True),), age_s=10)
    assert [None] == [hit.record for hit in verdict.hits]


def test_a_measure_in_shadow_shapes_the_shadow_outcome_alone() -> None:
    verdict = ask(policy(a_list("court", measure(shadow=True))), {TOKEN: [a_record()]})
    assert (Outcome.ALLOW, Outcome.RESTRICT) == (verdict.outcome, verdict.shadow_outcome)


def test_a_list_in_shadow_shapes_the_shadow_outcome_alone() -> None:
    verdict = ask(policy(a_list("court", shadow=True)), {TOKEN: [a_record()]})
    assert (Outcome.ALLOW, Outcome.RESTRICT) == (verdict.outcome, verdict.shadow_outcome)


def test_a_partner_in_shadow_is_only_shown_what_would_have_been() -> None:
    lender = Partner(name="lender", title="A lender", agreements=(agreement(),), shadow=True)
    verdict = ask(policy(partners=(lender,)), {TOKEN: [a_record()]})
    assert (Outcome.ALLOW, Outcome.RESTRICT) == (verdict.outcome, verdict.shadow_outcome)


def test_without_shadow_there_is_no_shadow_outcome() -> None:
    assert None is ask(policy(), {TOKEN: [a_record()]}).shadow_outcome


def test_an_ordinary_seat_is_never_refused_whatever_the_measure_says() -> None:
    careless = rail_policy(measure(actions=("rail.ticket.purchase",), on_stale=OnStale.RESTRICT), max_age_s=60)
    rail: dict[str, Any] = {"action": "rail.ticket.purchase", "purpose": "ticketing"}
    for age_s in (0, 1000):
        ordinary = ask(careless, {TOKEN: [a_record()]}, attributes={"train": "K101"}, age_s=age_s, **rail)
        assert (Outcome.ALLOW, ()) == (ordinary.outcome, ordinary.hits)
    express = ask(careless, {TOKEN: [a_record()]}, attributes={"train": "G101"}, **rail)
    assert Outcome.RESTRICT == express.outcome


@pytest.mark.parametrize("effect", [Effect.NOTICE, Effect.GRANT])
def test_an_ordinary_seat_gets_no_label_whatever_the_measure_says(effect: Effect) -> None:
    careless = rail_policy(measure(actions=("rail.ticket.purchase",), effect=effect, on_stale=OnStale.ALLOW))
    rail: dict[str, Any] = {"action": "rail.ticket.purchase", "purpose": "ticketing"}
    assert () == ask(careless, {TOKEN: [a_record()]}, attributes={"train": "K101"}, **rail).hits
    assert 1 == len(ask(careless, {TOKEN: [a_record()]}, attributes={"train": "G101"}, **rail).hits)


def test_an_action_outside_the_agreement_is_refused() -> None:
    with pytest.raises(NotPermitted):
        ask(policy(), {}, action="rail.ticket.purchase", attributes={"train": "G1"})


def test_a_purpose_outside_the_agreement_is_refused() -> None:
    with pytest.raises(NotPermitted):
        ask(policy(), {}, purpose="curiosity")


def test_an_action_that_nobody_declares_is_refused() -> None:
    with pytest.raises(NotPermitted):
        ask(policy(), {}, action="tea.drink")


def test_an_action_that_no_list_covers_is_an_error_and_no_silent_allow() -> None:
    uncovered = policy(a_list("court", measure(actions=("rail.ticket.purchase",), when='train.startsWith("G")')))
    with pytest.raises(NotCovered):
        ask(uncovered, {})


def test_an_agreement_ends_on_its_day_though_its_plan_was_compiled_before() -> None:
    plans = Plans(policy(), published_lists(policy()))
    plans.plan("lender", "loan.apply", "lending", NOW)
    with pytest.raises(NotPermitted):
        plans.plan("lender", "loan.apply", "lending", NOW + YEAR_S)


def test_a_list_only_for_the_authority_has_no_effect_at_partners() -> None:
    with pytest.raises(NotCovered):
        ask(policy(a_list(disclosure=Disclosure.AUTHORITY_ONLY)), {TOKEN: [a_record()]})


def caller_policy(**changes: Any) -> Policy:
    notices: RestrictedList = a_list("notices", measure(actions=("call.identify",), effect=Effect.NOTICE), **changes)
    partner = Partner(
        name="lender",
        title="An app",
        agreements=(agreement(("notices",), actions=("call.identify",), purposes=("caller-identification",)),),
    )
    return policy(notices, partners=(partner,))


def look_up(the_policy: Policy) -> Verdict:
    return ask(the_policy, {TOKEN: [a_record()]}, action="call.identify", purpose="caller-identification")


def test_caller_identification_is_off_unless_the_list_is_public() -> None:
    with pytest.raises(NotCovered):
        look_up(caller_policy(disclosure=Disclosure.RESTRICTED, published_from=0, published_until=NOW + 1))


@pytest.mark.parametrize(("begins", "ends", "shown"), [(0, NOW + 1, 1), (0, NOW, 0), (NOW + 1, NOW + 2, 0), (None, None, 0)])
def test_caller_identification_is_off_outside_the_publication_period(
    begins: int | None, ends: int | None, shown: int
) -> None:
    verdict = look_up(caller_policy(disclosure=Disclosure.PUBLIC, published_from=begins, published_until=ends))
    assert shown == len(verdict.hits)


effects = st.sampled_from(Effect)
listing = st.tuples(st.integers(0, 2), st.integers(-50, 50), st.integers(-50, 50), st.booleans(), st.booleans())


@given(st.tuples(effects, effects, effects), st.lists(listing, max_size=6))
def test_the_outcome_is_that_of_a_plain_model(kinds: tuple[Effect, ...], listings: list[tuple[Any, ...]]) -> None:
    lists = tuple(a_list(f"list-{place}", measure(effect=kind)) for place, kind in enumerate(kinds))
    index: dict[bytes, list[Record]] = {}
    expected = Outcome.ALLOW
    for number, (place, start, end, stayed, weak) in enumerate(listings):
        record = a_record(
            list_number=place + 1, entry_id=number, valid_from=max(NOW + start, 1), until=NOW + end, stayed=stayed
        )
        index.setdefault(OTHER if weak else TOKEN, []).append(record)
        if start <= 0 < end and not stayed and kinds[place] in {Effect.RESTRICT, Effect.REVIEW}:
            refuses = kinds[place] is Effect.RESTRICT and not weak
            expected = Outcome.RESTRICT if refuses or expected is Outcome.RESTRICT else Outcome.REVIEW
    assert expected == ask(policy(*lists), index, probes=((TOKEN, False), (OTHER, True))).outcome


def test_the_rail_action_of_these_tests_is_the_one_that_the_guard_knows() -> None:
    assert {"train", "seat_class"} == {attribute.name for attribute in RAIL.attributes}
