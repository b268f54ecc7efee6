"""The order of measuring: everything once a round, in turn, as in `benchmarks.rounds`; and the floors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks import durability, world
from benchmarks.exchange import events, refusals, reports, telling
from benchmarks.exchange.stage import Stage, record_refusals
from benchmarks.figures import Figure, Floor, Series
from benchmarks.processes import SERVER_CPU, pinned
from benchmarks.rounds import driver, in_turn
from benchmarks.targets import gateway
from portcullis.adapters.sql.journal import SqlJournal
from portcullis.config import Settings, Transport
from portcullis.domain.shared_events import EventKind
from portcullis.mains.parts import open_journal

EVENTS = Floor("value", "at least", 10_000)
EVENTS_RATIO = Floor("ratio", "at least", 0.5)
RECORDED = Floor("value", "at most", 3_000)
TOLD = Floor("value", "at most", 1_000)

_DECISIONS = 5_000
_TRANSPORT: Transport = "grpcio"


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How much a run measures in each round: batches of events, pairs of checks, changes told to so many watchers."""

    rounds: int
    batches: int
    checks: int
    watchers: int
    changes: int
    entries: int


FULL = Pace(rounds=5, batches=240, checks=300, watchers=1_000, changes=8, entries=10_000)
QUICK = Pace(rounds=1, batches=6, checks=10, watchers=20, changes=2, entries=1_000)


class _Kind(NamedTuple):
    """One kind of event: what makes it in this process, and what decisions the other process makes it of."""

    kind: EventKind
    what: str
    make: events.MakeEvent
    decision_ids: tuple[str, ...]


def durable_events(stage: Stage, folder: Path, pace: Pace) -> list[Figure]:
    """Report events of two kinds, within this process and over the network, beside raw inserts of their rows."""
    with stage.journal() as journal:
        served = tuple(record_refusals(journal, _DECISIONS))
    with stage.exchange() as address, _own_journal(stage, folder / "own") as journal:
        own = record_refusals(journal, _DECISIONS)
        kinds = (
            _Kind(EventKind.SETTLED, "of a case each", events.settled, ()),
            _Kind(EventKind.ENFORCED, "of decisions", events.enforced(own), served),
        )
        return [
            figure
            for each in kinds
            for figure in _events(
                each,
                journal,
                folder,
                pace,
                reports.Plan(address=address, key=stage.key, batches=pace.batches, decision_ids=each.decision_ids),
            )
        ]


def _events(kind: _Kind, journal: SqlJournal, folder: Path, pace: Pace, plan: reports.Plan) -> list[Figure]:
    def in_process() -> float:
        return asyncio.run(events.journal_rate(journal, kind.make, pace.batches))

    with pinned(SERVER_CPU):
        # Raw rows are made after what the journal has left of an event.
        asyncio.run(events.journal_rate(journal, kind.make, events.CALLERS))
        raw = events.RawRows(folder / "own" / "journal.db", kind.kind, folder)
        driver("benchmarks.exchange.reports", msgspec.structs.replace(plan, batches=events.CALLERS))
        values = in_turn(
            pace.rounds,
            {
                "tables": lambda: raw.same_tables_rate(pace.batches),
                "process": in_process,
                "network": lambda: float(driver("benchmarks.exchange.reports", plan)),
                "table": lambda: raw.one_table_rate(pace.batches),
            },
        )
    name = f"{kind.kind.value} {kind.what}, batches of {events.BATCH}"
    tables = Series("raw group commits of the same rows", "events/s", values["tables"])
    table = Series("raw group commits into one bare table", "events/s", values["table"])
    in_journal, reported = (
        Series(f"{where}, {name}", "events/s", values[key])
        for key, where in (("process", "journal"), ("network", "ReportEvents"))
    )
    return [
        Figure(measured=in_journal, baseline=tables, floor=EVENTS_RATIO),
        Figure(measured=in_journal, baseline=table, floor=EVENTS),
        Figure(measured=reported, baseline=tables, transport=_TRANSPORT, floor=EVENTS_RATIO),
        Figure(measured=reported, baseline=table, transport=_TRANSPORT, floor=EVENTS),
    ]


@contextmanager
def _own_journal(stage: Stage, home: Path) -> Iterator[SqlJournal]:
    """Open a journal whose thread works on the server's processor."""
    home.mkdir()
    with pinned(SERVER_CPU):
        opening = open_journal(Settings(home=home, keys_dir=stage.registry / "keys"))
        with opening as journal:
            yield journal


def recorded_refusals(folder: Path, pace: Pace) -> list[Figure]:
    """Ask about listed and unlisted people by turns; take how much longer the median refusal takes, being on the disk."""
    made = world.build(folder / "home", pace.entries)
    with gateway(made, _TRANSPORT) as (address, _):
        plan = refusals.Plan(
            address=address,
            key=made.key,
            miss=made.miss.SerializeToString(),
            hit=made.hit.SerializeToString(),
            calls=pace.checks,
        )
        fsyncs, medians = [], []
        for _ in range(pace.rounds):
            fsyncs.append(durability.raw_fsync_us(folder, pace.checks))
            medians.append(msgspec.json.decode(driver("benchmarks.exchange.refusals", plan), type=refusals.Medians))
    fsync = Series("raw write and fdatasync", "µs", tuple(fsyncs))
    allow = Series("p50 of an ALLOW", "µs", tuple(each.allow_us for each in medians))
    restrict = Series("p50 of a RESTRICT", "µs", tuple(each.restrict_us for each in medians))
    above = Series("p50 of a RESTRICT above an ALLOW's", "µs", tuple(each.restrict_us - each.allow_us for each in medians))
    return [
        Figure(measured=restrict, baseline=allow, transport=_TRANSPORT),
        Figure(measured=above, baseline=fsync, transport=_TRANSPORT, floor=RECORDED),
    ]


def told_changes(stage: Stage, folder: Path, pace: Pace) -> list[Figure]:
    """Change the registry, and take how long it is until the last of many watchers knows."""
    told, bare = telling.measure(stage, folder, pace.rounds, pace.changes, pace.watchers)
    which: tuple[tuple[str, Callable[[tuple[float, ...]], float], Floor | None], ...] = (
        ("p50", lambda times: telling.share(times, 50), None),
        ("p99", lambda times: telling.share(times, 99), None),
        ("longest", max, TOLD),
    )
    return [
        Figure(
            measured=Series(f"{name} until the last of {pace.watchers:,} watchers has a change", "ms", _each(told, pick)),
            baseline=Series(f"{name} of a bare fan-out", "ms", _each(bare, pick)),
            transport=_TRANSPORT,
            floor=floor,
        )
        for name, pick, floor in which
    ]


def _each(rounds: list[tuple[float, ...]], pick: Callable[[tuple[float, ...]], float]) -> tuple[float, ...]:
    return tuple(pick(each) for each in rounds)
