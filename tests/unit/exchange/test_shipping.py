"""The shipper: from the spool into the journal, whatever refuses meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from portcullis.adapters.memory.spool import MemorySpool
from portcullis.adapters.spool import FileSpool, SpoolDirectoryReader
from portcullis.domain.errors import JournalUnavailable
from portcullis.exchange.shipping import LONGEST_PAUSE_S, Shipper
from portcullis.metrics import ShipperMetrics
from portcullis.ports import DecisionRecord, SpoolReader
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.policies import NOW
from tests.support.processes import wait_for
from tests.support.spools import ids, segments


class ScriptedJournal:
    """Takes decisions once each, or raises what it is told to; ``takes`` of them first, as one whose connection breaks."""

    def __init__(self) -> None:
        self.records: dict[str, DecisionRecord] = {}
        self.offered: list[list[str]] = []
        self.fault: Exception | None = None
        self.takes = 0

    def record_decisions(self, records: Sequence[DecisionRecord]) -> int:
        self.offered.append(ids(records))
        new = [each for each in records if each.decision_id not in self.records]
        for each in new if self.fault is None else new[: self.takes]:
            self.records[each.decision_id] = each
        if self.fault is not None:
            raise self.fault
        return len(new)


class Stand:
    """A shipper between a spool and a journal, with what it counts."""

    def __init__(self, reader: SpoolReader, clock: HandClock) -> None:
        self.journal = ScriptedJournal()
        self.registry = CollectorRegistry()
        self.clock = clock
        journal: Any = self.journal
        self.shipper = Shipper(reader, journal, clock, ShipperMetrics(self.registry), chance=lambda: 1.0)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"portcullis_{name}", labels)


@pytest.fixture
def spool() -> MemorySpool:
    return MemorySpool()


@pytest.fixture
def stand(spool: MemorySpool) -> Stand:
    return Stand(spool.reader(), HandClock(now=NOW + 10.0))


@contextmanager
def running(shipper: Shipper) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=shipper.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


async def test_what_waits_is_carried_over_and_released(spool: MemorySpool, stand: Stand) -> None:
    await spool.append([a_record(f"d{number}") for number in range(1500)])
    assert [1000, 500, 0] == [stand.shipper.ship_once() for _ in range(3)]
    assert [f"d{number}" for number in range(1500)] == list(stand.journal.records)
    assert 0 == spool.reader().backlog().waiting_bytes
    assert 1500 == stand.value("shipped_records_total")


async def test_while_the_journal_refuses_the_same_records_are_offered_again(spool: MemorySpool, stand: Stand) -> None:
    await spool.append([a_record("d1")])
    stand.journal.fault = JournalUnavailable()
    with pytest.raises(JournalUnavailable):
        stand.shipper.ship_once()
    await spool.append([a_record("d2")])
    with pytest.raises(JournalUnavailable):
        stand.shipper.ship_once()
    assert ["d1", "d2"] == ids(spool.reader().read(10).records), "nothing was released"
    stand.journal.fault = None
    assert [1, 1, 0] == [stand.shipper.ship_once() for _ in range(3)]
    assert [["d1"], ["d1"], ["d1"], ["d2"]] == stand.journal.offered


async def test_a_journal_that_breaks_off_after_it_took_some_takes_each_once(spool: MemorySpool, stand: Stand) -> None:
    await spool.append([a_record(f"d{number}") for number in range(4)])
    stand.journal.fault, stand.journal.takes = JournalUnavailable(), 2
    with pytest.raises(JournalUnavailable):
        stand.shipper.ship_once()
    stand.journal.fault = None
    stand.shipper.ship_once()
    assert [f"d{number}" for number in range(4)] == list(stand.journal.records)


async def test_a_shipper_that_dies_before_the_release_leaves_the_records_to_the_next(
    spool: MemorySpool, stand: Stand
) -> None:
    await spool.append([a_record("d1")])
    stand.journal.fault = JournalUnavailable()
    with pytest.raises(JournalUnavailable):
        stand.shipper.ship_once()
    successor = Stand(spool.reader(), HandClock())
    assert 1 == successor.shipper.ship_once()
    assert ["d1"] == list(successor.journal.records)


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        (JournalUnavailable(), "journal"),
        (OSError(5, "Input/output error"), "disk"),
        (KeyError("a person's number"), "other"),
    ],
)
async def test_no_fault_ends_the_loop_and_each_is_logged_when_it_begins_and_when_it_is_over(
    spool: MemorySpool, stand: Stand, fault: Exception, part: str
) -> None:
    await spool.append([a_record("d1")])
    stand.journal.fault = fault
    with capture_logs() as logs, running(stand.shipper):
        wait_for(lambda: len(stand.journal.offered) >= 3, what="three tries")
        assert stand.shipper.fault
        stand.journal.fault = None
        wait_for(lambda: stand.journal.records.keys() == {"d1"}, what="the record is shipped")
        wait_for(lambda: not stand.shipper.fault, what="the fault is over")
    assert ["warning", "info"] == [each["log_level"] for each in logs]
    assert part == logs[0]["part"]
    assert "number" not in str(logs)
    assert (stand.value("shipper_failures_total", reason=part) or 0) >= 2


def test_pauses_grow_to_a_bound_and_start_anew_after_a_success(stand: Stand, spool: MemorySpool) -> None:
    asyncio.run(spool.append([a_record("d1")]))
    stand.journal.fault = JournalUnavailable()
    pauses = [stand.shipper._ship_guarded() for _ in range(10)]
    assert [0.1, 0.2, 0.4, 0.8] == pytest.approx(pauses[:4])
    assert LONGEST_PAUSE_S == pauses[-1]
    stand.journal.fault = None
    assert 0.0 == stand.shipper._ship_guarded()
    asyncio.run(spool.append([a_record("d2")]))
    stand.journal.fault = JournalUnavailable()
    assert pytest.approx(0.1) == stand.shipper._ship_guarded()


async def test_how_much_waits_and_since_when_is_counted(spool: MemorySpool, stand: Stand) -> None:
    await spool.append([a_record("d1", decided_at=NOW + 4.0), a_record("d2", decided_at=NOW + 5.0)])
    stand.journal.fault = JournalUnavailable()
    with running(stand.shipper):
        wait_for(lambda: (stand.value("spool_waiting_bytes") or 0) > 500, what="the backlog is noted")
        assert 6.0 == stand.value("spool_oldest_age_seconds")
        stand.journal.fault = None

        def is_noted() -> bool:
            stand.clock.advance(1)
            return (0.0, 0.0) == (stand.value("spool_waiting_bytes"), stand.value("spool_oldest_age_seconds"))

        wait_for(is_noted, what="nothing waits")


async def test_a_record_of_a_host_is_shipped_within_moments_and_its_segment_goes(tmp_path: Path) -> None:
    clock = HandClock()
    with closing(FileSpool(tmp_path, clock=clock)) as spool, closing(SpoolDirectoryReader(tmp_path)) as reader:
        stand = Stand(reader, clock)
        with running(stand.shipper):
            delays = []
            for number in range(20):
                await spool.append([a_record(f"d{number}")])
                begin = time.monotonic()
                wait_for(lambda name=f"d{number}": name in stand.journal.records, every_s=0.001)  # type: ignore[misc]
                delays.append(time.monotonic() - begin)
            assert sorted(delays)[10] < 0.2
            clock.advance(10)
            spool.retire()
            wait_for(lambda: not segments(tmp_path), what="the segment is deleted")
    assert 20 == len(stand.journal.records)
