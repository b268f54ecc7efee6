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
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.config import Settings, Transport
from portcullis.domain.shared_events import EventKind
from portcullis.gateway.collecting import settle
from portcullis.mains.parts import open_journal

EVENTS = Floor("value", "at least", 10_000)
EVENTS_RATIO = Floor("ratio", "at least", 0.5)
RECORDED = Floor("value", "at most", 3_000)
TOLD = Floor("value", "at most", 1_000)

_DECISIONS = 5_000
_TRANSPORT: Transport = "grpcio"
_SAME_TABLES = "of the same rows"
_BARE_TABLE = "into one bare table"


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


class _Files(NamedTuple):
    """The databases of the journal in this process and of the exchange's, and a folder for raw ones."""

    own: Path
    served: Path
    raw: Path


def durable_events(stage: Stage, folder: Path, pace: Pace) -> list[Figure]:
    """Report events of two kinds, within this process and over the network, beside raw inserts of their rows."""
    with stage.journal() as journal:
        served = tuple(record_refusals(journal, _DECISIONS))
    with stage.exchange() as address, _own_journal(stage, folder / "own") as journal:
        own = record_refusals(journal, _DECISIONS)
        # The collector of this process is set as that of one that serves.
        settle()
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
                _Files(folder / "own" / "journal.db", stage.stand.home / "journal.db", folder),
                pace,
                reports.Plan(address=address, key=stage.key, batches=pace.batches, decision_ids=each.decision_ids),
            )
        ]


def _events(kind: _Kind, journal: SqlJournal, files: _Files, pace: Pace, plan: reports.Plan) -> list[Figure]:
    by_commit: dict[str, float] = {}

    def noted(where: str, found: events.Taken) -> float:
        by_commit[where] = found.by_commit
        return found.rate

    def in_process(batches: int) -> events.Taken:
        return asyncio.run(events.report_to(journal, kind.make, batches))

    def over_network(batches: int) -> events.Taken:
        plan_of = msgspec.structs.replace(plan, batches=batches)
        return msgspec.json.decode(driver("benchmarks.exchange.reports", plan_of), type=events.Taken)

    with pinned(SERVER_CPU):
        # Raw rows are made after what the journal has left of an event.
        in_process(events.CALLERS)
        over_network(events.CALLERS)
        with (
            events.raw_rows(files.own, kind.kind, files.raw / "raw-own") as own,
            events.raw_rows(files.served, kind.kind, files.raw / "raw-served") as served,
        ):
            values = in_turn(
                pace.rounds,
                {
                    "process": lambda: noted("process", in_process(pace.batches)),
                    "process tables": lambda: own.same_tables_rate(pace.batches, by_commit["process"]),
                    "process table": lambda: own.one_table_rate(pace.batches, by_commit["process"]),
                    "network": lambda: noted("network", over_network(pace.batches)),
                    "network tables": lambda: served.same_tables_rate(pace.batches, by_commit["network"]),
                    "network table": lambda: served.one_table_rate(pace.batches, by_commit["network"]),
                },
            )
    name = f"{kind.kind.value} {kind.what}, batches of {events.BATCH}"
    in_journal = Series(f"journal, {name}", "events/s", values["process"])
    reported = Series(f"ReportEvents, {name}", "events/s", values["network"])
    return [
        Figure(measured=in_journal, baseline=_raw(_SAME_TABLES, values["process tables"]), floor=EVENTS_RATIO),
        Figure(measured=in_journal, baseline=_raw(_BARE_TABLE, values["process table"]), floor=EVENTS),
        Figure(
            measured=reported,
            baseline=_raw(_SAME_TABLES, values["network tables"]),
            transport=_TRANSPORT,
            floor=EVENTS_RATIO,
        ),
        Figure(measured=reported, baseline=_raw(_BARE_TABLE, values["network table"]), transport=_TRANSPORT, floor=EVENTS),
    ]


def _raw(where: str, values: tuple[float, ...]) -> Series:
    return Series(f"raw group commits {where}", "events/s", values)


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
