"""A gateway over a real spool whose disk fills up, or refuses to force what was written."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import get_args

import grpc
import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.spool import FileSpool, SpoolDirectoryReader
from portcullis.config import Transport
from portcullis.v1 import check_service_pb2 as pb
from tests.support.disks import Ballast, injecting, small_disk
from tests.support.gateways import Bench, refusal, running_gateway
from tests.support.spool_gateways import ALLOW, CLEAN, LISTED, RESTRICT, batch, check, look_up, publish, question
from tests.support.spools import drained, ids

ROOT = Path(__file__).resolve().parents[2]
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "RECORD_UNAVAILABLE")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small") as mounted:
        yield mounted


@pytest.fixture
async def bench(disk: Path) -> AsyncIterator[Bench]:
    with closing(FileSpool(disk / "spool", clock=SystemClock())) as spool:
        async with running_gateway("grpcio", spool=spool) as running:
            await publish(running)
            yield running


def spooled(disk: Path) -> list[str]:
    with closing(SpoolDirectoryReader(disk / "spool")) as reader:
        return ids(drained(reader))


async def test_with_a_full_disk_only_what_needs_no_record_is_answered_until_there_is_room(bench: Bench, disk: Path) -> None:
    answered = [(await check(bench)).decision_id, (await look_up(bench)).decision_id]
    ballast = Ballast(disk)
    ballast.leave(0)
    while True:
        # The rest of the segment's last block has room for a few.
        try:
            answered.append((await check(bench)).decision_id)
        except grpc.aio.AioRpcError:
            break
    for _ in range(3):
        code, reason, _, _ = await refusal(check(bench))
        assert (code, reason) == UNAVAILABLE
        code, reason, _, _ = await refusal(look_up(bench))
        assert (code, reason) == UNAVAILABLE
        assert ALLOW == (await check(bench, CLEAN)).outcome
    results = await batch(bench, LISTED, CLEAN, LISTED)
    assert [14, 0, 14] == [each.error.code for each in results]
    assert ALLOW == results[1].response.outcome

    ballast.drop()
    answer = await check(bench)
    assert RESTRICT == answer.outcome
    answered += [answer.decision_id, *(each.response.decision_id for each in await batch(bench, LISTED, LISTED))]
    assert set(answered) <= set(spooled(disk))


@asynccontextmanager
async def serving(command: list[str]) -> AsyncIterator[grpc.aio.Channel]:
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, **pipes)
    assert process.stdout is not None
    try:
        while (words := (await process.stdout.readline()).decode().split())[:1] != ["serving"]:
            assert words, "the gateway ended"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{words[1]}") as channel:
            yield channel
    finally:
        await process.communicate(b"")


async def test_with_a_disk_that_can_not_sync_only_what_needs_no_record_is_answered_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    command = [*injecting("fdatasync:error=EIO:when=2..4"), sys.executable, "-m", "tests.support.spool_children"]
    answered = []
    async with serving([*command, "gateway", str(folder)]) as channel:

        async def ask(person: object) -> pb.CheckResponse:
            method = channel.unary_unary("/portcullis.v1.CheckService/Check")
            body = question(person).SerializeToString()
            answer = await method(body, metadata=[("authorization", "Bearer lender-key")], timeout=20)
            return pb.CheckResponse.FromString(answer)

        answered.append(await ask(LISTED))
        for _ in range(3):
            code, reason, _, _ = await refusal(ask(LISTED))
            assert (code, reason) == UNAVAILABLE
            assert ALLOW == (await ask(CLEAN)).outcome
        answered += [await ask(LISTED), await ask(LISTED)]
    assert {RESTRICT} == {each.outcome for each in answered}
    assert {each.decision_id for each in answered} <= set(spooled(tmp_path))


@pytest.mark.parametrize("transport", get_args(Transport))
async def test_every_answer_with_a_reason_is_in_the_spool_when_it_arrives(transport: Transport, tmp_path: Path) -> None:
    with closing(FileSpool(tmp_path / "spool", clock=SystemClock())) as spool:
        async with running_gateway(transport, spool=spool) as bench:
            await publish(bench)
            answers = await asyncio.gather(*(check(bench) for _ in range(20)), check(bench, CLEAN))
            found = set(spooled(tmp_path))
    assert {each.decision_id for each in answers if each.outcome == RESTRICT} == found
    assert 20 == len(found)
