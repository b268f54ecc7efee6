"""Writing what became of reported events: receipts and errors, in the order of the events.

A receipt is the answer to almost every event, so answers are put together from bytes, as those to checks are
(`portcullis.gateway.messages.answers`): an encoded protobuf message is the concatenation of its fields (Protocol Buffers,
"Encoding"), and the receipts of one commit share the field of its time. A test holds these bytes against protobuf's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.domain.errors import PortcullisError
from portcullis.gateway.messages.padding import varint
from portcullis.gateway.messages.statuses import to_status
from portcullis.ports import Receipt
from portcullis.v1 import sharing_service_pb2 as pb

_RESULT = b"\x0a"  # ReportEventsResponse.results = 1, StreamEventsResponse.results = 1
_RECEIPT = b"\x0a"  # EventResult.receipt = 1
_EVENT_ID = b"\x0a"  # Receipt.event_id = 1
_SEQUENCE = b"\x10"  # Receipt.sequence = 2
_RECORDED_AT = b"\x1a"  # Receipt.recorded_at = 3
_ENTRY_HASH = b"\x22"  # Receipt.entry_hash = 4


def encode_results(outcomes: Iterable[Receipt | PortcullisError]) -> bytes:
    """Encode a ReportEventsResponse, or a StreamEventsResponse, which has the same fields, with these results."""
    return b"".join([_refused(each) if isinstance(each, PortcullisError) else _taken(each) for each in outcomes])


def write_receipt(receipt: Receipt) -> pb.Receipt:
    """Write a receipt as a message."""
    return pb.ReportEventsResponse.FromString(_taken(receipt)).results[0].receipt


def _refused(fault: PortcullisError) -> bytes:
    result = pb.EventResult(error=to_status(fault)).SerializeToString()
    return _RESULT + varint(len(result)) + result


def _taken(receipt: Receipt) -> bytes:
    event_id, own = receipt.event_id.encode(), receipt.entry_hash
    # A number of 0 is left out; the log's first place is one.
    sequence = _SEQUENCE + varint(receipt.sequence) if receipt.sequence else b""
    after = sequence + _between(receipt.recorded_at_ms, len(own)) + own
    return _before(len(event_id), len(after)) + event_id + after


@lru_cache(maxsize=512)
def _before(event_id: int, after: int) -> bytes:
    """Give what stands before the event's id: the frames of a result with a receipt, of these lengths in bytes."""
    field = _EVENT_ID + varint(event_id)
    receipt = len(field) + event_id + after
    framed = _RECEIPT + varint(receipt) + field
    return _RESULT + varint(len(framed) + event_id + after) + framed


@lru_cache(maxsize=16)
def _between(recorded_at_ms: int, entry_hash: int) -> bytes:
    """Give what stands between sequence and hash: the time, which is its commit's, and the length of the hash."""
    stamp = Timestamp()
    stamp.FromMilliseconds(recorded_at_ms)
    body = stamp.SerializeToString()
    return _RECORDED_AT + varint(len(body)) + body + _ENTRY_HASH + varint(entry_hash)
