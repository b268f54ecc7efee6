"""What follows when an entry ends: the harm it did, the proof that it is gone, and what is kept no longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from portcullis.adapters.log_signing import LogSigner
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain.certificates import Dropped, read_certificate
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import NotFound, StepNotAllowed, StoreUnavailable
from portcullis.domain.policies import DEFAULT_KEPT_S
from portcullis.ports import Acknowledgement, Certificate, Impact, Look, Removed, Settlement, SubjectSession
from portcullis.registry.aftermath import Aftermath
from tests.support.decision_records import a_reason, a_record
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.registry_entries import document
from tests.support.rights import DAY_S, tokens
from tests.support.rights_homes import RightsHome

LISTS = (
    a_list("court", kept_after_end_s=10 * DAY_S, looks_kept_s=5 * DAY_S, decisions_kept_s=20 * DAY_S),
    a_list("carrier", decisions_kept_s=40 * DAY_S),
)
ANN = StepNote(actor="ann", why="wrong person", document="D-1")


class World:
    """A registry, a journal, and gateways that say what they serve."""

    def __init__(self, folder: Path) -> None:
        self.home = RightsHome(folder, *LISTS)
        self.store = MemorySnapshotStore()
        self.signer = LogSigner(bytes(range(32)), folder)
        self.aftermath = Aftermath(
            registry=self.home.registry,
            life=self.home.registry,
            rights=self.home.rights,
            journal=self.home.journal,
            acknowledgements=self.store,
            signer=self.signer,
            names=self.home.names,
            clock=self.home.clock,
        )

    def decide(self, decision_id: str, *, about: int = 1, **changes: Any) -> None:
        """Have a decision made about the holder of a passport, because of the court's first entry."""
        own = [token.hex() for token in tokens(about)]
        self.home.journal.record_decisions([a_record(decision_id, tokens=own, **changes)])

    def serve(self, host: str, version: int, registry_seq: int) -> None:
        """Have a host say what it serves."""
        self.store.acknowledge(Acknowledgement(host, version, registry_seq, NOW + 0.5))

    def head(self) -> int:
        """Give the number of the registry's last change."""
        return self.home.registry.head()

    def close(self) -> None:
        """Give up the databases."""
        self.home.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as opened:
        yield opened


def ids(impact: Impact) -> tuple[str, list[str]]:
    return impact.partner, [each.decision_id for each in impact.decisions]


# --- impact ------------------------------------------------------------


def test_an_entry_has_caused_what_it_gave_a_reason_for_in_earnest_partner_by_partner(world: World) -> None:
    entry = world.home.put("k1", document(1))
    other = world.home.put("k2", document(1))
    own, others = a_reason(entry_id=entry.entry_id), a_reason(entry_id=other.entry_id)
    world.decide("d2", decided_at=NOW + 2.0, reasons=(own, others))
    world.decide("d1", decided_at=NOW + 1.0, reasons=(own,))
    world.decide("d3", partner="airline", reasons=(others, own))
    world.decide("d4", reasons=(others,))
    world.decide("d5", reasons=(own,), dry_run=True)
    world.decide("d6", reasons=(a_reason(entry_id=entry.entry_id, shadow=True), others))
    world.decide("d7", about=2, reasons=(own,))
    world.home.registry.step("court", "k1", Step.WITHDRAW, note=ANN)
    found = world.aftermath.impact("court", "k1", actor="otto", purpose="making good")
    assert [("airline", ["d3"]), ("lending", ["d1", "d2"])] == [ids(each) for each in found]
    look = Look(actor="otto", at=NOW, purpose="making good")
    assert [look] == list(world.home.registry.looks("court", "k1"))
    assert [look] == list(world.home.journal.looks("d1"))
    assert [] == list(world.home.journal.looks("d4"))


def test_what_an_entry_caused_before_it_was_amended_to_name_another_person_is_its_impact_too(world: World) -> None:
    entry = world.home.put("k1", document(1))
    world.decide("d1", reasons=(a_reason(entry_id=entry.entry_id),))
    world.home.put("k1", document(2))
    world.decide("d2", about=2, reasons=(a_reason(entry_id=entry.entry_id),))
    found = world.aftermath.impact("court", "k1", actor="otto", purpose="making good")
    assert [("lending", ["d1", "d2"])] == [ids(each) for each in found]


def test_an_entry_that_caused_nothing_has_no_impact_and_one_that_is_not_there_is_not_found(world: World) -> None:
    world.home.put("k1", document(1))
    assert [] == list(world.aftermath.impact("court", "k1", actor="otto", purpose="making good"))
    with pytest.raises(NotFound):
        world.aftermath.impact("court", "k9", actor="otto", purpose="making good")


# --- release certificates ------------------------------------------------------------


def test_a_certificate_waits_for_every_host_that_may_still_hold_the_entry_and_then_names_all(world: World) -> None:
    world.home.put("k1", document(1))
    world.serve("gateway-2", 7, world.head())
    world.home.registry.step("court", "k1", Step.WITHDRAW, note=ANN)
    change = world.head()
    world.home.registry.step("court", "k1", Step.RETRACT, note=ANN)
    world.serve("gateway-1", 9, world.head())
    assert Certificate(text="", waiting_for=("gateway-2",)) == world.aftermath.certificate("court", "k1")
    world.serve("gateway-2", 8, change)
    given = world.aftermath.certificate("court", "k1")
    assert () == given.waiting_for
    journal = world.home.journal
    certificate = read_certificate(given.text, world.signer.key(journal.origin()))
    assert ("court", "(2090) Demo k1", "Demonstration Court") == (
        certificate.list,
        certificate.case_reference,
        certificate.authority,
    )
    assert ("withdraw", "", "withdrawn-in-error", change, NOW) == (
        certificate.step,
        certificate.ground,
        certificate.status,
        certificate.change,
        certificate.left_at,
    )
    hosts = [(each.host, each.version, each.registry_seq) for each in certificate.hosts]
    assert [("gateway-1", 9, change + 1), ("gateway-2", 8, change)] == hosts
    assert isinstance(certificate.hosts[0], Dropped)


def test_a_certificate_is_of_the_last_time_that_the_entry_left(world: World) -> None:
    world.home.put("k1", document(1))
    for ground in (ReleaseGround.PAID, ReleaseGround.PERFORMED):
        world.home.registry.step("court", "k1", Step.RELEASE, note=StepNote(actor="ann", ground=ground))
        last = world.head()
        if ground is ReleaseGround.PAID:
            world.home.put("k1", document(1))
    world.serve("gateway-1", 9, last)
    text = world.aftermath.certificate("court", "k1").text
    assert "\nground: PERFORMED\n" in text
    assert f"\nchange: {last}\n" in text


def test_an_entry_that_is_listed_or_never_was_has_no_certificate(world: World) -> None:
    world.serve("gateway-1", 9, 1000)
    world.home.put("k1", document(1))
    with pytest.raises(StepNotAllowed, match="while it is in-force"):
        world.aftermath.certificate("court", "k1")
    world.home.registry.step("court", "k1", Step.STAY, note=ANN)
    with pytest.raises(StepNotAllowed, match="release, withdraw"):
        world.aftermath.certificate("court", "k1")
    with pytest.raises(NotFound):
        world.aftermath.certificate("court", "k9")


def test_no_certificate_is_given_while_no_host_says_what_it_serves(world: World) -> None:
    world.home.put("k1", document(1))
    world.home.registry.step("court", "k1", Step.WITHDRAW, note=ANN)
    with pytest.raises(StoreUnavailable, match="follower"):
        world.aftermath.certificate("court", "k1")


# --- settlements ------------------------------------------------------------


def test_a_release_that_waits_is_told_and_can_be_objected_to(world: World) -> None:
    entry = world.home.put("k1", document(1))
    settled = Settlement(
        list="court",
        case_reference=entry.case_reference,
        partner="lending",
        event_id="e1",
        reported_at=NOW,
        release_at=NOW + DAY_S,
    )
    world.home.rights.note_settlements([settled])
    assert ["k1"] == [each.key for each in world.aftermath.settlements("court")]
    assert [] == list(world.aftermath.settlements("carrier"))
    world.aftermath.object_to("court", "k1", note=ANN)
    assert [] == list(world.aftermath.settlements(""))
    with pytest.raises(NotFound):
        world.aftermath.object_to("court", "k1", note=ANN)


# --- retention ------------------------------------------------------------


def test_what_is_kept_no_longer_is_removed_and_told_and_a_dry_run_tells_the_same(world: World) -> None:
    world.home.put("k1", document(1))
    world.home.put("k2", document(2))
    world.home.registry.note_looks("court", ["k1"], actor="otto", purpose="operator inquiry")
    world.home.registry.step("court", "k1", Step.WITHDRAW, note=ANN)
    world.home.rights.keep_session(
        "00" * 32, SubjectSession(handle="h", tokens=tokens(1), expires_at=world.home.clock.now() + 3600)
    )
    world.decide("d1", reasons=(a_reason(list="court"),))
    world.decide("d2", about=2, reasons=(a_reason(list="court"), a_reason(list="carrier")))
    world.decide("d3", about=3, reasons=(a_reason(list="dissolved"),))
    assert [] == list(world.aftermath.retain(actor="clock", dry_run=False))
    world.home.clock.advance(21 * DAY_S)
    expected = [
        Removed(list="", kind="decisions", count=1),
        Removed(list="", kind="sessions", count=1),
        Removed(list="court", kind="identities", count=1),
        Removed(list="court", kind="looks", count=1),
    ]
    with structlog.testing.capture_logs() as logs:
        assert expected == list(world.aftermath.retain(actor="clock", dry_run=True))
        assert [] == logs
        assert expected == list(world.aftermath.retain(actor="clock", dry_run=False))
        assert [] == list(world.aftermath.retain(actor="clock", dry_run=False))
    counts = {"-.decisions": 1, "-.sessions": 1, "court.identities": 1, "court.looks": 1}
    assert [counts, {}] == [each["removed"] for each in logs]
    assert [] == list(world.home.registry.looks("court", "k1"))
    world.home.clock.advance(20 * DAY_S)
    assert [Removed(list="", kind="decisions", count=1)] == list(world.aftermath.retain(actor="clock", dry_run=False))
    world.home.clock.advance(DEFAULT_KEPT_S - YEAR_S)
    assert [] == [each for each in world.aftermath.retain(actor="clock", dry_run=True) if each.kind == "decisions"]
    world.home.clock.advance(YEAR_S)
    assert Removed(list="", kind="decisions", count=1) in world.aftermath.retain(actor="clock", dry_run=False)
