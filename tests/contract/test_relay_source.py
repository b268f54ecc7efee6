"""What an authority's stream is made of: events read from a real journal, and who is told what of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.relay.source import SqlReportedEvents
from portcullis.domain.errors import JournalUnavailable
from portcullis.domain.security_events import REPORT_TYPES
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.exchange.relay.sources import AuthoritySource
from portcullis.ports import RecordedReason
from portcullis.ports.relay import DeliveryMethod, Place, ReportedCase, Side, Stream, StreamSettings
from tests.support.databases import migrated_database
from tests.support.decision_records import a_record
from tests.support.imports import StillClock
from tests.support.policies import NOW, KnownBy, KnownLate
from tests.support.relays import two_partners
from tests.support.shared_events import SUBJECT, an_event

SEAL_KEY = bytes(range(32))
DECISION = "0" * 31 + "1"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


@pytest.fixture
def journal(url: str) -> Iterator[SqlJournal]:
    with closing(SqlJournal(url, seal_key=SEAL_KEY, clock=StillClock())) as opened:
        yield opened


@pytest.fixture
def reported(url: str) -> Iterator[SqlReportedEvents]:
    with closing(SqlReportedEvents(url, seal_key=SEAL_KEY)) as opened:
        yield opened


def a_reason(**changes: Any) -> RecordedReason:
    return msgspec.structs.replace(a_record().reasons[0], **changes)


def of_two_authorities() -> tuple[RecordedReason, ...]:
    return (
        a_reason(measure="loans"),
        a_reason(measure="rail"),
        a_reason(list="rentals", authority="Rentals Committee", case_reference="(2090) Rental 7"),
        a_reason(list="court", case_reference="(2090) Shadow", shadow=True),
    )


async def report(journal: SqlJournal, *events: SharedEvent) -> None:
    for answer in await journal.record_events("lending", events):
        assert not isinstance(answer, Exception), answer


def stream_of(authority: str, **settings: Any) -> Stream:
    return Stream(
        stream_id="a" * 32,
        holder=authority,
        side=Side.AUTHORITY,
        created_at=1.0,
        settings=StreamSettings(method=DeliveryMethod.POLL, **settings),
        place=Place(log="", position=0),
    )


async def test_an_event_is_read_with_the_cases_of_its_decision(journal: SqlJournal, reported: SqlReportedEvents) -> None:
    journal.record_decisions([a_record("0" * 32), a_record(DECISION, reasons=of_two_authorities())])
    await report(
        journal,
        an_event(event_id="e1", decision_id=DECISION, reference="order/1"),
        an_event(EventKind.SETTLED, event_id="e2", reference="order/2"),
    )

    first, second = reported.read(0, 10)

    assert (2, "lending", "e1", NOW * 1000) == (first.sequence, first.partner, first.event.event_id, first.recorded_at_ms)
    assert (
        ReportedCase("court", "(2090) Demo 1"),
        ReportedCase("rentals", "(2090) Rental 7"),
    ) == first.cases
    assert (ReportedCase("court", "(2090) Demo 1"),) == second.cases
    assert ["", ""] == [first.event.reference, second.event.reference]
    assert [3] == [each.sequence for each in reported.read(3, 10)]
    assert [2] == [each.sequence for each in reported.read(0, 1)]
    assert (4, journal.origin()) == (reported.size(), reported.timeline())


async def test_each_authority_is_told_of_its_own_lists_alone(journal: SqlJournal, reported: SqlReportedEvents) -> None:
    journal.record_decisions([a_record(DECISION, reasons=of_two_authorities())])
    await report(
        journal,
        an_event(event_id="e1", decision_id=DECISION),
        an_event(EventKind.SETTLED, event_id="e2"),
        an_event(EventKind.COMMITMENT_PUBLISHED, event_id="e3"),
        an_event(EventKind.TERMINATED, event_id="e4"),
    )
    policy = two_partners()
    source = AuthoritySource(reported, known=KnownBy(lambda: policy))

    court = source.read(stream_of("Demonstration Court"), 0, 100)
    rentals = source.read(stream_of("Rentals Committee"), 0, 100)
    nobody = source.read(stream_of("Another"), 0, 100)

    assert [2, 3, 4] == [item.position for item in court.items]
    assert {"format": "opaque", "id": "(2090) Demo 1"} == court.items[0].fact.subject_id
    assert {"format": "uri", "uri": "https://provider.example/promises/1"} == court.items[2].fact.subject_id
    assert [{"list": "court", "case_reference": "(2090) Demo 1"}] == court.items[0].fact.payload["cases"]
    assert ("lending", DECISION) == tuple(court.items[0].fact.payload[name] for name in ("partner", "decision_id"))
    assert "Rental" not in str(court.items[0].fact.payload)
    assert [2, 5] == [item.position for item in rentals.items]
    assert [{"list": "rentals", "case_reference": "(2090) Rental 7"}] == rentals.items[0].fact.payload["cases"]
    assert {"format": "opaque", "id": SUBJECT} == rentals.items[1].fact.subject_id
    assert (0, 5) == (len(nobody.items), nobody.reached)
    settled = REPORT_TYPES[EventKind.SETTLED]
    only = source.read(stream_of("Demonstration Court", events_requested=(settled,)), 0, 100)
    assert [settled] == [item.fact.event_type for item in only.items]


async def test_what_is_about_an_erased_person_names_the_list_and_no_case(
    journal: SqlJournal, reported: SqlReportedEvents
) -> None:
    journal.record_decisions([a_record(DECISION, reasons=of_two_authorities())])
    await report(journal, an_event(event_id="e1", decision_id=DECISION, reference="order/1"))
    journal.erase([b"\x00" * 16], actor="ann", purpose="a request")

    event = reported.read(0, 10)[0]

    assert (ReportedCase("court", ""), ReportedCase("rentals", "")) == event.cases
    policy = two_partners()
    source = AuthoritySource(reported, known=KnownBy(lambda: policy))
    told = source.read(stream_of("Demonstration Court"), 0, 100).items[0].fact
    assert [{"list": "court"}] == told.payload["cases"]
    assert {"format": "opaque", "id": DECISION} == told.subject_id


async def test_a_list_given_to_an_authority_before_the_last_look_is_told_of_what_was_read_then(
    journal: SqlJournal, reported: SqlReportedEvents
) -> None:
    journal.record_decisions([a_record(DECISION, reasons=of_two_authorities())])
    await report(journal, an_event(event_id="e1", decision_id=DECISION))
    known = KnownLate(two_partners())

    batch = AuthoritySource(reported, known=known).read(stream_of("Demonstration Court"), 0, 100)

    assert [2] == [item.position for item in batch.items]


async def test_a_journal_without_an_event_is_looked_through_to_its_end(
    journal: SqlJournal, reported: SqlReportedEvents
) -> None:
    journal.record_decisions([a_record(f"{number:032x}") for number in range(5)])
    policy = two_partners()

    batch = AuthoritySource(reported, known=KnownBy(lambda: policy)).read(stream_of("Demonstration Court"), 0, 100)

    assert ([], 5) == (list(batch.items), batch.reached)


def test_a_database_that_is_gone_is_unavailable() -> None:
    with closing(SqlReportedEvents("postgresql://nobody@127.0.0.1:1/none", seal_key=SEAL_KEY)) as reported:
        for call in (reported.timeline, reported.size, lambda: reported.read(0, 1)):
            with pytest.raises(JournalUnavailable):
                call()
