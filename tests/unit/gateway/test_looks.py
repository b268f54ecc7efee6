"""Looks at health: so many a second, by turns among addresses, and few Watch held."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from portcullis.domain.errors import Overloaded, WatchesHeld
from portcullis.gateway import by_turns
from portcullis.gateway.servicers import looks as module
from portcullis.gateway.servicers.looks import A_BEAT, BEAT_S, LATE_A_BEAT, LATE_S, WATCHES, WATCHES_AT_EASE, Looks
from tests.support.clocks import HandClock


class Asked:
    """Looks that connections ask for, and in which order they come to their turn."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.looks = Looks(self.clock.monotonic)
        self.answered: list[str] = []
        self.asking: list[asyncio.Task[None]] = []

    async def ask(self, connection: str, times: int = 1) -> None:
        """Ask so often at once."""
        self.asking += [asyncio.create_task(self._ask(connection)) for _ in range(times)]
        await asyncio.sleep(0)

    async def beat(self) -> None:
        """Have a beat come, and let go on whom it lets through."""
        self.looks._beat()
        await asyncio.sleep(0)

    async def end(self) -> None:
        for each in self.asking:
            each.cancel()
        await asyncio.gather(*self.asking, return_exceptions=True)

    async def _ask(self, connection: str) -> None:
        await self.looks.turn(connection)
        self.answered.append(connection)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(BEAT_S / 10)


async def test_a_flood_is_held_to_so_many_a_beat() -> None:
    asked, began, beats = Asked(), time.monotonic(), 10
    await asked.ask("flood", A_BEAT * (beats + 1))
    assert A_BEAT == len(asked.answered)
    await until(lambda: A_BEAT * (beats + 1) == len(asked.answered))

    assert 0 == asked.looks.waiting
    # A timer of the loop may fire earlier by what its clock resolves.
    assert time.monotonic() - began >= 0.9 * beats * BEAT_S


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no beat come by itself."""
    monkeypatch.setattr(module, "BEAT_S", 3600.0)


@pytest.mark.usefixtures("by_hand")
async def test_a_look_waits_behind_one_of_each_other_connection_and_no_flood() -> None:
    asked = Asked()
    await asked.ask("flood", 1_000)
    await asked.ask("other flood", 1_000)
    await asked.ask("probe")
    await asked.beat()
    await asked.end()

    assert [*["flood"] * A_BEAT, "flood", "other flood", "probe", "flood"] == asked.answered


@pytest.mark.usefixtures("by_hand")
async def test_a_thousand_connections_of_one_host_are_one_turn_among_hosts() -> None:
    asked = Asked()
    for port in range(1_000):
        await asked.ask(f"ipv4:192.0.2.1:{port}")
    await asked.ask("ipv4:192.0.2.2:1")
    await asked.beat()
    await asked.end()

    assert "ipv4:192.0.2.2:1" in asked.answered[A_BEAT : 2 * A_BEAT]


@pytest.mark.usefixtures("by_hand")
async def test_hosts_that_wait_for_long_are_let_through_beyond_a_beat_and_only_so_many() -> None:
    asked, hosts = Asked(), 1_000
    for host in range(hosts):
        await asked.ask(f"ipv4:10.0.0.{host}:1")
    await asked.beat()
    assert 2 * A_BEAT == len(asked.answered)
    asked.clock.advance(LATE_S + BEAT_S)
    await asked.beat()
    await asked.end()

    assert 3 * A_BEAT + LATE_A_BEAT == len(asked.answered)


@pytest.mark.usefixtures("by_hand")
async def test_a_host_that_always_asks_is_never_late() -> None:
    asked, beats = Asked(), 10
    for port in range(1_000):
        await asked.ask(f"ipv4:192.0.2.1:{port}")
    for _ in range(beats):
        asked.clock.advance(LATE_S / 2)
        await asked.beat()
    await asked.end()

    assert A_BEAT * (1 + beats) == len(asked.answered)


@pytest.mark.usefixtures("by_hand")
async def test_after_a_quiet_beat_nobody_waits() -> None:
    asked = Asked()
    await asked.ask("flood", A_BEAT + 1)
    await asked.beat()
    await asked.beat()
    await asked.ask("probe", A_BEAT)

    assert [*["flood"] * (A_BEAT + 1), *["probe"] * A_BEAT] == asked.answered
    assert 0 == asked.looks.waiting


@pytest.mark.usefixtures("by_hand")
async def test_looks_that_are_given_up_take_nobodys_turn_and_leave_nothing() -> None:
    asked = Asked()
    await asked.ask("flood", 500)
    await asked.end()
    await asked.ask("probe", A_BEAT)
    await asked.beat()

    assert [*["flood"] * A_BEAT, *["probe"] * A_BEAT] == asked.answered
    assert 0 == asked.looks.waiting


@pytest.mark.usefixtures("by_hand")
async def test_where_too_many_wait_a_connection_without_any_still_finds_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(by_turns, "WAITING_AT_MOST", 20)
    asked = Asked()
    await asked.ask("flood", A_BEAT + 20)
    with pytest.raises(Overloaded):
        await asked.looks.turn("flood")
    await asked.ask("probe")
    await asked.beat()
    await asked.end()

    assert [*["flood"] * (A_BEAT + 1), "probe"] == asked.answered[: A_BEAT + 2]


def test_while_few_watches_are_held_one_connection_may_hold_them_all() -> None:
    looks = Looks()
    with ExitStack() as held:
        for _ in range(WATCHES_AT_EASE):
            held.enter_context(looks.watch("unix:"))
        with pytest.raises(WatchesHeld), looks.watch("unix:"):
            pass
        with looks.watch("ipv4:192.0.2.1:1"):
            pass

    assert {} == looks._watches


def test_while_many_are_held_a_connection_holds_a_few_watches_and_another_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHES_AT_EASE", 0)
    looks = Looks()
    held = [looks.watch("one") for _ in range(WATCHES)]
    for each in held:
        each.__enter__()
    with pytest.raises(WatchesHeld, match=f"holds {WATCHES} or more"), looks.watch("one"):
        pass
    with looks.watch("another"):
        pass
    held[0].__exit__(None, None, None)
    with looks.watch("one"):
        pass
    for each in held[1:]:
        each.__exit__(None, None, None)

    assert {} == looks._watches
