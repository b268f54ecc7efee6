"""What a list held in an earlier snapshot, and what changed between two, worked out from its files alone.

The rules:

1. A list's state is known in the version of its base, and in every version that deltas lead to from there.
2. Between two known versions of a list it is known in every snapshot in between where one delta of a single step leads from
   the first to the second: the list had no other version then. A delta that was folded tells nothing of the versions
   within it. After its last version a list has not changed.
3. A token is added, removed or changed by its bodies then and now. What changed and changed back is no change.
4. An entry is gained or lost where a token's body refers to it that did not, or does no more; it is changed where a body
   says something else of it. An entry of several tokens can be several of these.

Example: base 100, deltas 100 to 140 (folded of forty), 140 to 150, 150 to 151. Snapshots 100, and 140 up to the present, can
be compared; 120 can't, for nobody can say any more what the list was in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.frames import Bodies
from portcullis.domain.manifests import Delta, Manifest, steps_from
from portcullis.domain.records import Record, decode_body

_BEYOND = b"\xff" * 17
"""After every token."""


class Span(NamedTuple):
    """Snapshot versions from ``first`` to ``last``, both included, in which a list was as in its own ``version``."""

    first: int
    last: int
    version: int


class Difference(msgspec.Struct, kw_only=True):
    """What changed in one list: tokens are counted, entries named by their ids (rules 3 and 4)."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    entries_gained: set[int] = msgspec.field(default_factory=set)
    entries_lost: set[int] = msgspec.field(default_factory=set)
    entries_changed: set[int] = msgspec.field(default_factory=set)

    def note(self, old: bytes, new: bytes) -> None:
        """Take account of one token's body then and now; an empty body is none.

        Raises:
            ValueError: one is no body.
        """
        if old == new:
            return
        if not old:
            self.added += 1
        elif not new:
            self.removed += 1
        else:
            self.changed += 1
        before, after = _by_entry(old), _by_entry(new)
        self.entries_gained |= after.keys() - before.keys()
        self.entries_lost |= before.keys() - after.keys()
        self.entries_changed |= {entry for entry in before.keys() & after.keys() if before[entry] != after[entry]}


def spans(manifest: Manifest, present: int) -> list[Span]:
    """Give the snapshot versions up to the present one in which the list's state is known (rules 1 and 2), ascending."""
    known = {manifest.base.version, *(each.version for each in manifest.deltas)}
    reached = sorted(each for each in known if steps_between(manifest, manifest.base.version, each) is not None)
    single = {each.since: each.version for each in manifest.deltas if each.steps == 1}
    return [
        Span(version, present if version == manifest.version else single.get(version, version + 1) - 1, version)
        for version in reached
    ]


def version_at(known: Iterable[Span], version: int) -> int | None:
    """Give the list's version in a snapshot; None where it can't be known."""
    return next((span.version for span in known if span.first <= version <= span.last), None)


def joined(known: Sequence[Span]) -> list[tuple[int, int]]:
    """Give the same versions as few ranges, first and last included."""
    ranges: list[tuple[int, int]] = []
    for span in known:
        if ranges and ranges[-1][1] + 1 >= span.first:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], span.last)
        else:
            ranges.append((span.first, span.last))
    return ranges


def steps_between(manifest: Manifest, since: int, version: int) -> tuple[Delta, ...] | None:
    """Give the deltas that lead from one version of the list to exactly another; None where there is no way."""
    up_to = tuple(each for each in manifest.deltas if each.version <= version)
    return steps_from(msgspec.structs.replace(manifest, version=version, deltas=up_to), since)


def latest(files: Sequence[Bodies]) -> Bodies:
    """Give every token of some files once, in order, with its body in the last file that has it; that may be empty.

    Raises:
        SnapshotInvalid: the tokens of a file are out of order.
    """
    last = b""
    for token, _, body in heapq.merge(*(_ranked(file, -place) for place, file in enumerate(files))):
        if token != last:
            last = token
            yield token, body


def compare(before: Bodies, after: Bodies) -> Difference:
    """Compare what tokens had with what they have.

    Args:
        before: every token of the earlier state, ascending.
        after: the tokens whose bodies may be others in the later state, ascending, with an empty body for none.

    Raises:
        SnapshotInvalid: a body is malformed.
    """
    difference = Difference()
    held, old = next(before, (_BEYOND, b""))
    for token, new in after:
        while held < token:
            held, old = next(before, (_BEYOND, b""))
        try:
            difference.note(old if held == token else b"", new)
        except ValueError:
            # Not chained: the fault may carry the bytes.
            raise SnapshotInvalid("a body is malformed", refusal=Refusal.RECORDS_MALFORMED) from None
    return difference


def _ranked(file: Bodies, rank: int) -> Iterator[tuple[bytes, int, bytes]]:
    last = b""
    for token, body in file:
        if token <= last:
            raise SnapshotInvalid("the tokens of a target are out of order", refusal=Refusal.RECORDS_MALFORMED)
        last = token
        yield token, rank, body


def _by_entry(body: bytes) -> dict[int, list[Record]]:
    records: dict[int, list[Record]] = {}
    for record in decode_body(0, body):
        records.setdefault(record.entry_id, []).append(record)
    return records
