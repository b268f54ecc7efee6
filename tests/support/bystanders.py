"""A partner that goes on checking, and a probe that goes on asking for health, while somebody else attacks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from portcullis.client import AioClient, ClientError, Identifier
from tests.support.people import resident_id

KEY = "kiosk-key"
_PAUSE_S = 0.003
_DEADLINE_S = 5.0
_TO_GO_ON = 3

LONGEST_S = 2.5
"""No answer may take longer while others attack; one that does was held up by the attack, not by a busy machine."""


class Moment(NamedTuple):
    """How much had been answered at a moment."""

    checks: int
    looks: int


class Bystanders:
    """What they saw.

    Attributes:
        checks: how long each answered check took, in seconds.
        failed: how many checks were not answered.
        sick: how many looks at health were not answered with SERVING.
        looks: how long each look at health took, in seconds.
    """

    def __init__(self) -> None:
        self.checks: list[float] = []
        self.looks: list[float] = []
        self.failed = 0
        self.sick = 0

    @property
    def p99_ms(self) -> float:
        ordered = sorted(self.checks)
        return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] * 1000 if ordered else float("nan")

    @property
    def slowest_look_ms(self) -> float:
        return max(self.looks, default=float("nan")) * 1000

    def now(self) -> Moment:
        """Mark this moment, for `went_on`."""
        return Moment(len(self.checks), len(self.looks))

    def went_on(self, since: Moment) -> bool:
        """Say whether some checks and looks have been answered since, more than were under way at that moment."""
        return len(self.checks) > since.checks + _TO_GO_ON and len(self.looks) > since.looks + _TO_GO_ON

    def slowest_s(self, since: Moment) -> float:
        """Give how long the slowest check or look took that was answered since."""
        return max((*self.checks[since.checks :], *self.looks[since.looks :]), default=float("inf"))


@asynccontextmanager
async def bystanders(
    port: int, credentials: grpc.ChannelCredentials | None = None, look_pause_s: float = _PAUSE_S * 5
) -> AsyncIterator[Bystanders]:
    """Let them go on while the context lasts, with TLS where credentials are given; looks rest so long after each."""
    host = "localhost" if credentials else "127.0.0.1"
    seen, stop = Bystanders(), asyncio.Event()
    given = resident_id(7)

    async def check() -> None:
        async with AioClient(f"{host}:{port}", api_key=KEY, timeout_s=_DEADLINE_S, credentials=credentials) as client:
            while not stop.is_set():
                began = time.perf_counter()
                try:
                    await client.check([Identifier(given.kind, given.value)], action="loan.apply", purpose="lending")
                    seen.checks.append(time.perf_counter() - began)
                except ClientError:
                    seen.failed += 1
                await asyncio.sleep(_PAUSE_S)

    async def look() -> None:
        to = f"{host}:{port}"
        async with grpc.aio.secure_channel(to, credentials) if credentials else grpc.aio.insecure_channel(to) as channel:
            ask = health_pb2_grpc.HealthStub(channel).Check
            while not stop.is_set():
                began = time.perf_counter()
                try:
                    answer = await ask(health_pb2.HealthCheckRequest(), timeout=_DEADLINE_S)
                    seen.sick += answer.status != health_pb2.HealthCheckResponse.SERVING
                    seen.looks.append(time.perf_counter() - began)
                except grpc.RpcError:
                    seen.sick += 1
                await asyncio.sleep(look_pause_s)

    tasks = [asyncio.create_task(check()), asyncio.create_task(look())]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*tasks)
