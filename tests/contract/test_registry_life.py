"""The life of entries, on every adapter: who may take which step where, what waits for a second person, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote, legal_steps
from portcullis.domain.errors import NotFound, PlanChanged, SecondPersonRequired, StepNotAllowed, VersionMissed
from portcullis.domain.policies import Policy
from portcullis.ports import EntryQuery, EntryStore, ImportCounts, KnownIdentity, PastStep, PutOutcome, StoredEntry
from tests.support.imports import StillClock
from tests.support.policies import NOW, a_list
from tests.support.registries import ADAPTERS, import_rows, opened_registry
from tests.support.registry_entries import an_entry, document, tokens_of

DAY_S = 86_400
POLICY = Policy(lists=(a_list("court"), a_list("carrier"), a_list("careful", four_eyes=True)))
COURT = EntryQuery(list="court")
# How to bring an entry of the court's list to each of its statuses.
WAYS: dict[EntryStatus, tuple[Step, ...]] = {
    EntryStatus.PROPOSED: (),
    EntryStatus.REJECTED: (Step.REJECT,),
    EntryStatus.IN_FORCE: (Step.APPROVE,),
    EntryStatus.STAYED: (Step.APPROVE, Step.STAY),
    EntryStatus.RELEASED: (Step.APPROVE, Step.RELEASE),
    EntryStatus.WITHDRAWN: (Step.APPROVE, Step.WITHDRAW),
    EntryStatus.IN_ERROR: (Step.APPROVE, Step.WITHDRAW, Step.RETRACT),
}
STEPS = (Step.APPROVE, Step.REJECT, Step.STAY, Step.LIFT, Step.RELEASE, Step.WITHDRAW)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(params=ADAPTERS)
def registry(request: pytest.FixtureRequest, tmp_path: Path, clock: StillClock) -> Iterator[EntryStore]:
    with opened_registry(request.param, tmp_path, clock, lambda: request.getfixturevalue("postgres")) as store:
        store.apply_policy(POLICY, actor="ann")
        yield store


def put(
    registry: EntryStore, entry: Entry, *, by: str = "ann", four_eyes: bool = False, expected_version: int = 0, **note: str
) -> PutOutcome:
    said = StepNote(actor=by, **note)
    return registry.put(entry, note=said, four_eyes=four_eyes, expected_version=expected_version)


def take(registry: EntryStore, step: Step, key: str = "k1", *, by: str = "bob", **given: Any) -> StoredEntry:
    return registry.step("court", key, step, note=StepNote(actor=by), **given)


def brought_to(registry: EntryStore, status: EntryStatus, key: str = "k1") -> StoredEntry:
    put(registry, an_entry(key), four_eyes=True)
    for step in WAYS[status]:
        take(registry, step, key)
    stored = registry.entry("court", key)
    assert status is stored.status
    return stored


def indexed(registry: EntryStore) -> dict[str, bool]:
    """Whether each entry of the index is stayed, by its case reference."""
    with registry.view() as view:
        return {entry.case_reference: entry.stayed for _, entry in view.index(view.list_numbers)}


# --- single steps ------------------------------------------------------------


@pytest.mark.parametrize("status", EntryStatus)
def test_every_step_is_taken_where_it_is_legal_and_refused_elsewhere(registry: EntryStore, status: EntryStatus) -> None:
    for step in STEPS:
        key = f"{step}-entry"
        before = brought_to(registry, status, key)
        if step in legal_steps(status):
            assert before.version + 1 == take(registry, step, key).version
            continue
        head = registry.head()
        with pytest.raises(StepNotAllowed) as refused:
            take(registry, step, key)
        assert ", ".join(legal_steps(status)) == refused.value.metadata["allowed"]
        assert (before, head) == (registry.entry("court", key), registry.head())


def test_a_step_on_what_is_not_there_is_not_found(registry: EntryStore) -> None:
    for look in (
        lambda: take(registry, Step.STAY),
        lambda: registry.history("court", "k1"),
        lambda: registry.identity("court", "k1"),
        lambda: registry.identity("court", "k1", proposed=True),
    ):
        with pytest.raises(NotFound):
            look()


def test_a_stayed_entry_stays_in_the_index_marked_as_such(registry: EntryStore) -> None:
    reference = put(registry, an_entry("k1")).entry.case_reference
    assert {reference: False} == indexed(registry)
    take(registry, Step.STAY)
    assert {reference: True} == indexed(registry)
    assert 1 == registry.count_in_force("court")
    take(registry, Step.LIFT)
    assert {reference: False} == indexed(registry)


def test_stays_and_lifts_touch_the_tokens_of_their_entry(registry: EntryStore) -> None:
    entry = an_entry("k1")
    put(registry, entry)
    for step, stayed in ((Step.STAY, True), (Step.LIFT, False)):
        head = registry.head()
        take(registry, step)
        with registry.view() as view:
            touched = {token: [each.stayed for each in now] for token, _, now in view.touched(head, NOW)}
        assert {token: [stayed] for token in tokens_of(entry)} == touched


@pytest.mark.parametrize("status", [EntryStatus.PROPOSED, EntryStatus.REJECTED, EntryStatus.RELEASED, EntryStatus.IN_ERROR])
def test_what_is_not_listed_is_not_in_the_index_and_not_counted(registry: EntryStore, status: EntryStatus) -> None:
    brought_to(registry, status)
    assert ({}, 0) == (indexed(registry), registry.count_in_force("court"))


def test_an_entry_that_was_proposed_touches_nothing_before_it_is_approved(registry: EntryStore) -> None:
    head = registry.head()
    put(registry, an_entry("k1"), four_eyes=True)
    with registry.view() as view:
        assert [] == list(view.touched(head, NOW))
    take(registry, Step.APPROVE)
    with registry.view() as view:
        assert tokens_of(an_entry("k1")) == {token for token, _, now in view.touched(head, NOW) if now}


def test_to_retract_a_listed_entry_is_to_withdraw_it_and_then_to_retract_it(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    head = registry.head()
    retracted = take(registry, Step.RETRACT)
    assert (EntryStatus.IN_ERROR, 3, head + 2) == (retracted.status, retracted.version, registry.head())
    assert ["put", "withdraw", "retract"] == [each.step for each in registry.history("court", "k1")]


def test_an_entry_in_the_past_is_in_force_only_where_it_bound(registry: EntryStore) -> None:
    number = put(registry, an_entry("k1"), four_eyes=True).entry.entry_id
    seqs = [registry.head()]
    for step in (Step.APPROVE, Step.STAY, Step.LIFT, Step.RELEASE):
        take(registry, step)
        seqs.append(registry.head())
    assert [False, True, False, True, False] == [registry.as_of(seq, {number}).entries[0].in_force for seq in seqs]


# --- versions ------------------------------------------------------------


def test_a_put_with_a_version_that_has_passed_is_refused_with_the_one_it_missed(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k1", case_reference="second"), expected_version=1)
    with pytest.raises(VersionMissed) as refused:
        put(registry, an_entry("k1", case_reference="third"), expected_version=1)
    assert {"expected": "1", "present": "2"} == refused.value.metadata
    assert "second" == registry.entry("court", "k1").case_reference
    with pytest.raises(VersionMissed):
        put(registry, an_entry("k9"), expected_version=1)


def test_a_step_with_a_version_that_has_passed_is_refused(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    take(registry, Step.STAY, expected_version=1)
    head = registry.head()
    with pytest.raises(VersionMissed):
        take(registry, Step.RELEASE, expected_version=1)
    assert (EntryStatus.STAYED, head) == (registry.entry("court", "k1").status, registry.head())


def test_every_version_says_which_step_made_it_by_whom_when_why_and_on_which_document(
    registry: EntryStore, clock: StillClock
) -> None:
    put(registry, an_entry("k1"), why="judgment", document="DOC-1")
    clock.time = NOW + 10
    note = StepNote(actor="bob", why="paid in full", document="DOC-2", ground=ReleaseGround.PAID)
    registry.step("court", "k1", Step.RELEASE, note=note)
    import_rows(registry, [an_entry("k2")])
    import_rows(registry, [])
    end = an_entry().until

    def step(version: int, name: str, status: EntryStatus, made: tuple[float, int], by: StepNote) -> PastStep:
        at, seq = made
        return PastStep(
            version=version,
            step=name,
            status=status,
            at=at,
            actor=by.actor,
            why=by.why,
            document=by.document,
            ground=by.ground,
            effective_until=end,
            seq=seq,
        )

    ann = StepNote(actor="ann", why="judgment", document="DOC-1")
    assert [
        step(1, "put", EntryStatus.IN_FORCE, (NOW, 2), ann),
        step(2, "release", EntryStatus.RELEASED, (NOW + 10, 3), note),
    ] == list(registry.history("court", "k1"))
    importer = StepNote(actor="ann")
    assert [
        step(1, "import", EntryStatus.IN_FORCE, (NOW + 10, 4), importer),
        step(2, "import", EntryStatus.WITHDRAWN, (NOW + 10, 5), importer),
    ] == list(registry.history("court", "k2"))


def test_who_an_entry_is_about_is_given_as_it_was_put(registry: EntryStore) -> None:
    entry = an_entry("k1", document(1), document(2, "XB"), names=("Nobody Atall", "无名氏"))
    put(registry, entry)
    take(registry, Step.STAY)
    known = registry.identity("court", "k1")
    assert KnownIdentity(identifiers=entry.identifiers, names=entry.names) == known
    assert "Nobody" not in repr(known)


# --- a second person ------------------------------------------------------------


def test_a_proposed_entry_has_no_effect_until_another_person_approves_it(registry: EntryStore) -> None:
    outcome = put(registry, an_entry("k1"), four_eyes=True)
    assert (EntryStatus.PROPOSED, 1, True, True) == (
        outcome.entry.status,
        outcome.entry.version,
        outcome.changed,
        outcome.pending,
    )
    with pytest.raises(SecondPersonRequired):
        take(registry, Step.APPROVE, by="ann")
    with pytest.raises(SecondPersonRequired):
        take(registry, Step.APPROVE, by="Ann")
    assert {} == indexed(registry)
    approved = take(registry, Step.APPROVE)
    assert (EntryStatus.IN_FORCE, 2) == (approved.status, approved.version)
    assert 1 == registry.count_in_force("court")
    assert ["propose", "approve"] == [each.step for each in registry.history("court", "k1")]


def test_the_same_proposal_again_changes_nothing_and_another_takes_its_place(registry: EntryStore) -> None:
    put(registry, an_entry("k1"), four_eyes=True)
    head = registry.head()
    again = put(registry, an_entry("k1"), by="bob", four_eyes=True)
    assert (False, True, head) == (again.changed, again.pending, registry.head())
    other = put(registry, an_entry("k1", case_reference="other"), by="bob", four_eyes=True)
    assert (True, True, 2, EntryStatus.PROPOSED) == (
        other.changed,
        other.pending,
        other.entry.version,
        other.entry.status,
    )
    # The proposer is who has written what is approved.
    with pytest.raises(SecondPersonRequired):
        take(registry, Step.APPROVE, by="bob")
    assert "other" == take(registry, Step.APPROVE, by="ann").case_reference


def test_what_was_proposed_stays_proposed_when_its_list_needs_one_person_only(registry: EntryStore) -> None:
    put(registry, an_entry("k1"), four_eyes=True)
    outcome = put(registry, an_entry("k1", case_reference="other"))
    assert (EntryStatus.PROPOSED, True, True) == (outcome.entry.status, outcome.changed, outcome.pending)


def test_an_amendment_waits_beside_its_entry_until_it_is_approved(registry: EntryStore) -> None:
    put(registry, an_entry("k1", document(1)))
    amended = an_entry("k1", document(2), case_reference="amended")
    outcome = put(registry, amended, four_eyes=True)
    assert (True, True, True) == (outcome.changed, outcome.pending, outcome.entry.pending)
    assert ("(2090) Demo k1", 2, EntryStatus.IN_FORCE) == (
        outcome.entry.case_reference,
        outcome.entry.version,
        outcome.entry.status,
    )
    assert {"(2090) Demo k1": False} == indexed(registry)
    with pytest.raises(SecondPersonRequired):
        take(registry, Step.APPROVE, by="ann")
    head = registry.head()
    approved = take(registry, Step.APPROVE)
    assert ("amended", 3, False, head + 1) == (
        approved.case_reference,
        approved.version,
        approved.pending,
        registry.head(),
    )
    assert {"amended": False} == indexed(registry)
    assert amended.identifiers == registry.identity("court", "k1").identifiers
    assert 1 == registry.count_in_force("court")
    assert [("put", "ann"), ("propose", "ann"), ("approve", "bob")] == [
        (each.step, each.actor) for each in registry.history("court", "k1")
    ]


def test_a_rejected_amendment_leaves_its_entry_as_it_was(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k1", case_reference="amended"), four_eyes=True)
    rejected = take(registry, Step.REJECT)
    assert ("(2090) Demo k1", EntryStatus.IN_FORCE, False, 3) == (
        rejected.case_reference,
        rejected.status,
        rejected.pending,
        rejected.version,
    )
    with pytest.raises(StepNotAllowed):
        take(registry, Step.APPROVE)


def test_a_newer_amendment_takes_the_place_of_an_older_one(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    seen = put(registry, an_entry("k1", case_reference="first"), four_eyes=True).entry.version
    put(registry, an_entry("k1", case_reference="second"), by="bob", four_eyes=True)
    assert 1 == len(registry.proposals())
    # Whoever has seen the first does not approve the second by mistake.
    with pytest.raises(VersionMissed):
        take(registry, Step.APPROVE, by="carol", expected_version=seen)
    assert "second" == take(registry, Step.APPROVE, by="ann").case_reference


def test_an_amendment_that_says_what_stands_or_waits_already_changes_nothing(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    same = put(registry, an_entry("k1"), four_eyes=True)
    assert (False, False) == (same.changed, same.pending)
    put(registry, an_entry("k1", case_reference="other"), four_eyes=True)
    head = registry.head()
    again = put(registry, an_entry("k1", case_reference="other"), by="bob", four_eyes=True)
    assert (False, True, head) == (again.changed, again.pending, registry.head())


@pytest.mark.parametrize("step", [Step.RELEASE, Step.WITHDRAW])
def test_an_amendment_is_given_up_when_its_entry_leaves_the_list(registry: EntryStore, step: Step) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k1", case_reference="other"), four_eyes=True)
    assert not take(registry, step).pending
    assert [] == list(registry.proposals())
    put(registry, an_entry("k1"))
    with pytest.raises(StepNotAllowed):
        take(registry, Step.APPROVE)


def test_a_stay_leaves_an_amendment_waiting_and_outlasts_it(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k1", case_reference="other"), four_eyes=True)
    assert take(registry, Step.STAY).pending
    approved = take(registry, Step.APPROVE)
    assert ("other", EntryStatus.STAYED) == (approved.case_reference, approved.status)


def test_an_amendment_by_one_person_gives_up_the_one_that_waits(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k1", case_reference="waits"), four_eyes=True)
    assert not put(registry, an_entry("k1", case_reference="direct")).entry.pending
    assert [] == list(registry.proposals())


def test_an_entry_that_has_left_is_listed_again_only_by_two_people_where_it_takes_two(registry: EntryStore) -> None:
    brought_to(registry, EntryStatus.RELEASED)
    again = put(registry, an_entry("k1"), four_eyes=True)
    assert (EntryStatus.PROPOSED, 4) == (again.entry.status, again.entry.version)
    assert {} == indexed(registry)
    assert EntryStatus.IN_FORCE is take(registry, Step.APPROVE).status


def test_proposals_are_given_oldest_first_of_one_list_or_of_all(registry: EntryStore, clock: StillClock) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k2"), four_eyes=True)
    clock.time = NOW + 5
    put(registry, an_entry("k1", case_reference="other"), by="bob", four_eyes=True)
    take(registry, Step.STAY, "k1")
    put(registry, an_entry("k3", list="carrier"), by="carol", four_eyes=True)
    told = [
        (each.list, each.key, each.amendment, each.proposer, each.proposed_at, each.version) for each in registry.proposals()
    ]
    assert [
        ("court", "k2", False, "ann", NOW, 1),
        ("court", "k1", True, "bob", NOW + 5, 3),
        ("carrier", "k3", False, "carol", NOW + 5, 1),
    ] == told
    assert ["k2", "k1"] == [each.key for each in registry.proposals("court")]
    assert ["k2"] == [each.key for each in registry.proposals(limit=1)]
    assert ["k1"] == [each.key for each in registry.proposals("court", key="k1")]
    assert [] == list(registry.proposals("court", key="k3"))
    assert [] == list(registry.proposals("none"))


def test_a_proposal_shows_the_entry_as_its_approval_leaves_it(registry: EntryStore) -> None:
    put(registry, an_entry("k1", document(1), document(2)), four_eyes=True)
    put(registry, an_entry("k2", document(3), document(4)))
    amended = an_entry(
        "k2",
        document(4),
        document(5),
        document(6),
        case_reference="amended",
        legal_basis="another law",
        measures=("no-air",),
    )
    put(registry, amended, four_eyes=True)
    take(registry, Step.STAY, "k2")
    brought_to(registry, EntryStatus.RELEASED, "k3")
    put(registry, an_entry("k3", document(7)), four_eyes=True)
    shown = {each.key: each for each in registry.proposals()}
    assert {"k1": (2, 0), "k2": (2, 1), "k3": (1, 0)} == {
        key: (each.identifiers_added, each.identifiers_removed) for key, each in shown.items()
    }
    for key, each in shown.items():
        assert registry.entry("court", key).version == each.version == each.proposed.version
        approved = take(registry, Step.APPROVE, key, expected_version=each.version)
        assert msgspec.structs.replace(approved, version=each.version) == each.proposed
    assert ("amended", "another law", ("no-air",), EntryStatus.STAYED) == (
        *(shown["k2"].proposed.case_reference, shown["k2"].proposed.legal_basis),
        *(shown["k2"].proposed.measures, shown["k2"].proposed.status),
    )


def test_an_amendment_of_what_was_reaffirmed_since_shows_the_later_lapse(registry: EntryStore) -> None:
    put(registry, an_entry("k1", lapses_at=int(NOW) + DAY_S))
    put(registry, an_entry("k1", case_reference="amended", lapses_at=int(NOW) + DAY_S), four_eyes=True)
    digest = registry.matching(Step.RENEW, COURT, actor="ann").digest
    registry.bulk(Step.RENEW, COURT, digest=digest, note=StepNote(actor="ann"), lapses_at=int(NOW) + 2 * DAY_S)
    (waits,) = registry.proposals()
    assert (NOW + 2 * DAY_S,) * 2 == (waits.proposed.lapses_at, waits.proposed.effective_until)
    approved = take(registry, Step.APPROVE, expected_version=waits.version)
    assert msgspec.structs.replace(approved, version=waits.version) == waits.proposed


def test_who_a_proposal_is_about_is_given_beside_who_the_entry_is_about(registry: EntryStore) -> None:
    new = an_entry("k1", document(1), names=("Nobody Atall",))
    put(registry, new, four_eyes=True)
    first = KnownIdentity(identifiers=new.identifiers, names=new.names)
    assert [first, first] == [registry.identity("court", "k1", proposed=asked) for asked in (False, True)]
    take(registry, Step.APPROVE)
    with pytest.raises(NotFound, match="waits"):
        registry.identity("court", "k1", proposed=True)
    amended = an_entry("k1", document(2), names=("Nobody Else",))
    put(registry, amended, four_eyes=True)
    second = KnownIdentity(identifiers=amended.identifiers, names=amended.names)
    assert [first, second] == [registry.identity("court", "k1", proposed=asked) for asked in (False, True)]
    take(registry, Step.REJECT)
    with pytest.raises(NotFound, match="waits"):
        registry.identity("court", "k1", proposed=True)


# --- imports ------------------------------------------------------------


@pytest.mark.parametrize("status", [EntryStatus.RELEASED, EntryStatus.WITHDRAWN, EntryStatus.IN_ERROR])
def test_no_import_brings_back_what_a_person_took_off(registry: EntryStore, status: EntryStatus) -> None:
    before = brought_to(registry, status)
    counts = import_rows(registry, [an_entry("k1"), an_entry("k2")]).counts
    assert ImportCounts(added=1, superseded=1) == counts
    assert before == registry.entry("court", "k1")
    put(registry, an_entry("k1"))
    assert (
        ImportCounts(amended=1, unchanged=1)
        == import_rows(registry, [an_entry("k1", case_reference="newer"), an_entry("k2")]).counts
    )


def test_what_an_import_has_withdrawn_stays_away_once_a_person_withdraws_it_too(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    import_rows(registry, [an_entry("k2")], full=True)
    withdrawn = take(registry, Step.WITHDRAW)
    assert (EntryStatus.WITHDRAWN, 3) == (withdrawn.status, withdrawn.version)
    assert ImportCounts(unchanged=1, superseded=1) == import_rows(registry, [an_entry("k1"), an_entry("k2")]).counts
    with pytest.raises(StepNotAllowed):
        take(registry, Step.WITHDRAW)


def test_what_was_taken_off_is_left_alone_while_its_listing_again_is_proposed_and_rejected(registry: EntryStore) -> None:
    brought_to(registry, EntryStatus.RELEASED)
    put(registry, an_entry("k1"), four_eyes=True)
    assert ImportCounts(superseded=1) == import_rows(registry, [an_entry("k1")]).counts
    take(registry, Step.REJECT)
    assert ImportCounts(superseded=1) == import_rows(registry, [an_entry("k1")]).counts


def test_an_import_lists_what_was_only_proposed(registry: EntryStore) -> None:
    put(registry, an_entry("k1"), four_eyes=True)
    assert ImportCounts(added=1) == import_rows(registry, [an_entry("k1")]).counts
    assert (EntryStatus.IN_FORCE, 1) == (registry.entry("court", "k1").status, registry.count_in_force("court"))


def test_a_full_import_leaves_proposals_waiting(registry: EntryStore) -> None:
    put(registry, an_entry("k1"), four_eyes=True)
    assert ImportCounts() == import_rows(registry, []).counts
    assert 1 == len(registry.proposals())


def test_a_stay_outlasts_an_import(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    take(registry, Step.STAY)
    assert ImportCounts(amended=1) == import_rows(registry, [an_entry("k1", case_reference="newer")]).counts
    assert {"newer": True} == indexed(registry)
    assert ImportCounts(unchanged=1) == import_rows(registry, [an_entry("k1", case_reference="newer")]).counts


def test_a_stay_outlasts_imports_that_left_the_entry_out_by_mistake(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    take(registry, Step.STAY)
    import_rows(registry, [])
    assert EntryStatus.WITHDRAWN is registry.entry("court", "k1").status
    assert ImportCounts(added=1) == import_rows(registry, [an_entry("k1")]).counts
    assert {"(2090) Demo k1": True} == indexed(registry)
    assert 1 == registry.count_in_force("court")


def test_an_amendment_that_waits_outlasts_an_import_that_keeps_its_entry(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k1", case_reference="waits"), four_eyes=True)
    import_rows(registry, [an_entry("k1", case_reference="imported")])
    assert registry.entry("court", "k1").pending
    import_rows(registry, [])
    assert not registry.entry("court", "k1").pending


def careful(key: str, **changes: Any) -> Entry:
    return an_entry(key, list="careful", **changes)


def test_an_import_of_a_list_of_four_eyes_waits_when_it_adds_or_amends(registry: EntryStore) -> None:
    outcome = import_rows(registry, [careful("k1"), careful("k2")], list_name="careful")
    assert outcome.held is not None
    assert (ImportCounts(added=2), 0, 0) == (outcome.counts, outcome.held.lost, registry.count_in_force("careful"))
    assert ImportCounts(added=2) == registry.approve_import(outcome.import_id, actor="bob", purpose="").counts
    assert import_rows(registry, [careful("k1", case_reference="other")], list_name="careful", full=False).held
    assert {"(2090) Demo k1": False, "(2090) Demo k2": False} == indexed(registry)


def test_a_file_that_only_reaffirms_what_binds_needs_no_second_person(registry: EntryStore, clock: StillClock) -> None:
    def due(key: str, lapses_at: int, **changes: Any) -> Entry:
        return an_entry(key, list="careful", lapses_at=lapses_at, **changes)

    keys = ["k1", "q2"]
    first = import_rows(registry, [due(key, NOW + DAY_S) for key in keys], list_name="careful")
    registry.approve_import(first.import_id, actor="bob", purpose="")
    renewed = import_rows(registry, [due(key, NOW + 2 * DAY_S) for key in keys], list_name="careful")
    assert (None, 2) == (renewed.held, renewed.counts.amended)
    assert [NOW + 2 * DAY_S] * 2 == [registry.entry("careful", key).lapses_at for key in keys]
    amended = [due("k1", NOW + 3 * DAY_S, case_reference="other"), due("q2", NOW + 3 * DAY_S)]
    assert import_rows(registry, amended, list_name="careful").held is not None
    # What has lapsed binds nobody, and to have it bind again takes two.
    clock.time = NOW + 2 * DAY_S
    assert import_rows(registry, [due(key, NOW + 4 * DAY_S) for key in keys], list_name="careful").held is not None
    assert [NOW + 2 * DAY_S] * 2 == [registry.entry("careful", key).lapses_at for key in keys]


def test_an_amendment_that_waits_takes_nothing_from_a_renewal(registry: EntryStore) -> None:
    put(registry, an_entry("k1", lapses_at=NOW + DAY_S))
    put(registry, an_entry("k1", lapses_at=NOW + DAY_S, case_reference="other"), four_eyes=True)
    planned = registry.matching(Step.RENEW, COURT, actor="ann")
    note = StepNote(actor="ann")
    registry.bulk(Step.RENEW, COURT, digest=planned.digest, note=note, lapses_at=NOW + 9 * DAY_S)
    approved = take(registry, Step.APPROVE)
    assert ("other", NOW + 9 * DAY_S) == (approved.case_reference, approved.lapses_at)


def test_an_import_of_a_list_of_four_eyes_that_only_takes_entries_away_is_left_to_the_guard(registry: EntryStore) -> None:
    held = import_rows(registry, [careful("k1"), careful("k2")], list_name="careful")
    registry.approve_import(held.import_id, actor="bob", purpose="")
    outcome = import_rows(registry, [careful("k1")], list_name="careful")
    assert (None, ImportCounts(unchanged=1, withdrawn=1)) == (outcome.held, outcome.counts)


def test_a_held_import_leaves_alone_what_a_person_took_off_meanwhile(registry: EntryStore) -> None:
    held = import_rows(registry, [careful("k1"), careful("k2")], list_name="careful")
    registry.approve_import(held.import_id, actor="bob", purpose="")
    note = StepNote(actor="ann")
    registry.step("careful", "k1", Step.RELEASE, note=note)
    rows = [careful("k1", case_reference="new"), careful("k2", case_reference="new"), careful("k3")]
    held = import_rows(registry, rows, list_name="careful")
    assert ImportCounts(added=1, amended=1, superseded=1) == held.counts
    assert [held.counts] == [each.counts for each in registry.held_imports()]
    registry.step("careful", "k2", Step.RELEASE, note=note)
    counts = registry.approve_import(held.import_id, actor="bob", purpose="").counts
    assert ImportCounts(added=1, superseded=2) == counts


# --- ends ------------------------------------------------------------


def test_an_entry_ends_when_it_lapses_and_states_its_end_all_the_same(registry: EntryStore) -> None:
    entry = an_entry("k1", lapses_at=NOW + DAY_S)
    stored = put(registry, entry).entry
    assert (entry.until, NOW + DAY_S, NOW + DAY_S) == (stored.until, stored.effective_until, stored.lapses_at)
    with registry.view() as view:
        assert {NOW + DAY_S} == {each.until for _, each in view.index({"court"})}
    assert NOW + DAY_S == registry.as_of(registry.head(), {stored.entry_id}).entries[0].until
    assert NOW + DAY_S == registry.history("court", "k1")[0].effective_until


def test_an_import_renews_what_would_lapse_and_changes_nothing_within_one_step_of_the_grid(registry: EntryStore) -> None:
    rows = [an_entry("k1", lapses_at=NOW + DAY_S)]
    import_rows(registry, rows)
    assert ImportCounts(unchanged=1) == import_rows(registry, rows).counts
    assert ImportCounts(amended=1) == import_rows(registry, [an_entry("k1", lapses_at=NOW + 2 * DAY_S)]).counts
    assert NOW + 2 * DAY_S == registry.entry("court", "k1").effective_until
    # A lapse that comes after the end moves nothing.
    far = [an_entry("k1", until=NOW + DAY_S, lapses_at=NOW + days * DAY_S) for days in (5, 6)]
    assert [ImportCounts(amended=1), ImportCounts(unchanged=1)] == [import_rows(registry, [row]).counts for row in far]


def test_a_put_of_the_same_entry_renews_it(registry: EntryStore) -> None:
    put(registry, an_entry("k1", lapses_at=NOW + DAY_S))
    assert not put(registry, an_entry("k1", lapses_at=NOW + DAY_S)).changed
    renewed = put(registry, an_entry("k1", lapses_at=NOW + 2 * DAY_S))
    assert (True, NOW + 2 * DAY_S) == (renewed.changed, renewed.entry.effective_until)


# --- many at once ------------------------------------------------------------


def run(registry: EntryStore, step: Step, query: EntryQuery = COURT, *, by: str = "bob", **given: Any) -> int:
    planned = registry.matching(step, query, actor=by)
    count = registry.bulk(step, query, digest=planned.digest, note=StepNote(actor=by, why="all of them"), **given)
    assert planned.count == count
    return count


def test_a_query_narrows_by_what_it_says(registry: EntryStore) -> None:
    put(registry, an_entry("a1", case_reference="X 1"))
    put(registry, an_entry("a2", case_reference="Y 2", valid_from=NOW - 10))
    put(registry, an_entry("A3", case_reference="Y 3", until=NOW + 10))
    put(registry, an_entry("a4", case_reference="Y%4", lapses_at=NOW + 20))
    put(registry, an_entry("a5", list="carrier"))
    for given, keys in (
        ({}, ["a1", "a2", "A3", "a4"]),
        ({"key_prefix": "a"}, ["a1", "a2", "a4"]),
        ({"key_prefix": "a", "case_reference_prefix": "Y"}, ["a2", "a4"]),
        ({"case_reference_prefix": "Y%"}, ["a4"]),
        ({"valid_from_before": NOW - 10}, ["a1", "A3", "a4"]),
        ({"until_before": NOW + 20}, ["A3"]),
        ({"until_before": NOW + 21}, ["A3", "a4"]),
        ({"key_prefix": "b"}, []),
    ):
        found = registry.matching(Step.RELEASE, EntryQuery(list="court", **given), actor="bob")
        assert (keys, len(keys)) == ([each.key for each in found.samples], found.count), given
    assert 0 == registry.matching(Step.RELEASE, EntryQuery(list="none"), actor="bob").count


def test_a_plan_shows_the_first_ten_and_counts_all(registry: EntryStore) -> None:
    import_rows(registry, [an_entry(f"k{number}") for number in range(25)])
    planned = registry.matching(Step.RELEASE, COURT, actor="bob")
    assert (25, [f"k{number}" for number in range(10)], 0) == (
        planned.count,
        [each.key for each in planned.samples],
        planned.skipped,
    )


def test_a_release_of_many_is_one_change(registry: EntryStore) -> None:
    import_rows(registry, [an_entry(f"k{number}") for number in range(5)])
    take(registry, Step.STAY, "k1")
    take(registry, Step.WITHDRAW, "k2")
    put(registry, an_entry("k3", case_reference="waits"), four_eyes=True)
    head = registry.head()
    assert 4 == run(registry, Step.RELEASE)
    assert (head + 1, 0, {}) == (registry.head(), registry.count_in_force("court"), indexed(registry))
    assert ["released", "released", "withdrawn", "released", "released"] == [
        each.status for each in registry.entries("court", after_id=0, limit=10)
    ]
    assert [] == list(registry.proposals())
    last = registry.history("court", "k1")[-1]
    assert ("release", "bob", "all of them", 3) == (last.step, last.actor, last.why, last.version)
    # A person has taken them off.
    assert ImportCounts(superseded=1) == import_rows(registry, [an_entry("k0")]).counts


def test_an_approval_of_many_leaves_out_what_the_actor_has_proposed(registry: EntryStore) -> None:
    put(registry, an_entry("k0"))
    put(registry, an_entry("k1"))
    put(registry, an_entry("k0", case_reference="amended"), four_eyes=True)
    put(registry, an_entry("k1", case_reference="by bob"), by="bob", four_eyes=True)
    put(registry, an_entry("k2"), four_eyes=True)
    put(registry, an_entry("k3"), by="BOB", four_eyes=True)
    put(registry, an_entry("k4"))
    planned = registry.matching(Step.APPROVE, COURT, actor="bob")
    assert (2, ["k0", "k2"], 2) == (planned.count, [each.key for each in planned.samples], planned.skipped)
    head = registry.head()
    assert 2 == run(registry, Step.APPROVE)
    assert (head + 1, 4) == (registry.head(), registry.count_in_force("court"))
    assert "amended" in indexed(registry)
    assert "by bob" not in indexed(registry)
    assert [("k1", "bob"), ("k3", "BOB")] == [(each.key, each.proposer) for each in registry.proposals()]


def test_a_renewal_of_many_moves_their_lapse(registry: EntryStore) -> None:
    put(registry, an_entry("k1", lapses_at=NOW + DAY_S))
    put(registry, an_entry("k2", lapses_at=NOW + DAY_S, until=NOW + 3 * DAY_S))
    take(registry, Step.STAY, "k2")
    head = registry.head()
    assert 2 == run(registry, Step.RENEW, lapses_at=NOW + 5 * DAY_S)
    assert head + 1 == registry.head()
    assert [
        ("in-force", NOW + 5 * DAY_S, NOW + 5 * DAY_S),
        ("stayed", NOW + 5 * DAY_S, NOW + 3 * DAY_S),
    ] == [(each.status, each.lapses_at, each.effective_until) for each in registry.entries("court", after_id=0, limit=9)]


def test_a_plan_whose_entries_have_changed_is_not_run(registry: EntryStore) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k2"))
    note = StepNote(actor="bob")

    def refused(digest: str, step: Step = Step.RELEASE) -> bool:
        head = registry.head()
        with pytest.raises(PlanChanged):
            registry.bulk(step, COURT, digest=digest, note=note)
        return head == registry.head()

    digest = registry.matching(Step.RELEASE, COURT, actor="bob").digest
    assert refused(registry.matching(Step.RENEW, COURT, actor="bob").digest)
    put(registry, an_entry("k3"))
    assert refused(digest)
    digest = registry.matching(Step.RELEASE, COURT, actor="bob").digest
    take(registry, Step.STAY, "k2")
    assert refused(digest)
    put(registry, an_entry("k1", case_reference="waits"), four_eyes=True)
    digest = registry.matching(Step.APPROVE, COURT, actor="bob").digest
    put(registry, an_entry("k1", case_reference="waits otherwise"), four_eyes=True)
    assert refused(digest, Step.APPROVE)


def test_a_plan_that_finds_nothing_changes_nothing(registry: EntryStore) -> None:
    head = registry.head()
    assert 0 == run(registry, Step.RELEASE)
    assert head == registry.head()


# --- whole lists ------------------------------------------------------------


def switch(registry: EntryStore, by: str, *, suspend: bool, why: str = "flawed source") -> tuple[bool, str]:
    stands = registry.switch_list("court", suspend=suspend, note=StepNote(actor=by, why=why))
    assert stands == registry.list_switch("court")
    return stands.suspended, stands.requested_by


def suspended(registry: EntryStore) -> list[str]:
    policy = registry.policy()
    with registry.view() as view:
        assert policy == view.policy
    assert policy == registry.as_of(registry.head(), ()).policy
    return [each.name for each in policy.lists if each.suspended]


def test_two_people_suspend_a_list_and_two_resume_it(registry: EntryStore, clock: StillClock) -> None:
    clock.time = NOW + 3
    head = registry.head()
    assert (False, "ann") == switch(registry, "ann", suspend=True)
    asked = registry.list_switch("court")
    assert (NOW + 3, "flawed source") == (asked.requested_at, asked.reason)
    assert (False, "ann") == switch(registry, "Ann", suspend=True)
    assert ([], head + 1) == (suspended(registry), registry.head())
    assert (True, "") == switch(registry, "bob", suspend=True)
    assert (["court"], head + 2) == (suspended(registry), registry.head())
    assert (True, "bob") == switch(registry, "bob", suspend=False)
    assert ["court"] == suspended(registry)
    assert (False, "") == switch(registry, "ann", suspend=False)
    assert [] == suspended(registry)
    assert [["court"], []] == [
        [each.name for each in registry.as_of(seq, ()).policy.lists if each.suspended] for seq in (head + 3, head + 1)
    ]


def test_a_request_is_given_up_by_whoever_asks_for_what_stands(registry: EntryStore) -> None:
    switch(registry, "ann", suspend=True)
    head = registry.head()
    assert (False, "") == switch(registry, "bob", suspend=False)
    assert head + 1 == registry.head()
    assert (False, "") == switch(registry, "bob", suspend=False)
    assert head + 1 == registry.head()
    assert (False, "carol") == switch(registry, "carol", suspend=True)


def test_a_policy_that_is_applied_leaves_what_is_suspended_so(registry: EntryStore) -> None:
    switch(registry, "ann", suspend=True)
    switch(registry, "bob", suspend=True)
    assert not registry.apply_policy(POLICY, actor="ann")
    assert not registry.apply_policy(registry.policy(), actor="ann")
    assert registry.apply_policy(Policy(lists=(a_list("court"),)), actor="ann")
    assert ["court"] == suspended(registry)


def test_a_list_that_no_policy_has_can_not_be_switched(registry: EntryStore) -> None:
    with pytest.raises(NotFound):
        registry.switch_list("none", suspend=True, note=StepNote(actor="ann"))
    with pytest.raises(NotFound):
        registry.list_switch("none")
