"""Workers that share a quota in real time: through a Valkey, through the host's file when it is killed, and again after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.quotas import LmdbQuotaExchange
from portcullis.adapters.redis.quotas import RedisQuotaExchange
from portcullis.domain.day_names import DayNames
from portcullis.domain.errors import QuotaExceeded
from portcullis.domain.quotas import UNLIMITED
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.sharing import QuotaSharing
from portcullis.metrics import QuotaMetrics
from tests.support.policies import lender, policy
from tests.support.valkey import ValkeyAt, running_valkey

RATE = 500
SPREAD = (0.6, 0.3, 0.1)
BURST_GONE_S = 0.8
SHARES_STAND_S = 3.6
MEASURED_S = 1.5


@pytest.fixture
def server() -> Iterator[ValkeyAt]:
    with running_valkey() as running:
        yield running


async def flood(workers: Sequence[Gates], seconds: float) -> float:
    """Ask for ten times the rate over all workers; gives how much was let through, as a part of the quota."""
    begin = time.monotonic()
    asked, through = [0] * len(workers), 0
    while (elapsed := time.monotonic() - begin) < seconds:
        for number, (gates, part) in enumerate(zip(workers, SPREAD, strict=True)):
            gate = gates.of("lender")
            while asked[number] < 10 * RATE * part * elapsed:
                asked[number] += 1
                try:
                    gate.take()
                except QuotaExceeded:
                    continue
                through += 1
        await asyncio.sleep(0.005)
    return through / (RATE * elapsed)


async def test_a_flood_gets_the_quota_whether_the_store_lives_or_not(server: ValkeyAt, tmp_path: Path) -> None:
    clock = SystemClock()
    limited = policy(partners=(lender(quota=msgspec.structs.replace(UNLIMITED, checks_per_s=RATE)),))
    workers = []
    async with AsyncExitStack() as stack:
        host = stack.enter_context(closing(LmdbQuotaExchange(tmp_path / "quotas", monotonic=clock.monotonic)))
        for _ in SPREAD:
            gates = Gates(clock.monotonic, clock.now)
            gates.follow(limited)
            workers.append(gates)
            sharing = QuotaSharing(
                gates,
                host=host,
                store=RedisQuotaExchange(server.url),
                names=DayNames(b"a key of tests, and of tests alone"),
                clock=clock,
                metrics=QuotaMetrics(CollectorRegistry()),
            )
            await stack.enter_async_context(sharing.running())
        await flood(workers, BURST_GONE_S)
        assert await flood(workers, MEASURED_S) == pytest.approx(1.0, abs=0.1)
        server.kill()
        await flood(workers, SHARES_STAND_S)
        assert await flood(workers, MEASURED_S) == pytest.approx(1.0, abs=0.1)
        server.start()
        await flood(workers, BURST_GONE_S)
        assert await flood(workers, MEASURED_S) == pytest.approx(1.0, abs=0.1)
