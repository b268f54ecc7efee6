"""The desk of entries' lives: what people may say and do with a step, and whose looks are noted before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.domain.entries import EntryStatus, GivenIdentifier
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import (
    EntryRejected,
    InvalidRequest,
    NotFound,
    PlanChanged,
    SecondPersonRequired,
    StepNotAllowed,
    VersionMissed,
)
from portcullis.domain.lapses import lapses_at
from portcullis.domain.policies import Policy
from portcullis.ports import EntryQuery, LifeDesk
from portcullis.registry.life import EntryLife
from tests.support.imports import TOKENISER, StillClock, a_draft
from tests.support.people import passport, phone, resident_id
from tests.support.policies import NOW, a_list

DAY_S = 86_400
LAPSING = a_list("carrier", lapse_s=10 * DAY_S)
POLICY = Policy(lists=(a_list("court", four_eyes=True), LAPSING, a_list("plain")))


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def store(clock: StillClock) -> MemoryRegistry:
    store = MemoryRegistry(tokeniser=TOKENISER, clock=clock)
    store.apply_policy(POLICY, actor="test")
    return store


@pytest.fixture
def desk(store: MemoryRegistry, clock: StillClock) -> LifeDesk:
    return EntryLife(store, index_tokens=TOKENISER.index_tokens, clock=clock)


def note(actor: str = "ann", why: str = "as ordered", **said: str) -> StepNote:
    return StepNote(actor=actor, why=why, **said)


def put(desk: LifeDesk, number: int = 1, list_name: str = "plain", **changes: Any) -> None:
    desk.put_entry(list_name, a_draft(number, **changes), note=note(), expected_version=0)


def looks(store: MemoryRegistry, list_name: str = "plain", key: str = "k1") -> list[tuple[str, str]]:
    return [(look.actor, look.purpose) for look in store.looks(list_name, key)]


def given(identifier: Any) -> GivenIdentifier:
    return GivenIdentifier(identifier.kind, identifier.value, identifier.country)


def released(**said: str) -> StepNote:
    return note(ground=ReleaseGround.PAID, **said)


# --- putting ------------------------------------------------------------


def test_an_entry_binds_at_once_where_one_person_is_enough(desk: LifeDesk) -> None:
    outcome = desk.put_entry("plain", a_draft(), note=note(document=" file 7 "), expected_version=0)
    assert (EntryStatus.IN_FORCE, True, False) == (outcome.entry.status, outcome.changed, outcome.pending)
    (step,) = desk.history("plain", "k1", actor="bob", purpose="")
    assert ("put", "ann", "as ordered", "file 7") == (step.step, step.actor, step.why, step.document)


def test_an_entry_waits_for_another_person_where_it_takes_two(desk: LifeDesk) -> None:
    outcome = desk.put_entry("court", a_draft(), note=note(why=""), expected_version=0)
    assert (EntryStatus.PROPOSED, True) == (outcome.entry.status, outcome.pending)
    (waits,) = desk.proposals("", actor="bob")
    assert [waits] == list(desk.proposals("court", actor="bob"))
    assert [] == list(desk.proposals("plain", actor="bob"))
    with pytest.raises(SecondPersonRequired):
        desk.step("court", "k1", Step.APPROVE, note=note(why=""), expected_version=waits.version)
    stored = desk.step("court", "k1", Step.APPROVE, note=note("bob", ""), expected_version=waits.version)
    assert (EntryStatus.IN_FORCE, []) == (stored.status, list(desk.proposals("court", actor="bob")))


def test_an_approval_names_the_version_that_was_looked_at(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk, list_name="court")
    (seen,) = desk.proposals("court", actor="bob")
    put(desk, list_name="court", case_reference="another")
    with pytest.raises(InvalidRequest, match="expected_version: give the version that you have looked at, as ListProposals"):
        desk.step("court", "k1", Step.APPROVE, note=note("bob"), expected_version=0)
    with pytest.raises(VersionMissed):
        desk.step("court", "k1", Step.APPROVE, note=note("bob"), expected_version=seen.version)
    assert EntryStatus.PROPOSED is store.entry("court", "k1").status
    # Who gives a proposal up puts nobody under a restriction.
    assert EntryStatus.REJECTED is desk.step("court", "k1", Step.REJECT, note=note("bob"), expected_version=0).status


def test_proposals_of_every_list_are_given_once_the_looks_are_noted(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk, list_name="plain")
    put(desk, 1, "court")
    put(desk, 2, "court")
    assert ["k1", "k2"] == [each.key for each in desk.proposals("", actor="bob")]
    assert [[("bob", "reading proposals")]] * 2 == [looks(store, "court", key) for key in ("k1", "k2")]
    assert [] == looks(store)


def test_who_an_amendment_is_about_is_given_once_the_look_is_noted(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk, list_name="court")
    desk.step("court", "k1", Step.APPROVE, note=note("bob"), expected_version=1)
    with pytest.raises(NotFound, match="nothing waits"):
        desk.reveal("court", "k1", actor="bob", purpose="four eyes", proposed=True)
    assert [] == looks(store, "court")
    put(desk, list_name="court", identifiers=(given(phone(7)),), case_reference="amended")
    stored, identity = desk.reveal("court", "k1", actor="bob", purpose="four eyes", proposed=True)
    assert ("amended", 3, (phone(7),)) == (stored.case_reference, stored.version, identity.identifiers)
    stands, known = desk.reveal("court", "k1", actor="bob", purpose="four eyes")
    assert (store.entry("court", "k1"), (passport(1),)) == (stands, known.identifiers)
    assert [("bob", "four eyes")] * 2 == looks(store, "court")


def test_an_entry_that_breaks_a_rule_is_refused_at_its_field(desk: LifeDesk) -> None:
    with pytest.raises(EntryRejected, match="until"):
        put(desk, until=None)


def test_what_is_put_on_a_lapsing_list_lapses_unless_it_is_put_again(desk: LifeDesk, clock: StillClock) -> None:
    put(desk, list_name="carrier")
    again = desk.put_entry("carrier", a_draft(), note=note(), expected_version=0)
    assert (False, lapses_at(LAPSING, NOW)) == (again.changed, again.entry.effective_until)
    clock.time += 5 * DAY_S
    later = desk.put_entry("carrier", a_draft(), note=note(), expected_version=0)
    assert (True, lapses_at(LAPSING, clock.time)) == (later.changed, later.entry.effective_until)


def test_who_has_missed_a_version_is_told(desk: LifeDesk) -> None:
    put(desk)
    with pytest.raises(VersionMissed, match="expected_version"):
        desk.put_entry("plain", a_draft(redress="tel:1"), note=note(), expected_version=2)


# --- what is said with a step ------------------------------------------------------------


def test_what_is_said_is_short_plain_text(desk: LifeDesk) -> None:
    put(desk)
    for said in ({"why": "x" * 257}, {"why": "two\nlines"}, {"document": "x" * 129}, {"document": "two\nlines"}):
        field = next(iter(said))
        with pytest.raises(InvalidRequest, match=f"^{field}: must be plain text"):
            desk.put_entry("plain", a_draft(), note=note(**said), expected_version=0)
        with pytest.raises(InvalidRequest, match=field):
            desk.step("plain", "k1", Step.RELEASE, note=released(**said), expected_version=0)


@pytest.mark.parametrize("why", ["", "  "])
def test_what_ends_an_entry_or_a_list_needs_a_reason(desk: LifeDesk, why: str) -> None:
    put(desk)
    put(desk, list_name="court")
    silent: list[Callable[[], object]] = [
        lambda: desk.step("plain", "k1", Step.RELEASE, note=released(why=why), expected_version=0),
        lambda: desk.step("court", "k1", Step.REJECT, note=note("bob", why), expected_version=0),
        lambda: desk.run(Step.RENEW, EntryQuery(list="carrier"), digest="", note=note(why=why)),
    ]
    for step in silent:
        with pytest.raises(InvalidRequest, match="why: must be plain text of 1 to 256"):
            step()
    with pytest.raises(InvalidRequest, match=r"^reason: must be plain text of 1 to 256"):
        desk.withdraw("plain", "k1", note=note(why=why), expected_version=0, in_error=False)
    with pytest.raises(InvalidRequest, match=r"^reason"):
        desk.switch_list("plain", suspend=True, note=note(why=why))


@pytest.mark.parametrize("ground", ["", "SETTLED", "DISPUTE_LAPSED", "BORED"])
def test_a_release_has_a_ground_that_a_person_may_state(desk: LifeDesk, ground: str) -> None:
    put(desk)
    with pytest.raises(InvalidRequest, match="ground: say why it ends: PERFORMED, PAID, OVERTURNED, TERM_OVER"):
        desk.step("plain", "k1", Step.RELEASE, note=note(ground=ground), expected_version=0)


def test_a_released_entry_has_ended_on_its_ground(desk: LifeDesk) -> None:
    put(desk)
    assert EntryStatus.RELEASED is desk.step("plain", "k1", Step.RELEASE, note=released(), expected_version=1).status
    assert ReleaseGround.PAID == desk.history("plain", "k1", actor="bob", purpose="")[-1].ground


def test_no_other_step_has_a_ground(desk: LifeDesk) -> None:
    put(desk, list_name="court")
    with pytest.raises(InvalidRequest, match="ground: only a release"):
        desk.step("court", "k1", Step.APPROVE, note=released(), expected_version=0)


@pytest.mark.parametrize("step", [Step.STAY, Step.LIFT, Step.WITHDRAW, Step.RETRACT, Step.PUT, Step.RENEW, Step.CLEAR])
def test_the_desk_takes_no_step_that_is_anothers(desk: LifeDesk, step: Step) -> None:
    put(desk)
    with pytest.raises(InvalidRequest, match="step: must be approve, reject or release"):
        desk.step("plain", "k1", step, note=note(), expected_version=0)


# --- withdrawing ------------------------------------------------------------


def test_withdrawing_again_is_no_fault(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk)
    once = desk.withdraw("plain", "k1", note=note(), expected_version=1, in_error=False)
    head = store.head()
    assert once == desk.withdraw("plain", "k1", note=note(why="again"), expected_version=1, in_error=False)
    assert (EntryStatus.WITHDRAWN, head) == (once.status, store.head())


def test_who_withdraws_what_an_import_has_withdrawn_is_taken_at_their_word(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk)
    with store.begin_import("plain", actor="ann") as session:
        session.commit(full=True)
    for version in (3, 3):
        stored = desk.withdraw("plain", "k1", note=note(), expected_version=0, in_error=False)
        assert (EntryStatus.WITHDRAWN, version) == (stored.status, stored.version)
    assert ["put", "import", "withdraw"] == [each.step for each in store.history("plain", "k1")]


def test_what_should_never_have_been_there_is_withdrawn_then_retracted(desk: LifeDesk) -> None:
    put(desk)
    stored = desk.withdraw("plain", "k1", note=note(), expected_version=0, in_error=True)
    assert (EntryStatus.IN_ERROR, 3) == (stored.status, stored.version)
    steps = [each.step for each in desk.history("plain", "k1", actor="bob", purpose="")]
    assert ["put", "withdraw", "retract"] == steps
    for in_error in (True, False):
        assert stored == desk.withdraw("plain", "k1", note=note(), expected_version=1, in_error=in_error)


def test_that_an_entry_was_never_right_can_be_said_after_it_has_left(desk: LifeDesk) -> None:
    put(desk, 1)
    put(desk, 2)
    desk.step("plain", "k1", Step.RELEASE, note=released(), expected_version=0)
    desk.withdraw("plain", "k2", note=note(), expected_version=0, in_error=False)
    for key in ("k1", "k2"):
        stored = desk.withdraw("plain", key, note=note(), expected_version=2, in_error=True)
        assert (EntryStatus.IN_ERROR, 3) == (stored.status, stored.version)


def test_a_released_entry_can_not_be_withdrawn_too(desk: LifeDesk) -> None:
    put(desk)
    desk.step("plain", "k1", Step.RELEASE, note=released(), expected_version=0)
    with pytest.raises(StepNotAllowed, match="what can be done: put, retract"):
        desk.withdraw("plain", "k1", note=note(), expected_version=0, in_error=False)


# --- identity ------------------------------------------------------------


def test_a_number_that_is_found_later_is_an_amendment(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk, names=("A. Nobody",))
    outcome = desk.add_identifiers("plain", "k1", [given(phone(1))], note=note(), expected_version=1)
    assert (2, True, False) == (outcome.entry.version, outcome.changed, outcome.pending)
    identity = store.identity("plain", "k1")
    assert ((passport(1), phone(1)), ("A. Nobody",)) == (identity.identifiers, identity.names)


def test_numbers_that_are_there_already_change_nothing_and_the_look_is_noted(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk)
    head = store.head()
    outcome = desk.add_identifiers("plain", "k1", [given(passport(1))] * 2, note=note("bob"), expected_version=0)
    assert (False, 1, head) == (outcome.changed, outcome.entry.version, store.head())
    assert [("bob", "adding identifiers")] == looks(store)


def test_a_number_reaffirms_nothing(desk: LifeDesk, clock: StillClock) -> None:
    put(desk, list_name="carrier")
    clock.time += 5 * DAY_S
    outcome = desk.add_identifiers("carrier", "k1", [given(phone(1))], note=note(), expected_version=0)
    assert lapses_at(LAPSING, NOW) == outcome.entry.lapses_at


def test_a_number_that_names_another_subject_is_refused_at_its_place(desk: LifeDesk) -> None:
    put(desk, identifiers=(given(resident_id(1)),))
    with pytest.raises(EntryRejected, match=r"more than one cn\.resident-id"):
        desk.add_identifiers("plain", "k1", [given(resident_id(2))], note=note(), expected_version=0)
    wrong = GivenIdentifier("phone", "+44 12", "")
    with pytest.raises(EntryRejected) as fault:
        desk.add_identifiers("plain", "k1", [given(passport(1)), wrong], note=note(), expected_version=0)
    assert ["identifiers[1].value"] == [each.field for each in fault.value.violations]


def test_a_number_that_stands_in_a_text_is_refused(desk: LifeDesk) -> None:
    told = phone(1).value
    put(desk, case_reference=f"about {told}")
    with pytest.raises(EntryRejected, match="case_reference: holds an identifier") as fault:
        desk.add_identifiers("plain", "k1", [given(phone(1))], note=note(), expected_version=0)
    assert told not in str(fault.value)


def test_numbers_are_added_by_who_has_seen_the_entry(desk: LifeDesk) -> None:
    put(desk)
    with pytest.raises(VersionMissed):
        desk.add_identifiers("plain", "k1", [given(phone(1))], note=note(), expected_version=7)
    with pytest.raises(InvalidRequest, match="identifiers: missing"):
        desk.add_identifiers("plain", "k1", [], note=note(), expected_version=0)


def test_an_entry_that_has_left_its_list_gets_no_number(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk)
    desk.step("plain", "k1", Step.RELEASE, note=released(), expected_version=0)
    with pytest.raises(StepNotAllowed, match=r"add-identifiers: can't be done while it is released; .*: put, retract"):
        desk.add_identifiers("plain", "k1", [given(phone(1))], note=note(), expected_version=0)
    assert [] == looks(store)


def test_a_number_waits_for_another_person_and_a_second_one_for_the_first(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk, list_name="court")
    proposed = desk.add_identifiers("court", "k1", [given(phone(1))], note=note(), expected_version=0)
    assert (EntryStatus.PROPOSED, True) == (proposed.entry.status, proposed.pending)
    desk.step("court", "k1", Step.APPROVE, note=note("bob"), expected_version=2)
    waits = desk.add_identifiers("court", "k1", [given(phone(2))], note=note(), expected_version=0)
    assert (True, True, EntryStatus.IN_FORCE) == (waits.pending, waits.entry.pending, waits.entry.status)
    # Another would take the place of the first without anybody having decided about it.
    with pytest.raises(StepNotAllowed, match="what can be done: approve, reject"):
        desk.add_identifiers("court", "k1", [given(phone(3))], note=note(), expected_version=0)
    desk.step("court", "k1", Step.APPROVE, note=note("bob"), expected_version=waits.entry.version)
    assert (passport(1), phone(1), phone(2)) == store.identity("court", "k1").identifiers


def test_whom_an_entry_is_about_is_given_once_the_look_is_noted(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk, names=("A. Nobody",))
    stored, identity = desk.reveal("plain", "k1", actor="bob", purpose=" a complaint ")
    assert (store.entry("plain", "k1"), (passport(1),)) == (stored, identity.identifiers)
    assert [("bob", "a complaint")] == looks(store)
    assert passport(1).value not in repr(identity)
    assert "Nobody" not in repr(identity)


@pytest.mark.parametrize("purpose", ["", "  ", "x" * 129, "two\nlines"])
def test_nobody_looks_at_an_identity_without_saying_why(desk: LifeDesk, store: MemoryRegistry, purpose: str) -> None:
    put(desk)
    with pytest.raises(InvalidRequest, match="purpose"):
        desk.reveal("plain", "k1", actor="bob", purpose=purpose)
    assert [] == looks(store)


def test_a_history_is_given_once_the_look_is_noted(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk)
    desk.history("plain", "k1", actor="bob", purpose="")
    desk.history("plain", "k1", actor="cho", purpose="an audit")
    assert [("bob", "operator inquiry"), ("cho", "an audit")] == looks(store)


# --- many at once ------------------------------------------------------------


def test_a_plan_says_what_a_step_would_do_and_notes_the_looks_at_its_samples(desk: LifeDesk, store: MemoryRegistry) -> None:
    for number in range(12):
        put(desk, number)
    plan = desk.plan(Step.RELEASE, EntryQuery(list="plain"), actor="bob")
    assert (12, 10) == (plan.count, len(plan.samples))
    purpose = [("bob", "planning a step on many entries")]
    assert [purpose, []] == [looks(store, "plain", key) for key in ("k0", "k11")]
    assert 12 == desk.run(Step.RELEASE, EntryQuery(list="plain"), digest=plan.digest, note=released())
    assert 0 == store.count_in_force("plain")


def test_what_was_not_planned_is_not_done(desk: LifeDesk) -> None:
    put(desk, 1)
    plan = desk.plan(Step.RELEASE, EntryQuery(list="plain"), actor="bob")
    put(desk, 2)
    with pytest.raises(PlanChanged):
        desk.run(Step.RELEASE, EntryQuery(list="plain"), digest=plan.digest, note=released())


def test_a_renewal_of_many_moves_their_lapse(desk: LifeDesk, store: MemoryRegistry, clock: StillClock) -> None:
    put(desk, list_name="carrier")
    clock.time += 12 * DAY_S
    lapsed = EntryQuery(list="carrier", until_before=int(clock.time))
    plan = desk.plan(Step.RENEW, lapsed, actor="bob")
    assert 1 == desk.run(Step.RENEW, lapsed, digest=plan.digest, note=note("bob"))
    assert lapses_at(LAPSING, clock.time) == store.entry("carrier", "k1").effective_until


def test_who_has_proposed_entries_does_not_approve_them_with_the_others(desk: LifeDesk, store: MemoryRegistry) -> None:
    put(desk, 1, "court")
    desk.put_entry("court", a_draft(2), note=note("bob"), expected_version=0)
    plan = desk.plan(Step.APPROVE, EntryQuery(list="court"), actor="bob")
    assert (1, 1) == (plan.count, plan.skipped)
    assert 1 == desk.run(Step.APPROVE, EntryQuery(list="court"), digest=plan.digest, note=note("bob"))
    assert [EntryStatus.IN_FORCE, EntryStatus.PROPOSED] == [store.entry("court", key).status for key in ("k1", "k2")]


def test_only_some_steps_are_taken_on_many_and_a_renewal_where_something_lapses(desk: LifeDesk) -> None:
    query = EntryQuery(list="plain")
    for plan in (
        lambda step: desk.plan(step, query, actor="ann"),
        lambda step: desk.run(step, query, digest="", note=note()),
    ):
        with pytest.raises(InvalidRequest, match="step: must be approve, renew or release"):
            plan(Step.WITHDRAW)
        with pytest.raises(InvalidRequest, match="do not lapse"):
            plan(Step.RENEW)


# --- whole lists ------------------------------------------------------------


def test_it_takes_two_to_suspend_a_list_and_two_to_resume_it(desk: LifeDesk, store: MemoryRegistry) -> None:
    assert not desk.switch_list("plain", suspend=True, note=note()).suspended
    asked = desk.list_switch("plain")
    assert (False, "ann", NOW, "as ordered") == (asked.suspended, asked.requested_by, asked.requested_at, asked.reason)
    assert asked == desk.switch_list("plain", suspend=True, note=note("Ann", "again"))
    assert desk.switch_list("plain", suspend=True, note=note("bob")).suspended
    assert {"plain"} == {each.name for each in store.policy().lists if each.suspended}
    desk.switch_list("plain", suspend=False, note=note("bob"))
    assert not desk.switch_list("plain", suspend=False, note=note()).suspended


def test_a_request_is_given_up_by_who_asks_for_what_stands(desk: LifeDesk) -> None:
    desk.switch_list("plain", suspend=True, note=note())
    assert "" == desk.switch_list("plain", suspend=False, note=note("bob", "not needed")).requested_by
    assert not desk.switch_list("plain", suspend=True, note=note("bob")).suspended


def test_a_suspended_list_is_no_other_policy_and_comes_back_with_its_own(desk: LifeDesk, store: MemoryRegistry) -> None:
    before = store.head()
    for actor in ("ann", "bob"):
        desk.switch_list("plain", suspend=True, note=note(actor))
    assert not store.apply_policy(POLICY, actor="test")
    assert not store.apply_policy(store.policy(), actor="test")
    assert not store.as_of(before, ()).policy.lists[2].suspended
    store.apply_policy(Policy(), actor="test")
    store.apply_policy(POLICY, actor="test")
    assert store.policy().lists[2].suspended


def test_what_is_not_there_is_not_found(desk: LifeDesk) -> None:
    missing: list[Callable[[str], object]] = [
        lambda name: desk.put_entry("x", a_draft(), note=note(), expected_version=0),
        lambda name: desk.add_identifiers(name, "k9", [given(phone(1))], note=note(), expected_version=0),
        lambda name: desk.step(name, "k9", Step.APPROVE, note=note(), expected_version=1),
        lambda name: desk.withdraw(name, "k9", note=note(), expected_version=0, in_error=True),
        lambda name: desk.reveal(name, "k9", actor="ann", purpose="an audit"),
        lambda name: desk.reveal(name, "", actor="ann", purpose="an audit", proposed=True),
        lambda name: desk.history(name, "k9", actor="ann", purpose=""),
    ]
    of_lists: list[Callable[[], object]] = [
        lambda: desk.proposals("x", actor="ann"),
        lambda: desk.plan(Step.RELEASE, EntryQuery(list="x"), actor="ann"),
        lambda: desk.run(Step.RELEASE, EntryQuery(list="x"), digest="", note=released()),
        lambda: desk.switch_list("x", suspend=True, note=note()),
        lambda: desk.list_switch("x"),
    ]
    for look in missing:
        for name in ("x", "plain"):
            with pytest.raises(NotFound):
                look(name)
    for ask in of_lists:
        with pytest.raises(NotFound):
            ask()
