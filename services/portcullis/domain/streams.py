"""Streams of bodies, each ascending by token and list, put together without being held in memory.

A route (`portcullis.domain.routes`) becomes streams of one of two shapes: changes alone, for a replica that stays; or bodies
to write a replica from and the changes to make to it then. A delta that is large is laid over the bodies while they are
written, and so is every delta of the same list before it, for they go in order.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from portcullis.domain.manifests import Base, Delta
from portcullis.domain.routes import ListRoute, Route, is_large
from portcullis.domain.segments import Change, ascending

FileOf = Callable[[int, Base | Delta], Iterator[Change]]
"""Gives what a file of a list holds, by the list's number."""

HeldOf = Callable[[frozenset[int]], Iterator[Change]]
"""Gives the bodies that a replica holds of the lists of these numbers."""


class Building(NamedTuple):
    """What a replica is built from: the bodies to write first, then the ``changes`` to make to them, list by list."""

    bodies: Iterator[Change]
    changes: Iterator[Change]


def in_turn(lists: Iterable[ListRoute], file_of: FileOf) -> Iterator[Change]:
    """Give what every file of some ways holds, list by list and file by file."""
    for each in lists:
        if each.base is not None:
            yield from file_of(each.number, each.base)
        for delta in each.deltas:
            yield from file_of(each.number, delta)


def building(route: Route, records: int, held_of: HeldOf, file_of: FileOf) -> Building:
    """Give what to build a replica from; ``records`` is how many it will have."""
    bodies = merged(_begun(route, held_of, file_of))
    rest: list[ListRoute] = []
    for each in route.lists:
        large = _until_last_large(each.deltas, records)
        for delta in each.deltas[:large]:
            bodies = overlaid(bodies, file_of(each.number, delta))
        rest.append(ListRoute(each.number, None, each.deltas[large:]))
    return Building(bodies, in_turn(rest, file_of))


def merged(streams: Iterable[Iterator[Change]]) -> Iterator[Change]:
    """Merge streams of different lists."""
    several = list(streams)
    return several[0] if len(several) == 1 else heapq.merge(*several)


def overlaid(lower: Iterator[Change], upper: Iterable[Change]) -> Iterator[Change]:
    """Give the bodies of ``lower`` with the changes of ``upper`` made to them; an empty body takes one out.

    Raises:
        SnapshotInvalid: ``upper`` does not ascend.
    """
    changes = ascending(upper)
    change = next(changes, None)
    for each in lower:
        while change is not None and change[:2] < each[:2]:
            if change[2]:
                yield change
            change = next(changes, None)
        if change is None or change[:2] != each[:2]:
            yield each
    if change is not None:
        yield from _bodies_of(change, changes)


def _bodies_of(first: Change, rest: Iterator[Change]) -> Iterator[Change]:
    if first[2]:
        yield first
    yield from (each for each in rest if each[2])


def _begun(route: Route, held_of: HeldOf, file_of: FileOf) -> Iterator[Iterator[Change]]:
    """Give the bodies to begin with: those held of the lists that take no base, and each base."""
    kept = frozenset(each.number for each in route.lists if each.base is None)
    if kept:
        yield held_of(kept)
    for each in route.lists:
        if each.base is not None:
            yield file_of(each.number, each.base)


def _until_last_large(deltas: tuple[Delta, ...], records: int) -> int:
    """Count the deltas up to the last one that is large: they go in order over the bodies, before the rest."""
    return max((place + 1 for place, delta in enumerate(deltas) if is_large(delta.changes, records)), default=0)
