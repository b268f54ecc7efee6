"""Streams of bodies, each ascending by token and list, put together without being held in memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from portcullis.domain.segments import Change, ascending


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
