"""Looks at the policy, of a registry that answers when it is told to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from portcullis.domain.errors import RegistryUnavailable
from portcullis.exchange import policy_looks
from portcullis.exchange.policy_looks import PolicyLooks
from tests.support.relays import until

WITHIN_S = 20.0


class Registry:
    """Counts the looks that began; they end when it answers, and fail while ``away`` is set.

    Who asks waits for an answer as long as it takes, and hardly at all while there is none.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._patch.setattr(policy_looks, "_WITHIN_S", WITHIN_S)
        self.began = 0
        self.away = False
        self._answers = threading.Event()
        self._answers.set()
        self.looks = PolicyLooks(self.look)

    def look(self) -> None:
        self.began += 1
        assert self._answers.wait(WITHIN_S)
        if self.away:
            raise RegistryUnavailable("gone")

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._answers.clear()
        self._patch.setattr(policy_looks, "_WITHIN_S", 0.05)
        try:
            yield
        finally:
            self._answers.set()
            self._patch.setattr(policy_looks, "_WITHIN_S", WITHIN_S)


@pytest.fixture
async def registry(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Registry]:
    made = Registry(monkeypatch)
    yield made
    await made.looks.close()


async def test_what_is_known_already_is_not_looked_at_again(registry: Registry) -> None:
    assert [7, 7, 7, 9] == [await registry.looks.up_to(1, newest) for newest in (7, 7, 3, 9)]
    assert 2 == registry.began


async def test_another_feed_is_looked_at_anew_however_short_it_is(registry: Registry) -> None:
    assert 7 == await registry.looks.up_to(1, 7)
    registry.away = True
    assert 0 == await registry.looks.up_to(2, 3)
    registry.away = False
    assert 3 == await registry.looks.up_to(2, 3)


async def test_a_look_that_takes_long_counts_for_what_was_read_before_it_began_alone(registry: Registry) -> None:
    assert 2 == await registry.looks.up_to(1, 2)
    with registry.silent():
        assert [2, 2] == [await registry.looks.up_to(1, newest) for newest in (5, 8)]
    assert 5 == await registry.looks.up_to(1, 5)
    assert 8 == await registry.looks.up_to(1, 8)
    assert 3 == registry.began


async def test_a_registry_that_is_away_is_logged_when_it_goes_and_when_it_is_back(registry: Registry) -> None:
    registry.away = True
    with capture_logs() as logs:
        assert [0, 0] == [await registry.looks.up_to(1, 5) for _ in range(2)]
        registry.away = False
        assert 5 == await registry.looks.up_to(1, 5)

    assert [("error", "RegistryUnavailable"), ("info", None)] == [(each["log_level"], each.get("kind")) for each in logs]


async def test_a_look_that_is_under_way_at_the_end_leaves_no_task_behind(registry: Registry) -> None:
    with registry.silent():
        assert 0 == await registry.looks.up_to(1, 5)
        await registry.looks.close()
        await until(lambda: {asyncio.current_task()} == asyncio.all_tasks())
