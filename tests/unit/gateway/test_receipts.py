"""Answers about reported events are put together from bytes: here they are held against protobuf's own."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import DecisionUnknown, EventConflict, InvalidRequest, PortcullisError
from portcullis.gateway.messages.receipts import encode_results, write_receipt
from portcullis.gateway.messages.statuses import to_status
from portcullis.ports import Receipt
from portcullis.v1 import sharing_service_pb2 as pb

RECEIPTS = st.builds(
    Receipt,
    event_id=st.text("abcXYZ019._:/-", min_size=1, max_size=64),
    sequence=st.one_of(st.integers(0, 2**14), st.integers(0, 2**63 - 1)),
    recorded_at_ms=st.one_of(st.integers(0, 5000), st.integers(0, 4_000_000_000_000)),
    entry_hash=st.binary(min_size=32, max_size=32),
)
FAULTS = st.sampled_from(
    [DecisionUnknown(), EventConflict(), *(InvalidRequest.at("url", "is none. " * count) for count in (1, 7, 20, 2000))]
)


def message_of(receipt: Receipt) -> pb.Receipt:
    stamp = Timestamp()
    stamp.FromMilliseconds(receipt.recorded_at_ms)
    return pb.Receipt(event_id=receipt.event_id, sequence=receipt.sequence, recorded_at=stamp, entry_hash=receipt.entry_hash)


def result_of(outcome: Receipt | PortcullisError) -> pb.EventResult:
    if isinstance(outcome, PortcullisError):
        return pb.EventResult(error=to_status(outcome))
    return pb.EventResult(receipt=message_of(outcome))


@pytest.mark.parametrize("kind", [pb.ReportEventsResponse, pb.StreamEventsResponse])
@given(outcomes=st.lists(st.one_of(RECEIPTS, RECEIPTS, FAULTS), max_size=20))
def test_an_answer_has_the_bytes_that_protobuf_gives_it(
    kind: type[pb.ReportEventsResponse | pb.StreamEventsResponse], outcomes: list[Receipt | PortcullisError]
) -> None:
    assert kind(results=map(result_of, outcomes)).SerializeToString() == encode_results(outcomes)


@given(RECEIPTS)
def test_a_receipt_by_itself_is_the_same_message(receipt: Receipt) -> None:
    assert message_of(receipt) == write_receipt(receipt)


def test_an_answer_to_nothing_is_empty() -> None:
    assert b"" == encode_results([])
