"""Making recorded decisions again, from a registry that has gone on since."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.domain.decisions import decide
from portcullis.domain.editions import ListEdition
from portcullis.domain.errors import NotFound
from portcullis.domain.multisets import EMPTY
from portcullis.domain.plans import Plans
from portcullis.domain.policies import Effect, OnStale, Partner, Policy
from portcullis.domain.records import ALL_MEASURES, Record, encode_body
from portcullis.domain.segments import join_segments
from portcullis.exchange.replaying import replay
from portcullis.ports import DecisionRecord, Past, RecordedReason
from tests.support.imports import StillClock
from tests.support.policies import LEGAL, NOW, YEAR_S, a_list, agreement, measure, policy
from tests.support.registry_entries import TOKENISER, an_entry

COURT = a_list("court", measure("loans", when="amount > 1000.0"), measure("plain", effect=Effect.NOTICE))
CARRIER = a_list("carrier", measure("watch", effect=Effect.REVIEW, on_stale=OnStale.RESTRICT), measure("trial", shadow=True))
RULES = policy(COURT, CARRIER)


def a_registry() -> MemoryRegistry:
    store = MemoryRegistry(tokeniser=TOKENISER, clock=StillClock())
    store.apply_policy(RULES, actor="ann")
    return store


def decided(
    store: MemoryRegistry, rules: Policy, entries: dict[str, bool], amount: float, stale: tuple[str, ...] = ()
) -> DecisionRecord:
    """Decide as a gateway does, by the registry's entries (key to whether the match is weak), and record it likewise."""
    numbers = {each.name: 7 + place for place, each in enumerate(rules.lists)}
    editions = [
        ListEdition(
            name=each.name,
            number=numbers[each.name],
            legal=LEGAL,
            measures=tuple(one.name for one in each.measures),
            version=1,
            records=0,
            digest=EMPTY,
        )
        for each in rules.lists
    ]
    plan = Plans(rules, editions).plan("lender", "loan.apply", "lending", NOW)
    values = {}
    for key, weak in entries.items():
        list_name = "carrier" if key.startswith("c") else "court"
        entry = store.entry(list_name, key)
        names = [one.name for one in rules.list_named(list_name).measures]
        mask = sum(1 << names.index(name) for name in entry.measures) if entry.measures else ALL_MEASURES
        record = Record(numbers[list_name], 0, entry.until, entry.entry_id, entry.case_reference, 0, mask)
        values[key.encode()] = (join_segments([(numbers[list_name], encode_body([record]))]), weak)
    attributes = plan.binder.bind((("amount", amount),))
    probes = [(token, weak) for token, (_, weak) in values.items()]
    found = {token: value for token, (value, _) in values.items()}
    verdict = decide(plan, probes, attributes, found.get, NOW, {numbers[name] for name in stale})
    return DecisionRecord(
        decision_id="d",
        decided_at=NOW,
        partner="lender",
        action="loan.apply",
        purpose="lending",
        outcome=str(verdict.outcome),
        shadow_outcome=str(verdict.shadow_outcome or ""),
        degraded=verdict.degraded,
        dry_run=False,
        snapshot_version=1,
        registry_seq=store.head(),
        stale=stale,
        partner_reference="",
        tokens=(),
        attributes={name: value for name, value in attributes.items() if name in plan.looked_at},
        reasons=tuple(
            RecordedReason(
                list=hit.measure.list.name,
                measure=hit.measure.name,
                effect=str(hit.effect),
                authority="",
                legal_basis="",
                case_reference=hit.record.case_reference if hit.record else "",
                entry_id=hit.record.entry_id if hit.record else 0,
                until=hit.record.until if hit.record else 0,
                weak=hit.weak,
                shadow=hit.measure.shadow,
            )
            for hit in verdict.hits
        ),
    )


@given(
    entries=st.dictionaries(st.sampled_from(["k1", "k2", "c1", "c2"]), st.booleans(), min_size=1),
    narrowed=st.booleans(),
    amount=st.sampled_from([0.0, 5000.0]),
    stale=st.sampled_from([(), ("court",), ("carrier",), ("court", "carrier")]),
)
def test_every_decision_is_made_again_to_the_same_answer_whatever_came_after_it(
    entries: dict[str, bool], narrowed: bool, amount: float, stale: tuple[str, ...]
) -> None:
    store = a_registry()
    for key in ("k1", "k2"):
        store.put_entry(an_entry(key, measures=("plain",) if narrowed else ()), actor="ann")
    for key in ("c1", "c2"):
        store.put_entry(an_entry(key, list="carrier"), actor="ann")
    record = decided(store, RULES, entries, amount, stale)
    store.withdraw_entry("court", "k1", reason="performed", actor="ann")
    store.put_entry(an_entry("c1", list="carrier", until=NOW - 1), actor="ann")
    store.apply_policy(policy(a_list("court", measure("loans", effect=Effect.REVIEW))), actor="ann")
    again = replay(record, store)
    assert ((), record.outcome) == (again.differences, again.outcome)
    assert again.same


class Then(MemoryRegistry):
    """A registry whose court list was suspended at the change asked for."""

    def as_of(self, seq: int, entry_ids: Collection[int]) -> Past:
        past = super().as_of(seq, entry_ids)
        court, *others = past.policy.lists
        lists = (msgspec.structs.replace(court, suspended=True), *others)
        return msgspec.structs.replace(past, policy=msgspec.structs.replace(past.policy, lists=lists))


def suspended_court() -> Policy:
    return policy(msgspec.structs.replace(COURT, suspended=True), CARRIER)


@pytest.mark.parametrize("stale", [(), ("carrier",)])
def test_a_decision_while_a_list_was_suspended_is_made_again_without_it(stale: tuple[str, ...]) -> None:
    store = Then(tokeniser=TOKENISER, clock=StillClock())
    store.apply_policy(RULES, actor="ann")
    store.put_entry(an_entry("k1"), actor="ann")
    store.put_entry(an_entry("c1", list="carrier"), actor="ann")
    record = decided(store, suspended_court(), {"k1": False, "c1": False}, 5000.0, stale)
    assert {"carrier"} == {reason.list for reason in record.reasons}
    assert replay(record, store).same


def test_a_refusal_on_the_ground_of_a_list_that_was_suspended_then_is_found_out() -> None:
    store = Then(tokeniser=TOKENISER, clock=StillClock())
    store.apply_policy(RULES, actor="ann")
    store.put_entry(an_entry("k1"), actor="ann")
    again = replay(decided(store, RULES, {"k1": False}, 5000.0), store)
    assert ("ALLOW", False) == (again.outcome, again.same)


def test_what_a_redress_number_took_away_then_stays_away() -> None:
    store = a_registry()
    for key in ("k1", "k2"):
        store.put_entry(an_entry(key), actor="ann")
    record = decided(store, RULES, {"k1": False}, 5000.0)
    cleared = msgspec.structs.replace(record, cleared=(store.entry("court", "k2").entry_id,))
    assert replay(cleared, store).same


def a_decision() -> tuple[MemoryRegistry, DecisionRecord]:
    store = a_registry()
    store.put_entry(an_entry("k1"), actor="ann")
    return store, decided(store, RULES, {"k1": False}, 5000.0)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"outcome": "REVIEW"}, "outcome: REVIEW then, RESTRICT now"),
        ({"shadow_outcome": "RESTRICT"}, "outcome in shadow: RESTRICT then, none now"),
        ({"degraded": True}, "degraded: True then, False now"),
        ({"attributes": {"amount": 0.0}}, "outcome: RESTRICT then, ALLOW now"),
    ],
)
def test_a_record_that_says_otherwise_is_told_from_what_was_decided(changes: dict[str, Any], difference: str) -> None:
    store, record = a_decision()
    again = replay(msgspec.structs.replace(record, **changes), store)
    assert difference in again.differences
    assert not again.same


def test_a_reason_that_was_put_into_a_record_is_found() -> None:
    store, record = a_decision()
    forged = msgspec.structs.replace(record.reasons[0], until=NOW + 5 * YEAR_S)
    again = replay(msgspec.structs.replace(record, reasons=(forged, *record.reasons[1:])), store)
    assert [f"only then: court / loans: RESTRICT by entry 1 until {NOW + 5 * YEAR_S}"] == [
        line for line in again.differences if line.startswith("only then")
    ]


def test_a_partner_without_an_agreement_then_could_have_decided_nothing() -> None:
    store, record = a_decision()
    late = agreement(("court",), valid_from=NOW + 10)
    store.apply_policy(policy(COURT, partners=(Partner(name="lender", title="A lender", agreements=(late,)),)), actor="ann")
    again = replay(msgspec.structs.replace(record, registry_seq=store.head()), store)
    assert ("", 1) == (again.outcome, len(again.differences))
    assert "no agreement in force" in again.differences[0]


def test_a_registry_that_has_not_come_so_far_can_not_tell() -> None:
    store, record = a_decision()
    with pytest.raises(NotFound):
        replay(msgspec.structs.replace(record, registry_seq=store.head() + 1), store)
