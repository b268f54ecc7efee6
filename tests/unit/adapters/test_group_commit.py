"""Group commit against a disk that does as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from portcullis.adapters.group_commit import GroupCommit, ItemRefused
from portcullis.domain.errors import RecordUnavailable


class Disk:
    """Writes rows to a list; may be held, broken, or refuse rows named "bad"."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.fault: Exception | None = None

    def write(self, names: Sequence[str]) -> list[str]:
        self.entered.set()
        assert self.open.wait(10)
        if self.fault:
            raise self.fault
        if "bad" in names:
            raise ItemRefused
        self.groups.append(list(names))
        return [f"{name} is written" for name in names]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def commits(disk: Disk) -> Iterator[GroupCommit]:
    commits = GroupCommit(disk.write, waiting_items=5000, refusal=RecordUnavailable)
    yield commits
    disk.open.set()
    commits.close()


def rows(*names: str) -> list[str]:
    return list(names)


async def held(disk: Disk, commits: GroupCommit) -> asyncio.Future[None]:
    """A first caller, whose write is under way and does not end."""
    disk.open.clear()
    first = asyncio.ensure_future(commits.add(rows("first")))
    await asyncio.to_thread(disk.entered.wait, 10)
    return first


async def test_callers_that_come_during_a_commit_share_the_next_one(disk: Disk, commits: GroupCommit) -> None:
    first = await held(disk, commits)
    others = [asyncio.ensure_future(commits.add(rows(f"r{number}", "more"))) for number in range(50)]
    await asyncio.sleep(0)
    disk.open.set()
    await asyncio.gather(first, *others)
    assert [1, 100] == [len(group) for group in disk.groups]


async def test_one_group_stays_small_whatever_waits(disk: Disk, commits: GroupCommit) -> None:
    first = await held(disk, commits)
    others = [asyncio.ensure_future(commits.add(rows(*["r"] * 1500))) for _ in range(3)]
    await asyncio.sleep(0)
    disk.open.set()
    await asyncio.gather(first, *others)
    assert [1, 1500, 1500, 1500] == [len(group) for group in disk.groups]


async def test_a_broken_disk_refuses_the_whole_group_at_once_and_heals(disk: Disk, commits: GroupCommit) -> None:
    first = await held(disk, commits)
    others = [asyncio.ensure_future(commits.add(rows("r"))) for _ in range(5)]
    await asyncio.sleep(0)
    disk.fault = OSError("no space")
    disk.open.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert all(isinstance(result, RecordUnavailable) for result in results)
    disk.fault = None
    await commits.add(rows("later"))
    assert [["later"]] == disk.groups


async def test_a_bad_row_is_its_own_callers_fault(disk: Disk, commits: GroupCommit) -> None:
    first = await held(disk, commits)
    names = ["a", "bad", "b", "bad", "c"]
    others = [asyncio.ensure_future(commits.add(rows(name))) for name in names]
    await asyncio.sleep(0)
    disk.open.set()
    await first
    results = await asyncio.gather(*others, return_exceptions=True)
    assert [name == "bad" for name in names] == [isinstance(result, RecordUnavailable) for result in results]
    assert [["first"], ["a"], ["b"], ["c"]] == disk.groups


async def test_what_waits_is_bounded_and_room_comes_back(disk: Disk, commits: GroupCommit) -> None:
    first = await held(disk, commits)
    full = asyncio.ensure_future(commits.add(rows(*["r"] * 4999)))
    await asyncio.sleep(0)
    with pytest.raises(RecordUnavailable):
        await commits.add(rows("too much"))
    disk.open.set()
    await asyncio.gather(first, full)
    await asyncio.wait_for(_until_taken(commits), 10)


async def _until_taken(commits: GroupCommit) -> None:
    # Room is given back a moment after the callers are told.
    while True:
        try:
            return await commits.add(rows(*["r"] * 5000))
        except RecordUnavailable:
            await asyncio.sleep(0.001)


def test_callers_of_several_event_loops_are_served(disk: Disk, commits: GroupCommit) -> None:
    threads = [threading.Thread(target=lambda: asyncio.run(commits.add(rows("r")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 4 == sum(len(group) for group in disk.groups)


def test_a_loop_that_is_gone_stops_nobody(disk: Disk, commits: GroupCommit) -> None:
    async def give_up() -> None:
        first = await held(disk, commits)
        first.cancel()

    asyncio.run(give_up())
    disk.open.set()
    asyncio.run(commits.add(rows("later")))
    assert [["first"], ["later"]] == disk.groups


def test_closing_twice_is_closing(disk: Disk) -> None:
    commits = GroupCommit(disk.write, waiting_items=1, refusal=RecordUnavailable)
    commits.close()
    commits.close()


async def test_who_has_an_answer_may_bring_more_at_once(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = GroupCommit(disk.write, waiting_items=1, refusal=RecordUnavailable)
    loop, brought = asyncio.get_running_loop(), threading.Event()
    call = loop.call_soon_threadsafe

    def told(*given: Any) -> None:
        call(*given)
        assert brought.wait(10)

    try:
        monkeypatch.setattr(loop, "call_soon_threadsafe", told)
        await commits.add(rows("first"))
        # The thread is still busy telling.
        second = asyncio.ensure_future(commits.add(rows("second")))
        await asyncio.sleep(0)
        brought.set()
        assert await second == ["second is written"]
    finally:
        brought.set()
        await asyncio.to_thread(commits.close)
