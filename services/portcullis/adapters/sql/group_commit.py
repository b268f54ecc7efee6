"""Group commit: one thread writes what many callers bring, and each learns when its own rows are on the disk.

While one commit waits for the disk the next group gathers, so the rate grows with the load and a lone caller waits for
nothing but its own commit. When a row itself is at fault the group is tried again caller by caller, so that it costs nobody
else their records; when the database is, the whole group is refused at once rather than made to wait for it in turn.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from portcullis.adapters.sql.bulk import Row
from portcullis.domain.errors import RecordUnavailable

Write = Callable[[Sequence[Row]], None]

_GROUP_ROWS: Final = 2_000
"""Keeps one commit short, whatever waits."""


class RowRefused(Exception):
    """A row can't be written, whatever state the database is in; nothing of its transaction is there."""


class _Caller(NamedTuple):
    rows: Sequence[Row]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class GroupCommit:
    """Gathers the rows of many tasks, of one event loop or several, into few transactions.

    Args:
        write: writes rows in one transaction and returns when they are durable; after an error none of them is there.
            It raises RowRefused when a row is at fault.
        waiting_rows: how many rows may wait before more are refused.
    """

    def __init__(self, write: Write, *, waiting_rows: int) -> None:
        self._write = write
        self._room = waiting_rows
        self._waiting: deque[_Caller] = deque()
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="portcullis-group-commit", daemon=True)
        self._thread.start()

    async def add(self, rows: Sequence[Row]) -> None:
        """Have rows written; returns when they are durable. Rows of a caller that gives up waiting may be written.

        Raises:
            RecordUnavailable: they are not durable, too many rows wait already, or it is closed.
        """
        loop = asyncio.get_running_loop()
        caller = _Caller(rows, loop, loop.create_future())
        with self._change:
            if self._closing or len(rows) > self._room:
                raise RecordUnavailable
            self._room -= len(rows)
            self._waiting.append(caller)
            self._change.notify()
        await caller.done

    def close(self) -> None:
        """Write what is waiting, then stop. Blocks until that is done."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            self._settle(group)
            with self._change:
                self._room += sum(len(caller.rows) for caller in group)

    def _next_group(self) -> list[_Caller]:
        """Wait for callers; empty once it is closed and nobody waits."""
        group: list[_Caller] = []
        with self._change:
            while not self._waiting and not self._closing:
                self._change.wait()
            rows = 0
            while self._waiting and (not group or rows + len(self._waiting[0].rows) <= _GROUP_ROWS):
                group.append(self._waiting.popleft())
                rows += len(group[-1].rows)
        return group

    def _settle(self, group: Sequence[_Caller]) -> None:
        try:
            written = self._try([row for caller in group for row in caller.rows])
        except RowRefused:
            _tell((caller, self._try_alone(caller)) for caller in group)
        else:
            _tell((caller, written) for caller in group)

    def _try_alone(self, caller: _Caller) -> bool:
        try:
            return self._try(caller.rows)
        except RowRefused:
            return False

    def _try(self, rows: Sequence[Row]) -> bool:
        try:
            self._write(rows)
        except RowRefused:
            raise
        except Exception:  # noqa: BLE001 - whatever it was, the thread lives on and the decisions are not given
            return False
        return True


def _tell(outcomes: Iterable[tuple[_Caller, bool]]) -> None:
    """Tell the callers; each event loop is woken once."""
    by_loop = defaultdict(list)
    for caller, written in outcomes:
        by_loop[caller.loop].append((caller.done, written))
    for loop, settled in by_loop.items():
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, settled)


def _resolve(settled: Sequence[tuple[asyncio.Future[None], bool]]) -> None:
    for done, written in settled:
        if done.done():
            continue
        if written:
            done.set_result(None)
        else:
            done.set_exception(RecordUnavailable())
