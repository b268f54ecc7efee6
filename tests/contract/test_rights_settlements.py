"""Settlements and the releases that wait for them, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import NotFound
from portcullis.ports import Settlement, WaitingRelease
from tests.support.policies import NOW
from tests.support.registry_entries import an_entry, document
from tests.support.rights import NOTE, Office, a_case

REFERENCE = "(2090) Demo k1"
KEEPER = StepNote(actor="keeper", why="settled")


def settle(office: Office, event_id: str = "e1", *, release_at: float = NOW + 100.0, partner: str = "lender") -> int:
    """Report the entry k1 of the court's list as settled."""
    return office.rights.note_settlements([settlement(event_id, release_at=release_at, partner=partner)])


def settlement(
    event_id: str,
    *,
    list_name: str = "court",
    case_reference: str = REFERENCE,
    partner: str = "lender",
    release_at: float = NOW + 100.0,
) -> Settlement:
    return Settlement(
        list=list_name,
        case_reference=case_reference,
        partner=partner,
        event_id=event_id,
        reported_at=NOW + 0.5,
        release_at=release_at,
    )


def waits(office: Office, list_name: str = "") -> list[tuple[str, str, float]]:
    return [(each.list, each.key, each.release_at) for each in office.rights.waiting(list_name)]


def test_the_entries_of_a_settled_case_wait_for_their_release(office: Office) -> None:
    office.put(an_entry("k3", document(3), case_reference=REFERENCE))
    assert settle(office) == 2
    first, second = office.rights.waiting()
    assert (
        WaitingRelease(
            settlement_id=first.settlement_id,
            list="court",
            key="k1",
            case_reference=REFERENCE,
            partner="lender",
            reported_at=NOW + 0.5,
            release_at=NOW + 100.0,
        )
        == first
    )
    assert second.key == "k3"
    assert list(office.rights.waiting(limit=1)) == [first]


def test_releases_of_one_list_are_told_apart(office: Office) -> None:
    settle(office)
    office.rights.note_settlements([settlement("e1", list_name="carrier", release_at=NOW + 50)])
    assert [("carrier", "k1", NOW + 50.0), ("court", "k1", NOW + 100.0)] == waits(office)
    assert [("court", "k1", NOW + 100.0)] == waits(office, "court")
    assert waits(office, "secret") == []


def test_what_settles_no_listed_entry_lets_nothing_wait(office: Office) -> None:
    office.step(Step.RELEASE)
    assert settle(office) == 0
    assert office.rights.note_settlements([settlement("e", list_name="none", case_reference="x")]) == 0
    assert office.rights.note_settlements([]) == 0
    assert waits(office) == []


def test_many_settlements_are_noted_at_once_and_one_that_comes_twice_is_noted_once(office: Office) -> None:
    office.put(an_entry("k3", document(3), case_reference="other"))
    settle(office, "e0")
    told = [
        settlement("e0"),
        settlement("e1"),
        settlement("e2", list_name="carrier"),
        settlement("e3", case_reference="other"),
        settlement("e3", case_reference="other"),
        settlement("e4", case_reference="none"),
        settlement("e1", partner="shop"),
    ]
    assert 4 == office.rights.note_settlements(told)
    assert {("court", "k1"), ("carrier", "k1"), ("court", "k3")} == {place[:2] for place in waits(office)}


def test_the_same_event_again_changes_nothing(office: Office) -> None:
    assert settle(office) == 1
    assert settle(office, release_at=NOW + 10.0) == 0
    assert [("court", "k1", NOW + 100.0)] == waits(office)


def test_an_event_that_two_take_over_at_once_is_noted_once(office: Office) -> None:
    start = Barrier(2)

    def take_over() -> int:
        start.wait(10)
        return settle(office)

    with ThreadPoolExecutor(2) as pool:
        assert sorted(each.result(30) for each in [pool.submit(take_over), pool.submit(take_over)]) == [0, 1]


def test_an_entry_waits_once_and_the_earliest_release_counts(office: Office) -> None:
    settle(office, "e1")
    settle(office, "e1", partner="other", release_at=NOW + 200.0)
    assert [("court", "k1", NOW + 100.0)] == waits(office)
    settle(office, "e2", release_at=NOW + 50.0)
    assert [("court", "k1", NOW + 50.0)] == waits(office)


def test_an_entry_is_released_as_settled_once_its_time_has_come(office: Office) -> None:
    settle(office)
    settle(office, "e2", release_at=NOW + 200.0)
    assert office.rights.release_due(NOW + 99.9, note=KEEPER) == 0
    assert office.rights.release_due(NOW + 100.0, note=KEEPER) == 1
    last = office.registry.history("court", "k1")[-1]
    assert (EntryStatus.RELEASED, ReleaseGround.SETTLED, "keeper") == (last.status, last.ground, last.actor)
    assert waits(office) == []
    assert office.rights.release_due(NOW + 300.0, note=KEEPER) == 0


def test_a_stayed_entry_is_released_too(office: Office) -> None:
    settle(office)
    office.open(a_case(office.entry(), stayed=True), Step.STAY)
    assert office.rights.release_due(NOW + 100.0, note=KEEPER) == 1
    assert office.entry().status == EntryStatus.RELEASED


def test_releases_come_in_batches_the_soonest_first(office: Office) -> None:
    office.put(an_entry("k3", document(3), case_reference="other"))
    settle(office)
    office.rights.note_settlements([settlement("e", case_reference="other", release_at=NOW + 1.0)])
    assert office.rights.release_due(NOW + 500.0, note=KEEPER, limit=1) == 1
    assert [("court", "k1", NOW + 100.0)] == waits(office)
    assert office.rights.release_due(NOW + 500.0, note=KEEPER, limit=1) == 1


def test_looking_for_what_is_due_takes_no_number_and_holds_up_no_writer(office: Office) -> None:
    settle(office)
    head = office.registry.head()
    with office.rights._database.writing():
        assert office.rights.release_due(NOW + 99.0, note=KEEPER) == 0
    assert head == office.registry.head()


def test_an_amendment_leaves_the_wait_as_it_is(office: Office) -> None:
    settle(office)
    office.put(an_entry("k1", document(1), purpose="another"))
    assert [("court", "k1", NOW + 100.0)] == waits(office)


@pytest.mark.parametrize("step", [Step.RELEASE, Step.WITHDRAW])
def test_an_entry_that_leaves_otherwise_waits_no_more_even_when_it_is_listed_again(office: Office, step: Step) -> None:
    settle(office)
    office.step(step)
    assert waits(office) == []
    office.put(an_entry("k1", document(1)))
    assert waits(office) == []
    assert office.rights.release_due(NOW + 500.0, note=KEEPER) == 0
    assert office.entry().status == EntryStatus.IN_FORCE
    settle(office, "e2")
    assert len(waits(office)) == 1


def test_what_other_steps_have_ended_is_not_looked_at_for_ever(office: Office) -> None:
    settle(office)
    office.step(Step.RELEASE)
    assert office.rights.release_due(NOW + 500.0, note=KEEPER) == 0
    assert office.scalars("SELECT settlement_id FROM settlements WHERE ended_at IS NULL") == []


def test_an_objection_stops_the_release_and_the_log_says_whose_it_is(office: Office) -> None:
    settle(office)
    settle(office, "e2", release_at=NOW + 200.0)
    before = office.registry.head()
    office.rights.object_to("court", "k1", note=NOTE)
    assert waits(office) == []
    assert office.rights.release_due(NOW + 500.0, note=KEEPER) == 0
    assert before + 1 == office.registry.head()
    assert office.last_change() == ("object", "rev", "court/k1", "as told", "D-1")


def test_after_an_objection_a_new_event_starts_another_wait_and_an_old_one_none(office: Office) -> None:
    settle(office)
    office.rights.object_to("court", "k1", note=NOTE)
    assert settle(office) == 0
    assert waits(office) == []
    assert settle(office, "e2") == 1
    assert len(waits(office)) == 1


def test_where_no_release_waits_there_is_nothing_to_object_to(office: Office) -> None:
    settle(office)
    for list_name, key in (("court", "k2"), ("court", "k9"), ("carrier", "k1")):
        with pytest.raises(NotFound):
            office.rights.object_to(list_name, key, note=NOTE)
    office.step(Step.RELEASE)
    with pytest.raises(NotFound):
        office.rights.object_to("court", "k1", note=NOTE)


def test_an_objection_that_comes_too_late_stops_nothing_even_while_the_keeper_is_late_too(office: Office) -> None:
    settle(office)
    settle(office, "e2", release_at=NOW + 200.0)
    office.clock.time = NOW + 100
    with pytest.raises(NotFound, match="any more"):
        office.rights.object_to("court", "k1", note=NOTE)
    assert office.rights.release_due(NOW + 100.0, note=KEEPER) == 1


def test_how_far_a_journal_was_read_only_grows(office: Office) -> None:
    assert office.rights.read_up_to("journal-a") == 0
    for sequence, expected in ((7, 7), (3, 7), (9, 9)):
        office.rights.mark_read("journal-a", sequence)
        assert expected == office.rights.read_up_to("journal-a")
    assert office.rights.read_up_to("journal-b") == 0
