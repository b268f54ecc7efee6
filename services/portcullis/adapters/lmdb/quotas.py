"""The exchange of quotas of one host: a small LMDB file in which its workers meet, with or without a server elsewhere.

Keys:

* ``v`` and a worker's name — MessagePack, when it told (the host's monotonic clock) and what it is asked for of each
  partner.
* ``l``, the day, the partner and the worker — how many labels that worker has shown on the day.
* ``s``, the day, the sample's depth, the partner and a subject's name — empty; one for each different subject.
* ``n``, the day, the depth and the partner — how many of those there are.
* ``c``, the day and the partner — MessagePack, what the watches for probing have counted, in sum.
* ``p``, the day and the partner — MessagePack, the pool of subjects that were new to every worker: how many, how many of
  them were found, how many cells of each size, the generation of names that are remembered, and how many that has.
* ``k``, the day, the partner, the size and a cell's name — empty; the pool's cells.
* ``y``, the day, the partner, the generation and a subject's name — empty; names of the last two are remembered.

Nothing is forced to the disk: what a crash of the host takes is counted anew, and a crash of a worker takes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import lmdb
import msgspec

from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.evidence import NOTHING, Counts
from portcullis.ports.quotas import DAYS_KEPT, POOLED, SEEN_AT_LEAST, SILENT_MS, Load, NewSubject, Standing, Use, Used

_MAP_BYTES = 512 * 1024 * 1024
_ROOM = 0.2
"""Beyond this part of the map no more subjects are kept, so that workers can always tell what they are asked for.

A turn may write every page anew, and LMDB gives those of the turn before free only with the next.
"""

_Row = tuple[float, dict[str, Load]]
_rows = msgspec.msgpack.Decoder(_Row)
_counts = msgspec.msgpack.Decoder(Counts)
_pools = msgspec.msgpack.Decoder(tuple[int, int, int, int, int, int, int])


class LmdbQuotaExchange:
    """Meets in a folder of this host. Implements `portcullis.ports.quotas.QuotaExchange`; for one thread at a time.

    Args:
        folder: where the file lies; made when missing.
        silent_ms: how long a silent worker is remembered.
        monotonic: seconds, the same in all processes of the host.
        map_bytes: how large the file may grow.
    """

    def __init__(
        self,
        folder: Path,
        *,
        silent_ms: int = SILENT_MS,
        monotonic: Callable[[], float] = time.monotonic,
        map_bytes: int = _MAP_BYTES,
    ) -> None:
        self._folder = folder
        self._map_bytes = map_bytes
        self._silent_s = silent_ms / 1000
        self._monotonic = monotonic
        self._environment: lmdb.Environment | None = None
        self._day = 0

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        """Tell and learn, in one transaction; as `QuotaExchange.turn`."""
        try:
            try:
                return self._take_turn(worker, day, uses)
            except lmdb.MapFullError:
                # Rates and labels fit in any case.
                return self._take_turn(worker, day, [use._replace(subjects=(), fresh=()) for use in uses])
        except (lmdb.Error, OSError, msgspec.MsgspecError, ValueError) as fault:
            self.close()
            raise StoreUnavailable(f"the host's exchange of quotas can't be used ({type(fault).__name__})") from None

    def _take_turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        with self._opened().begin(write=True) as kept:
            if day != self._day:
                _forget(kept, day)
            self._tell(kept, worker, uses)
            rows = list(self._living(kept))
            used = {use.partner: self._use(kept, worker, day, use, rows) for use in uses}
        self._day = day
        return Standing(len(rows), used)

    def _opened(self) -> lmdb.Environment:
        if self._environment is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._environment = lmdb.open(
                str(self._folder), map_size=self._map_bytes, mode=0o600, sync=False, metasync=False, max_readers=128
            )
        return self._environment

    def _tell(self, kept: lmdb.Transaction, worker: str, uses: Sequence[Use]) -> None:
        asked = {use.partner: use.load for use in uses}
        kept.put(b"v" + worker.encode(), msgspec.msgpack.encode((self._monotonic(), asked)))

    def _living(self, kept: lmdb.Transaction) -> Iterator[dict[str, Load]]:
        """Give what the workers that live have told; the others are forgotten."""
        now = self._monotonic()
        for key, value in list(_under(kept, b"v")):
            told_at, asked = _rows.decode(value)
            # A time to come is one of before the host's last start.
            if 0.0 <= now - told_at < self._silent_s:
                yield asked
            else:
                kept.delete(key)

    def _use(self, kept: lmdb.Transaction, worker: str, day: int, use: Use, rows: Sequence[Mapping[str, Load]]) -> Used:
        load = Load.of_all(row[use.partner] for row in rows if use.partner in row)
        shown = _key(b"l", day, use.partner) + b" "
        if use.labels:
            kept.put(shown + worker.encode(), str(use.labels).encode())
        labels = sum(int(value) for _, value in _under(kept, shown))
        return Used(
            checks_per_s=load.checks_per_s,
            events_per_s=load.events_per_s,
            labels=labels,
            subjects=self._count(kept, day, use),
            counted=_sum_up(kept, day, use),
            calls=load.calls,
            streams=load.streams,
        )

    def _count(self, kept: lmdb.Transaction, day: int, use: Use) -> int:
        counted = _key(b"n", day, f"{use.depth} {use.partner}")
        before = int(kept.get(counted, b"0"))
        if not use.subjects or self._is_full():
            return before
        prefix = _key(b"s", day, f"{use.depth} {use.partner}") + b" "
        now = before + sum(kept.put(prefix + name, b"", overwrite=False) for name in use.subjects)
        kept.put(counted, str(now).encode())
        return now

    def _is_full(self) -> bool:
        """Say so by what is in use: the file never grows smaller, but what was forgotten is room again."""
        found = self._opened().stat()
        pages = found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
        return bool(pages * found["psize"] > _ROOM * self._map_bytes)

    def close(self) -> None:
        """Close the file; the next turn opens it again."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()


class _Pool:
    """A partner's subjects of a day that were new to every worker, counted some dozens at a time."""

    def __init__(self, kept: lmdb.Transaction, day: int, partner: str) -> None:
        self._kept = kept
        self._key = _key(b"p", day, partner)
        self._cells = _key(b"k", day, partner) + b" "
        self._names = _key(b"y", day, partner) + b" "
        held = kept.get(self._key)
        self._pooled, self._found, self._near, self._block, self._region, self._generation, self._young = (
            _pools.decode(held) if held else (0, 0, 0, 0, 0, 0, 0)
        )

    def take(self, fresh: Sequence[NewSubject]) -> Counts:
        """Add subjects; gives what the pools say that became full."""
        counted = NOTHING
        for each in fresh:
            if not self._is_new(each.name):
                continue
            self._pooled += 1
            self._found += each.found
            near, block, region = (self._add_cell(size, cell) for size, cell in enumerate(each.cells))
            self._near, self._block, self._region = self._near + near, self._block + block, self._region + region
            if self._pooled == POOLED:
                counted = counted.plus(self._close())
        self._hold()
        return counted

    def _add_cell(self, size: int, cell: bytes) -> bool:
        return self._kept.put(self._cells + b"%d" % size + cell, b"", overwrite=False)

    def _hold(self) -> None:
        pool = (self._pooled, self._found, self._near, self._block, self._region)
        self._kept.put(self._key, msgspec.msgpack.encode((*pool, self._generation, self._young)))

    def _is_new(self, name: bytes) -> bool:
        if self._young >= SEEN_AT_LEAST:
            self._generation, self._young = self._generation + 1, 0
            self._drop(self._names + b"%08d" % (self._generation - 2))
        fresh = self._kept.put(self._of_generation(self._generation) + name, b"", overwrite=False)
        self._young += fresh
        return fresh and self._kept.get(self._of_generation(self._generation - 1) + name) is None

    def _of_generation(self, number: int) -> bytes:
        return self._names + b"%08d" % number

    def _close(self) -> Counts:
        full = Counts(POOLED - self._near, POOLED - self._block, POOLED - self._region, self._found, POOLED)
        self._pooled = self._found = self._near = self._block = self._region = 0
        self._drop(self._cells)
        return full

    def _drop(self, prefix: bytes) -> None:
        for key, _ in list(_under(self._kept, prefix)):
            self._kept.delete(key)


def _key(kind: bytes, day: int, rest: str) -> bytes:
    return kind + f"{day:08d} {rest}".encode()


def _sum_up(kept: lmdb.Transaction, day: int, use: Use) -> Counts:
    key = _key(b"c", day, use.partner)
    before = kept.get(key)
    fresh = use.counted.plus(_Pool(kept, day, use.partner).take(use.fresh)) if use.fresh else use.counted
    now = (_counts.decode(before) if before else NOTHING).plus(fresh)
    if any(fresh):
        kept.put(key, msgspec.msgpack.encode(now))
    return now


def _under(kept: lmdb.Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = kept.cursor()
    if cursor.set_range(prefix):
        for found, value in cursor:
            key = bytes(found)
            if not key.startswith(prefix):
                return
            yield key, bytes(value)


def _forget(kept: lmdb.Transaction, day: int) -> None:
    """Forget the days that have ended for everybody."""
    oldest = f"{day - DAYS_KEPT + 1:08d}".encode()
    for kind in (b"l", b"n", b"s", b"c", b"p", b"k", b"y"):
        for key, _ in list(_under(kept, kind)):
            if key[1:9] < oldest:
                kept.delete(key)
