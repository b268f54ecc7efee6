"""What an encrypted connection shows of an answer is its size: it is the same for a hit and a miss, on every transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, get_args

import grpc
import pytest

from portcullis.config import Transport
from portcullis.domain.policies import Partner
from portcullis.domain.quotas import UNLIMITED
from portcullis.gateway.messages.padding import CALLER_BYTES, CHECK_BYTES, batch_bytes
from portcullis.v1 import caller_service_pb2, types_pb2
from portcullis.v1 import check_service_pb2 as pb
from tests.contract.test_gateway import CLEAN, LISTED, LISTED_PHONE, question, the_index, the_policy
from tests.support.gateways import TOKENISER, Bench, arrival, refusal, running_gateway
from tests.support.people import phone, resident_id

ELSEWHERE, STAYED = resident_id(31), resident_id(32)
HEADERS = [("authorization", "Bearer lender-key")]


@pytest.fixture(params=get_args(Transport))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with running_gateway(request.param) as bench:
        index = the_index()
        (pattern,) = index[TOKENISER.index_tokens(LISTED)[0]]
        for each, record in ((ELSEWHERE, pattern._replace(list_number=3)), (STAYED, pattern._replace(stayed=True))):
            index |= {token: [record] for token in TOKENISER.index_tokens(each)}
        (partner,) = the_policy(quota=UNLIMITED).partners
        await arrival(bench, bench.publish(_told_only(partner), index))
        yield bench


def _told_only(partner: Partner) -> Any:
    policy = the_policy()
    return type(policy)(actions=policy.actions, lists=policy.lists, partners=(partner,))


@pytest.mark.parametrize("person", [CLEAN, LISTED, ELSEWHERE, STAYED])
@pytest.mark.parametrize("changes", [{}, {"locale": "zh-CN"}, {"partner_reference": "order-1"}, {"dry_run": True}])
async def test_the_answer_to_a_check_has_one_size_whoever_it_is_about(
    bench: Bench, person: Any, changes: dict[str, Any]
) -> None:
    body = question(person, **changes).SerializeToString()
    for _ in range(2):
        answer = await bench.call("CheckService/Check", body)
        assert CHECK_BYTES == len(answer)
        assert (person == LISTED) == (pb.CheckResponse.FromString(answer).outcome == types_pb2.OUTCOME_RESTRICT)


async def test_answers_on_a_stream_have_one_size_whoever_they_are_about(bench: Bench) -> None:
    call = bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(metadata=HEADERS, timeout=10)
    sizes = []
    for person in (CLEAN, LISTED, ELSEWHERE, STAYED):
        await call.write(pb.StreamCheckRequest(request_id="r", check=question(person)).SerializeToString())
        answer = await call.read()
        assert pb.StreamCheckResponse.FromString(answer).result.response.decision_id
        sizes.append(len(answer))
    await call.done_writing()
    assert {CHECK_BYTES + len(b"\x0a\x01r\x0a\x80\x20\x12\x83\x20")} == set(sizes)


@pytest.mark.parametrize("hits", [0, 1, 5])
@pytest.mark.parametrize("checks", [5, 100])
async def test_the_answer_to_a_batch_has_one_size_however_many_of_it_are_refused(
    bench: Bench, hits: int, checks: int
) -> None:
    requests = [question(LISTED)] * hits + [question(CLEAN)] * (checks - hits)
    answer = await bench.call("CheckService/BatchCheck", pb.BatchCheckRequest(requests=requests).SerializeToString())
    assert batch_bytes(checks) == len(answer)
    outcomes = [each.response.outcome for each in pb.BatchCheckResponse.FromString(answer).results]
    assert [types_pb2.OUTCOME_RESTRICT] * hits + [types_pb2.OUTCOME_ALLOW] * (checks - hits) == outcomes


async def test_the_answer_about_a_caller_has_one_size_with_a_label_and_without(bench: Bench) -> None:
    labels = []
    for each in (LISTED_PHONE, phone(2)):
        body = caller_service_pb2.LookupCallerRequest(phone=each.value).SerializeToString()
        answer = await bench.call("CallerService/LookupCaller", body)
        assert CALLER_BYTES == len(answer)
        labels.append(caller_service_pb2.LookupCallerResponse.FromString(answer).label)
    assert ["A known nuisance.", ""] == labels


async def test_a_question_that_is_refused_is_refused_alike_whoever_it_is_about(bench: Bench) -> None:
    for changes in ({"action": "tea.drink"}, {"purpose": "curiosity"}, {"locale": "zh_CN"}, {"at_least_snapshot": "x"}):
        refused = [
            await refusal(bench.call("CheckService/Check", question(person, **changes).SerializeToString()))
            for person in (CLEAN, LISTED, ELSEWHERE, STAYED)
        ]
        assert [refused[0]] * 4 == refused


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_as_many_bytes_leave_for_a_hit_as_for_a_miss_even_to_a_client_that_compresses(
    bench: Bench, compression: grpc.Compression
) -> None:
    async with counted(bench.port) as (port, counts):
        address = f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(address, compression=compression) as channel:
            ask = channel.unary_unary("/portcullis.v1.CheckService/Check")
            taken = {}
            for name, person in (("first", CLEAN), ("miss", CLEAN), ("hit", LISTED), ("silent", ELSEWHERE)):
                before = counts[0]
                await ask(question(person).SerializeToString(), metadata=HEADERS, timeout=10)
                taken[name] = counts[0] - before
    # Window updates and pings of the connection go their own ways: some dozen bytes of frames, never the message's.
    assert CHECK_BYTES < min(taken.values())
    assert max(taken["miss"], taken["hit"], taken["silent"]) - min(taken.values()) < 64


@asynccontextmanager
async def counted(port: int) -> AsyncIterator[tuple[int, list[int]]]:
    """Put a relay before a port; gives its own port, and how many bytes have come from behind it."""
    counts = [0]
    copying: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: int | None) -> None:
        try:
            while block := await reader.read(65_536):
                if place is not None:
                    counts[place] += len(block)
                writer.write(block)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        copying.update(
            (
                asyncio.ensure_future(copy(reader, behind_writer, None)),
                asyncio.ensure_future(copy(behind_reader, writer, 0)),
            )
        )

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], counts
    finally:
        server.close()
        # The client has gone: what it was connected by ends by itself.
        await asyncio.wait_for(asyncio.gather(*copying, return_exceptions=True), 10)
