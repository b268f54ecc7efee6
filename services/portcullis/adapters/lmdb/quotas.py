"""The exchange of quotas of one host: a small LMDB file in which its workers meet, with or without a server elsewhere.

Keys:

* ``w`` and a worker's name — MessagePack, when it told (the host's monotonic clock) and each partner's checks and events a
  second.
* ``l``, the day, the partner and the worker — how many labels that worker has shown on the day.
* ``s``, the day, the sample's depth, the partner and a subject's name — empty; one for each different subject.
* ``n``, the day, the depth and the partner — how many of those there are.

Nothing is forced to the disk: what a crash of the host takes is counted anew, and a crash of a worker takes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lmdb
import msgspec

from portcullis.domain.errors import StoreUnavailable
from portcullis.ports.quotas import DAYS_KEPT, SILENT_MS, Standing, Use, Used

_MAP_BYTES = 512 * 1024 * 1024
_ROOM = 0.2
"""Beyond this part of the map no more subjects are kept, so that workers can always tell what they are asked for.

A turn may write every page anew, and LMDB gives those of the turn before free only with the next.
"""

_Row = tuple[float, dict[str, tuple[float, float]]]
_rows = msgspec.msgpack.Decoder(_Row)


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
                return self._take_turn(worker, day, [use._replace(subjects=()) for use in uses])
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
        asked = {use.partner: (use.checks_per_s, use.events_per_s) for use in uses}
        kept.put(b"w" + worker.encode(), msgspec.msgpack.encode((self._monotonic(), asked)))

    def _living(self, kept: lmdb.Transaction) -> Iterator[dict[str, tuple[float, float]]]:
        """Give what the workers that live have told; the others are forgotten."""
        now = self._monotonic()
        for key, value in list(_under(kept, b"w")):
            told_at, asked = _rows.decode(value)
            # A time to come is one of before the host's last start.
            if 0.0 <= now - told_at < self._silent_s:
                yield asked
            else:
                kept.delete(key)

    def _use(
        self, kept: lmdb.Transaction, worker: str, day: int, use: Use, rows: Sequence[dict[str, tuple[float, float]]]
    ) -> Used:
        asked = [row.get(use.partner, (0.0, 0.0)) for row in rows]
        shown = _key(b"l", day, use.partner) + b" "
        if use.labels:
            kept.put(shown + worker.encode(), str(use.labels).encode())
        labels = sum(int(value) for _, value in _under(kept, shown))
        subjects = self._count(kept, day, use)
        return Used(sum(each[0] for each in asked), sum(each[1] for each in asked), labels, subjects)

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


def _key(kind: bytes, day: int, rest: str) -> bytes:
    return kind + f"{day:08d} {rest}".encode()


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
    for kind in (b"l", b"n", b"s"):
        for key, _ in list(_under(kept, kind)):
            if key[1:9] < oldest:
                kept.delete(key)
