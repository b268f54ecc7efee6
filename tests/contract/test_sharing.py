"""The contract of SharingService, on every transport, over a real journal and a real feed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import grpc
import msgspec
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.config import Transport
from portcullis.domain.changes import ChangeKind
from portcullis.domain.merkle import leaf_hash, verify_inclusion
from portcullis.domain.quotas import Quota
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.gateway.servicers.sharing import MAX_EVENT_BYTES
from portcullis.ports import Watched
from portcullis.v1 import sharing_service_pb2 as pb
from tests.support.decision_records import a_record
from tests.support.gateways import refusal
from tests.support.shared_events import DECISION_ID, SUBJECT, an_event
from tests.support.sharing_gateways import (
    SUBJECTS,
    SharingBench,
    a_change,
    message_of,
    running_sharing,
    the_policy,
)


@pytest.fixture(params=get_args(Transport))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SharingBench]:
    async with running_sharing(request.param, tmp_path, patience_s=0.3) as running:
        record = a_record(DECISION_ID, partner="lender")
        await asyncio.to_thread(running.journal.record_decisions, [record])
        yield running


def event(number: int = 1, kind: EventKind = EventKind.ENFORCED, **changes: Any) -> SharedEvent:
    values = {"event_id": f"event-{number}", "occurred_at_ms": int(time.time() * 1000)}
    return an_event(kind, **(values | changes))


def told(error: status_pb2.Status) -> tuple[int, str, list[str]]:
    """Give an item's code, reason and fields."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in error.details:
        for message in (info, bad):
            detail.Unpack(message)
    return error.code, info.reason.removeprefix("ERROR_REASON_"), [each.field for each in bad.field_violations]


async def entries(journal: SqlJournal) -> int:
    return await asyncio.to_thread(journal.size)


async def grown_to(journal: SqlJournal, size: int) -> None:
    deadline = time.monotonic() + 10
    while await entries(journal) < size:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_an_event_is_in_the_log_when_its_receipt_is_given(bench: SharingBench) -> None:
    (result,) = await bench.report(event())

    receipt = result.receipt
    ((sequence, stored, entry),) = list(bench.journal.entries(1))
    assert ("event-1", 1, sequence) == (receipt.event_id, receipt.sequence, 1)
    assert receipt.entry_hash == stored == leaf_hash(entry)
    assert abs(receipt.recorded_at.ToMilliseconds() / 1000 - time.time()) < 60


async def test_fifty_concurrent_duplicates_are_one_row_and_have_one_receipt(bench: SharingBench) -> None:
    one = event()

    answers = await asyncio.gather(*(bench.report(one) for _ in range(50)))

    assert 1 == len({answer[0].SerializeToString() for answer in answers})
    assert "receipt" == answers[0][0].WhichOneof("result")
    assert 2 == await entries(bench.journal)


async def test_another_content_under_the_same_id_already_exists_and_ids_are_the_partners_own(bench: SharingBench) -> None:
    first, again = event(kind=EventKind.SETTLED), event(kind=EventKind.SETTLED, case_reference="(2090) Demo 2")
    (taken,) = await bench.report(first)

    (same,) = await bench.report(first)
    (other,) = await bench.report(again)
    (others,) = await bench.report(again, key="shop-key")

    assert taken == same
    assert (code_pb2.ALREADY_EXISTS, "EVENT_CONFLICT", []) == told(other.error)
    assert others.HasField("receipt")


async def test_a_fault_stays_with_its_item_and_names_its_place(bench: SharingBench) -> None:
    unnamed = pb.Event.FromString(message_of(event(4)).SerializeToString() + b"\xfa\x06\x05hello")
    results = await bench.report(
        event(1),
        event(2, decision_id="no such id"),
        pb.Event(event_id="event-3"),
        unnamed,
        event(5, EventKind.TERMINATED),
        event(6, EventKind.SETTLED, list="elsewhere"),
    )

    assert ["receipt", "error", "error", "error", "receipt", "error"] == [each.WhichOneof("result") for each in results]
    invalid = code_pb2.INVALID_ARGUMENT, "INVALID_FIELD"
    assert (*invalid, ["events[1].enforced.decision_id"]) == told(results[1].error)
    assert (*invalid, ["events[2].detail"]) == told(results[2].error)
    assert (*invalid, ["events[3]"]) == told(results[3].error)
    assert (code_pb2.PERMISSION_DENIED, "OUTSIDE_AGREEMENT", []) == told(results[5].error)
    assert "no such id" not in str(results[1])
    assert "hello" not in str(results[3])


async def test_anothers_decision_and_one_that_is_nowhere_have_one_answer(bench: SharingBench) -> None:
    (others,) = await bench.report(event(), key="shop-key")
    (nowhere,) = await bench.report(event(decision_id="f" * 32), key="shop-key")

    assert (code_pb2.FAILED_PRECONDITION, "DECISION_UNKNOWN", []) == told(others.error)
    assert others == nowhere
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in others.error.details)
    assert 1 == await entries(bench.journal)


async def test_an_event_waits_for_a_decision_that_is_on_its_way(tmp_path: Path) -> None:
    async with running_sharing("grpcio", tmp_path, patience_s=10.0) as bench:
        reported = asyncio.create_task(bench.report(event(1), event(2, EventKind.SETTLED)))
        await grown_to(bench.journal, 1)
        await asyncio.to_thread(bench.journal.record_decisions, [a_record(DECISION_ID, partner="lender")])

        first, second = await reported

    assert (2, 0) == (first.receipt.sequence, second.receipt.sequence)


async def test_patience_ends_before_the_callers_deadline(tmp_path: Path) -> None:
    async with running_sharing("grpcio", tmp_path, patience_s=60.0) as bench:
        (result,) = await bench.report(event(), timeout=1.0)

    assert (code_pb2.FAILED_PRECONDITION, "DECISION_UNKNOWN", []) == told(result.error)


@pytest.mark.parametrize("count", [0, 501])
async def test_a_batch_has_1_to_500_events(bench: SharingBench, count: int) -> None:
    code, reason, fields, _ = await refusal(bench.report(*(event(number) for number in range(count))))

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["events"]) == (code, reason, fields)


async def test_five_hundred_events_have_their_receipts_in_their_order(bench: SharingBench) -> None:
    results = await bench.report(*(event(number, EventKind.SETTLED) for number in range(500)))

    assert [f"event-{number}" for number in range(500)] == [each.receipt.event_id for each in results]
    assert list(range(1, 501)) == [each.receipt.sequence for each in results]


async def test_a_field_of_the_request_that_the_schema_does_not_name_is_refused(bench: SharingBench) -> None:
    body = pb.ReportEventsRequest(events=[message_of(event())]).SerializeToString() + b"\xfa\x06\x05hello"

    code, _, fields, _ = await refusal(bench.call("ReportEvents", body, pb.ReportEventsResponse))

    assert (grpc.StatusCode.INVALID_ARGUMENT, ["ReportEventsRequest"]) == (code, fields)
    assert 1 == await entries(bench.journal)


CALLS = [
    ("ReportEvents", pb.ReportEventsRequest(), pb.ReportEventsResponse),
    ("GetReceipt", pb.GetReceiptRequest(event_id="event-1"), pb.GetReceiptResponse),
    ("GetCheckpoint", pb.GetCheckpointRequest(), pb.GetCheckpointResponse),
    ("GetConsistencyProof", pb.GetConsistencyProofRequest(), pb.GetConsistencyProofResponse),
]


@pytest.mark.parametrize(("method", "request_", "kind"), CALLS)
async def test_every_method_is_for_partners_alone(bench: SharingBench, method: str, request_: Any, kind: Any) -> None:
    no_key = await refusal(bench.call(method, request_, kind, key=None))
    operator = await refusal(bench.call(method, request_, kind, key="operator-key"))
    garbled = await refusal(bench.call(method, b"\xff", kind))

    assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED") == no_key[:2]
    assert (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED") == operator[:2]
    assert (grpc.StatusCode.INVALID_ARGUMENT, "UNPARSABLE") == garbled[:2]


async def test_streams_are_for_partners_alone(bench: SharingBench) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    assert grpc.StatusCode.PERMISSION_DENIED == (await refusal(bench.stream(nothing(), key="operator-key")))[0]
    assert grpc.StatusCode.UNAUTHENTICATED == (await refusal(bench.watch(key="wrong").read()))[0]


async def test_a_journal_that_is_closed_fails_the_whole_call_with_a_hint_to_retry(bench: SharingBench) -> None:
    await asyncio.to_thread(bench.journal.close)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bench.report(event(1, EventKind.SETTLED), event(2, decision_id="bad"))

    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    assert (grpc.StatusCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE") == (caught.value.code(), told(status)[1])
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)


# StreamEvents


def streamed(*events: SharedEvent) -> list[bytes]:
    return [pb.StreamEventsRequest(event=message_of(each)).SerializeToString() for each in events]


async def sending(bodies: Sequence[bytes]) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body


async def test_a_stream_answers_in_order_at_its_end_and_keeps_each_fault_to_its_event(bench: SharingBench) -> None:
    bodies = [
        *streamed(event(1, EventKind.SETTLED), event(2, decision_id="")),
        b"\xff",
        b"\x0a\x00" + b"\xfa\x06\x05hello",
        b"\x0a" + b"\x90\x4e" + bytes(MAX_EVENT_BYTES + 1),
        *streamed(event(3)),
    ]

    results = await bench.stream(sending(bodies))

    assert ["receipt", "error", "error", "error", "error", "receipt"] == [each.WhichOneof("result") for each in results]
    assert (code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", ["event.enforced.decision_id"]) == told(results[1].error)
    assert (code_pb2.INVALID_ARGUMENT, "UNPARSABLE", []) == told(results[2].error)
    assert ["event"] == told(results[4].error)[2]
    assert ("event-1", "event-3") == (results[0].receipt.event_id, results[5].receipt.event_id)


async def test_what_comes_on_a_stream_is_durable_before_the_stream_ends(bench: SharingBench) -> None:
    proceed = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        for body in streamed(event(1, EventKind.SETTLED)):
            yield body
        await proceed.wait()
        for body in streamed(event(2, EventKind.SETTLED)):
            yield body

    stream = asyncio.create_task(bench.stream(slowly()))
    await grown_to(bench.journal, 2)
    assert not stream.done()
    proceed.set()

    assert [1, 2] == [each.receipt.sequence for each in await stream]


async def test_a_stream_that_is_sent_again_gets_the_first_receipts(bench: SharingBench) -> None:
    bodies = streamed(*(event(number, EventKind.SETTLED) for number in range(20)))

    assert await bench.stream(sending(bodies)) == await bench.stream(sending(bodies))
    assert 21 == await entries(bench.journal)


async def test_a_key_that_is_revoked_ends_its_stream_of_events(bench: SharingBench) -> None:
    proceed = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        for body in streamed(event(1, EventKind.SETTLED)):
            yield body
        await proceed.wait()
        for body in streamed(event(2, EventKind.SETTLED)):
            yield body

    stream = asyncio.create_task(bench.stream(slowly()))
    await grown_to(bench.journal, 2)
    bench.credentials.clear()
    proceed.set()

    assert grpc.StatusCode.UNAUTHENTICATED == (await refusal(stream))[0]
    assert 2 == await entries(bench.journal)


@pytest.mark.parametrize("transport", get_args(Transport))
async def test_a_quiet_watch_ends_within_two_seconds_of_its_key_however_rare_heartbeats_are(
    transport: Transport, tmp_path: Path
) -> None:
    async with running_sharing(transport, tmp_path, heartbeat_s=60.0) as bench:
        call = bench.watch()
        await call.read()
        bench.credentials.clear()
        began = time.monotonic()
        assert grpc.StatusCode.UNAUTHENTICATED == (await refusal(call.read()))[0]
        # A machine that is busy with other things may take longer; a heartbeat would take a minute.
        assert time.monotonic() - began < 20


# Receipts and proofs


async def test_a_receipt_is_proven_once_a_checkpoint_covers_it(bench: SharingBench) -> None:
    (result,) = await bench.report(event())
    request = pb.GetReceiptRequest(event_id="event-1")

    before = await bench.call("GetReceipt", request, pb.GetReceiptResponse)
    stored = await asyncio.to_thread(bench.sign)
    after = await bench.call("GetReceipt", request, pb.GetReceiptResponse)

    assert (result.receipt, False) == (before.receipt, before.HasField("inclusion"))
    proof = after.inclusion
    assert (stored.size, stored.root, stored.note) == (
        proof.checkpoint.size,
        proof.checkpoint.root_hash,
        proof.checkpoint.note,
    )
    receipt = after.receipt
    assert verify_inclusion(receipt.entry_hash, receipt.sequence, stored.size, list(proof.hashes), stored.root)


@pytest.mark.parametrize(
    ("event_id", "code"),
    [
        ("event-9", grpc.StatusCode.NOT_FOUND),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("\0", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_receipt_of_no_event_is_not_found(bench: SharingBench, event_id: str, code: grpc.StatusCode) -> None:
    request = pb.GetReceiptRequest(event_id=event_id)

    assert code == (await refusal(bench.call("GetReceipt", request, pb.GetReceiptResponse)))[0]


@pytest.mark.parametrize(
    ("method", "request_", "kind"),
    [
        ("GetReceipt", pb.GetReceiptRequest(event_id="event-1"), pb.GetReceiptResponse),
        ("GetCheckpoint", pb.GetCheckpointRequest(), pb.GetCheckpointResponse),
        ("GetConsistencyProof", pb.GetConsistencyProofRequest(first_size=1), pb.GetConsistencyProofResponse),
    ],
)
async def test_reading_the_log_has_the_rate_of_events(bench: SharingBench, method: str, request_: Any, kind: Any) -> None:
    await bench.report(event())
    await asyncio.to_thread(bench.sign)
    limited = msgspec.structs.replace(bench.policy.partners[0], quota=Quota(events_per_s=1))
    bench.gates.follow(msgspec.structs.replace(bench.policy, partners=(limited, *bench.policy.partners[1:])))
    answers = await asyncio.gather(*(bench.call(method, request_, kind) for _ in range(20)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert 0 < len(refused) < 20
    assert {grpc.StatusCode.RESOURCE_EXHAUSTED} == {each.code() for each in refused}
    # Another partner's rate is its own.
    await bench.call("GetCheckpoint", pb.GetCheckpointRequest(), pb.GetCheckpointResponse, key="shop-key")


async def test_receipts_are_for_whom_they_were_given(bench: SharingBench) -> None:
    await bench.report(event())
    request = pb.GetReceiptRequest(event_id="event-1")

    refused = await refusal(bench.call("GetReceipt", request, pb.GetReceiptResponse, key="shop-key"))

    assert grpc.StatusCode.NOT_FOUND == refused[0]


async def test_checkpoints_and_the_proof_between_them_are_given(bench: SharingBench) -> None:
    ask, kind = pb.GetCheckpointRequest(), pb.GetCheckpointResponse
    assert not (await bench.call("GetCheckpoint", ask, kind)).HasField("checkpoint")
    first = await asyncio.to_thread(bench.sign)
    await bench.report(event())
    second = await asyncio.to_thread(bench.sign)

    newest = (await bench.call("GetCheckpoint", ask, kind)).checkpoint
    proof = await bench.call(
        "GetConsistencyProof", pb.GetConsistencyProofRequest(first_size=first.size), pb.GetConsistencyProofResponse
    )
    too_large = pb.GetConsistencyProofRequest(first_size=1, second_size=99)

    assert (second.size, second.root, second.note) == (newest.size, newest.root_hash, newest.note)
    assert (newest, 1) == (proof.checkpoint, len(proof.hashes))
    refused = await refusal(bench.call("GetConsistencyProof", too_large, pb.GetConsistencyProofResponse))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["second_size"]) == (refused[0], refused[2])


# WatchChanges


async def read(call: Any) -> pb.WatchChangesResponse:
    return pb.WatchChangesResponse.FromString(await call.read())


async def next_change(call: Any) -> pb.WatchChangesResponse:
    while not (message := await read(call)).HasField("change"):
        pass
    return message


async def test_changes_come_in_order_and_name_the_entry_for_each_partner_alone(bench: SharingBench) -> None:
    bench.grow([a_change(1), a_change(2, kind=ChangeKind.STAYED), a_change(3, list="elsewhere", list_number=3)])
    lender, shop = bench.watch("oldest"), bench.watch("oldest", key="shop-key")

    changes = [await next_change(lender) for _ in range(2)]
    others = await next_change(shop)

    assert [pb.CHANGE_KIND_ENTRY_ADDED, pb.CHANGE_KIND_STAYED] == [each.change.kind for each in changes]
    assert [SUBJECTS.name("lender", 1, number) for number in (1, 2)] == [each.change.subject for each in changes]
    assert SUBJECTS.name("shop", 1, 1) == others.change.subject != changes[0].change.subject
    assert changes[0].cursor != others.cursor
    lender.cancel()
    shop.cancel()


async def test_a_watch_goes_on_after_its_cursor(bench: SharingBench) -> None:
    call = bench.watch()
    begin = await read(call)
    bench.grow([a_change(1), a_change(2)])
    first = await next_change(call)
    call.cancel()

    again = bench.watch(first.cursor)
    second = await next_change(again)

    assert begin.HasField("heartbeat")
    assert SUBJECTS.name("lender", 1, 2) == second.change.subject
    again.cancel()


async def test_a_quiet_watch_has_heartbeats_with_the_cursor_to_go_on_from(bench: SharingBench) -> None:
    call = bench.watch()

    beats = [await read(call) for _ in range(3)]

    assert {("heartbeat", beats[0].cursor)} == {(each.WhichOneof("message"), each.cursor) for each in beats}
    call.cancel()


@pytest.mark.parametrize(
    ("cursor", "lists", "code", "reason"),
    [
        ("nonsense", (), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ("00000000-1", (), grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED"),
        ("", ("elsewhere",), grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_AGREEMENT"),
        ("", ("court",) * 65, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    ],
)
async def test_a_watch_of_nothing_is_refused(
    bench: SharingBench, cursor: str, lists: Sequence[str], code: grpc.StatusCode, reason: str
) -> None:
    assert (code, reason) == (await refusal(bench.watch(cursor, lists).read()))[:2]


async def test_a_key_that_is_revoked_ends_its_watch_at_the_next_heartbeat(bench: SharingBench) -> None:
    call = bench.watch()
    await read(call)
    bench.credentials.clear()

    async def until_refused() -> None:
        while True:
            await read(call)

    assert grpc.StatusCode.UNAUTHENTICATED == (await refusal(until_refused()))[0]


async def test_an_agreement_that_ends_hides_its_lists_from_a_watch(bench: SharingBench) -> None:
    call = bench.watch()
    await read(call)
    bench.policy = the_policy(changes=(ChangeKind.WITHDRAWN,))
    bench.grow([a_change(1), a_change(2, kind=ChangeKind.WITHDRAWN)])

    assert pb.CHANGE_KIND_WITHDRAWN == (await next_change(call)).change.kind
    call.cancel()


class Flood:
    """A feed without end, which notes when it is let go."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def watch(self, partner: str, cursor: str, lists: Sequence[str]) -> AsyncIterator[Watched]:
        change = a_change(list="l" * 20_000)
        try:
            for position in range(1, 10**9):
                yield Watched(f"00000000-{position}", msgspec.structs.replace(change, position=position), SUBJECT)
                await asyncio.sleep(0)
        finally:
            self.released.set()


@pytest.mark.parametrize("transport", get_args(Transport))
async def test_a_reader_that_is_too_slow_is_let_go_and_told_to_resume(transport: Transport, tmp_path: Path) -> None:
    flood = Flood()
    async with running_sharing(transport, tmp_path, feed=flood, reader_patience_s=0.2) as bench:
        slow = bench.watch()
        await read(slow)
        async with asyncio.timeout(20):
            await flood.released.wait()
        # Whoever reads is served meanwhile.
        assert "receipt" == (await bench.report(event(1, EventKind.SETTLED)))[0].WhichOneof("result")

        async def drained() -> None:
            while True:
                await read(slow)

        code, reason, _, text = await refusal(drained())

    assert (grpc.StatusCode.ABORTED, "READER_TOO_SLOW") == (code, reason)
    assert "resume from the last cursor" in text


@pytest.mark.parametrize("transport", get_args(Transport))
async def test_a_watch_that_is_left_is_let_go_at_once(transport: Transport, tmp_path: Path) -> None:
    flood = Flood()
    async with running_sharing(transport, tmp_path, feed=flood) as bench:
        call = bench.watch()
        await read(call)
        call.cancel()

        async with asyncio.timeout(5):
            await flood.released.wait()
        with suppress(asyncio.CancelledError):
            await call.read()
