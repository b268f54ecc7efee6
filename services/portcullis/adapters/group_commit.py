"""Group commit: one thread writes what many callers bring, and each learns when its own items are on the disk.

While one commit waits for the disk the next group gathers, so the rate grows with the load and a lone caller waits for
nothing but its own commit. When an item itself is at fault the group is tried again caller by caller, so that it costs no
other theirs; when the disk or the database is, the whole group is refused at once rather than made to wait for it in turn.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from portcullis.domain.errors import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

Write: TypeAlias = "Callable[[Sequence[Item]], Sequence[Result]]"

_GROUP_ITEMS: Final = 2_000
"""Keeps one commit short, whatever waits."""


class ItemRefused(Exception):
    """An item can't be written, whatever state the disk is in; nothing of its group is there."""


class _Caller(NamedTuple, Generic[Item, Result]):
    items: Sequence[Item]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Sequence[Result]]


class GroupCommit(Generic[Item, Result]):
    """Gathers the items of many tasks, of one event loop or several, into few commits.

    Args:
        write: writes items in one commit and returns when they are durable, with one result for each; after an error none
            of them is there. It raises ItemRefused when an item is at fault.
        waiting_items: how many items may wait before more are refused.
        refusal: makes the error of items that are not durable.
        name: the thread's.
    """

    def __init__(
        self,
        write: Write[Item, Result],
        *,
        waiting_items: int,
        refusal: Callable[[], Unavailable],
        name: str = "portcullis-group-commit",
    ) -> None:
        self._write = write
        self._room = waiting_items
        self._refusal = refusal
        self._waiting: deque[_Caller[Item, Result]] = deque()
        self._change = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def add(self, items: Sequence[Item]) -> Sequence[Result]:
        """Have items written; returns when they are durable. Items of a caller that gives up waiting may be written.

        Raises:
            Unavailable: what ``refusal`` makes: they are not durable, too many items wait already, or it is closed.
        """
        loop = asyncio.get_running_loop()
        caller = _Caller(items, loop, loop.create_future())
        with self._change:
            if self._closing or len(items) > self._room:
                raise self._refusal()
            self._room -= len(items)
            self._waiting.append(caller)
            self._change.notify()
        return await caller.done

    def close(self) -> None:
        """Write what is waiting, then stop. Blocks until that is done."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            outcomes = self._settle(group)
            # Before anybody is told: who has an answer may bring more at once.
            with self._change:
                self._room += sum(len(caller.items) for caller in group)
            self._tell(outcomes)

    def _next_group(self) -> list[_Caller[Item, Result]]:
        """Wait for callers; empty once it is closed and nobody waits."""
        group: list[_Caller[Item, Result]] = []
        with self._change:
            while not self._waiting and not self._closing:
                self._change.wait()
            items = 0
            while self._waiting and (not group or items + len(self._waiting[0].items) <= _GROUP_ITEMS):
                group.append(self._waiting.popleft())
                items += len(group[-1].items)
        return group

    def _settle(self, group: Sequence[_Caller[Item, Result]]) -> list[tuple[_Caller[Item, Result], Sequence[Result] | None]]:
        """Write a group; gives each caller's results, None where they are not durable."""
        try:
            written = self._try([item for caller in group for item in caller.items])
        except ItemRefused:
            return [(caller, self._try_alone(caller)) for caller in group]
        place = 0
        shares: list[tuple[_Caller[Item, Result], Sequence[Result] | None]] = []
        for caller in group:
            end = place + len(caller.items)
            shares.append((caller, None if written is None else written[place:end]))
            place = end
        return shares

    def _try_alone(self, caller: _Caller[Item, Result]) -> Sequence[Result] | None:
        try:
            return self._try(caller.items)
        except ItemRefused:
            return None

    def _try(self, items: Sequence[Item]) -> Sequence[Result] | None:
        try:
            return self._write(items)
        except ItemRefused:
            raise
        except Exception:  # noqa: BLE001 - whatever it was, the thread lives on and nothing is acknowledged
            return None

    def _tell(self, outcomes: Iterable[tuple[_Caller[Item, Result], Sequence[Result] | None]]) -> None:
        """Tell the callers; each event loop is woken once."""
        by_loop = defaultdict(list)
        for caller, written in outcomes:
            by_loop[caller.loop].append((caller.done, written))
        for loop, settled in by_loop.items():
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._resolve, settled)

    def _resolve(self, settled: Sequence[tuple[asyncio.Future[Sequence[Result]], Sequence[Result] | None]]) -> None:
        for done, written in settled:
            if done.done():
                continue
            if written is None:
                done.set_exception(self._refusal())
            else:
                done.set_result(written)
