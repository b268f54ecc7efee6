"""The order of measuring: everything once a round, in turn, as in `benchmarks.rounds`; and the floors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from benchmarks import durability, world
from benchmarks.exchange import events, refusals, reports, telling
from benchmarks.exchange.stage import Stage, record_refusals, set_up
from benchmarks.figures import Figure, Floor, Series
from benchmarks.processes import SERVER_CPU, pinned
from benchmarks.rounds import driver, in_turn
from benchmarks.targets import gateway
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.config import Settings, Transport
from portcullis.domain.shared_events import EventKind
from portcullis.gateway.collecting import settle
from portcullis.gateway.transport.transports import available
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


class _Load(NamedTuple):
    """Events of one kind that go one way.

    Attributes:
        where: where they are taken, in words.
        kind: which events.
        take: takes so many batches.
        database: the journal that they go into.
        folder: for raw rows.
        transport: how they come; "" within this process.
    """

    where: str
    kind: _Kind
    take: Callable[[int], events.Taken]
    database: Path
    folder: Path
    transport: str = ""


def durable_events(folder: Path, pace: Pace) -> list[Figure]:
    """Report events of two kinds, within this process and over the network, beside raw inserts of their rows.

    Each way has a journal of its own, and over the network each kind: a commit takes longer in a large one, and what is
    reported as settled is taken over by the registry for long after.
    """
    with _stage(folder / "own") as stage:
        figures = _kept(stage, folder / "own" / "home", pace)
    for transport in filter(available, get_args(Transport)):
        for kind in EventKind.SETTLED, EventKind.ENFORCED:
            own = folder / f"{transport}-{kind.value}"
            with _stage(own) as stage:
                figures += _reported(stage, own, pace, transport, kind)
    return figures


@contextmanager
def _stage(folder: Path) -> Iterator[Stage]:
    folder.mkdir()
    with set_up(folder) as stage:
        yield stage


def _kept(stage: Stage, folder: Path, pace: Pace) -> list[Figure]:
    """Keep events in a journal of this process."""
    figures: list[Figure] = []
    with _own_journal(stage, folder) as journal:
        decision_ids = record_refusals(journal, _DECISIONS)
        # The collector of this process is set as that of one that serves.
        settle()
        for kind in _kinds(decision_ids):

            def keep(batches: int, kind: _Kind = kind) -> events.Taken:
                return asyncio.run(events.report_to(journal, kind.make, batches))

            figures += _beside_raw(_Load("journal", kind, keep, folder / "journal.db", folder), pace)
    return figures


def _reported(stage: Stage, folder: Path, pace: Pace, transport: Transport, wanted: EventKind) -> list[Figure]:
    """Report events of one kind to the exchange."""
    with stage.journal() as journal:
        kind = next(each for each in _kinds(record_refusals(journal, _DECISIONS)) if each.kind is wanted)
    with stage.exchange(transport) as address:
        plan = reports.Plan(address=address, key=stage.key, batches=pace.batches, decision_ids=kind.decision_ids)

        def report(batches: int) -> events.Taken:
            plan_of = msgspec.structs.replace(plan, batches=batches)
            return msgspec.json.decode(driver("benchmarks.exchange.reports", plan_of), type=events.Taken)

        load = _Load("ReportEvents", kind, report, stage.stand.home / "journal.db", folder, transport)
        return _beside_raw(load, pace)


def _kinds(decision_ids: Sequence[str]) -> Sequence[_Kind]:
    return (
        _Kind(EventKind.SETTLED, "of a case each", events.settled, ()),
        _Kind(EventKind.ENFORCED, "of decisions", events.enforced(decision_ids), tuple(decision_ids)),
    )


def _beside_raw(load: _Load, pace: Pace) -> list[Figure]:
    by_commit = 0.0

    def rate() -> float:
        nonlocal by_commit
        found = load.take(pace.batches)
        by_commit = found.by_commit
        return found.rate

    with pinned(SERVER_CPU):
        # Raw rows are made after what the journal has left of an event.
        load.take(events.CALLERS)
        with events.raw_rows(load.database, load.kind.kind, load.folder / f"raw-{load.kind.kind.value}") as raw:
            values = in_turn(
                pace.rounds,
                {
                    "ours": rate,
                    "same tables": lambda: raw.same_tables_rate(pace.batches, by_commit),
                    "bare table": lambda: raw.one_table_rate(pace.batches, by_commit),
                },
            )
    name = f"{load.where}, {load.kind.kind.value} {load.kind.what}, batches of {events.BATCH}"
    ours = Series(name, "events/s", values["ours"])
    return [
        Figure(
            measured=ours, baseline=_raw(_SAME_TABLES, values["same tables"]), transport=load.transport, floor=EVENTS_RATIO
        ),
        Figure(measured=ours, baseline=_raw(_BARE_TABLE, values["bare table"]), transport=load.transport, floor=EVENTS),
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


def told_changes(folder: Path, pace: Pace) -> list[Figure]:
    """Change the registry, and take how long it is until the last of many watchers knows."""
    with set_up(folder) as stage:
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
