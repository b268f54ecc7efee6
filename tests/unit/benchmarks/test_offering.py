"""The open-loop driver of overload tells answers from refusals, and calls that never left from both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest

from benchmarks.http2 import Call
from benchmarks.overload.offering import Offer, Outcome, run

PATH = "/portcullis.tests.Offered/Do"
Method = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[bytes]]


async def outcome(method: Method, rate: float = 400.0, streams: int = 100, **changes: float) -> Outcome:
    """Offer calls to a server of this one method."""
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", streams)])
    handler = grpc.unary_unary_rpc_method_handler(method)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("portcullis.tests.Offered", {"Do": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    offer = Offer(
        call=Call(host="127.0.0.1", port=port, path=PATH, headers={}, message=b"x" * 20),
        rate=rate,
        seconds=0.4,
        warm_up_s=0.1,
        connections=2,
        **({"deadline_s": 5.0} | changes),
    )
    try:
        return await asyncio.to_thread(run, offer)
    finally:
        await server.stop(None)


async def test_answers_are_counted_as_good() -> None:
    async def answer(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return body

    found = await outcome(answer)

    assert found.offered == found.good > 50
    assert found.goodput == pytest.approx(found.good / 0.4)
    assert 0 < found.p50_us <= found.p99_us


async def test_refusals_are_no_answers() -> None:
    async def refuse(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return body

    found = await outcome(refuse)

    assert found.offered == found.refused > 50
    assert 0 == found.good


async def test_a_call_that_finds_no_place_until_its_deadline_is_given_up_by_its_caller() -> None:
    async def dawdle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await asyncio.sleep(0.2)
        return body

    found = await outcome(dawdle, streams=1, deadline_s=0.5)

    assert found.given_up > 0
    # The others were sent with next to nothing left.
    assert found.offered == found.given_up + found.refused + found.broken + found.good
    assert found.good < found.offered / 2


async def test_a_call_that_ends_at_its_deadline_is_not_good() -> None:
    async def dawdle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        await asyncio.sleep(10)
        return body

    found = await outcome(dawdle, rate=100.0, deadline_s=0.2)

    assert 0 == found.good
    assert 200_000 == pytest.approx(found.p99_us)


async def test_what_is_left_of_a_deadline_goes_with_the_call() -> None:
    left: list[float] = []

    async def answer(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        left.append(context.time_remaining())
        await asyncio.sleep(0.1)
        return body

    found = await outcome(answer, rate=50.0, streams=1, deadline_s=0.6)

    assert found.good > 0
    # Those that waited for the one place have less than the first.
    assert min(left) + 0.2 < max(left) <= 0.6
