"""Writing answers.

A miss is the answer of almost every check, so it is put together from bytes: an encoded protobuf message is the
concatenation of its fields (Protocol Buffers, "Encoding"), and all fields but the decision's id are the same until the next
look at the replica. A test holds these bytes against protobuf's own. A hit is built as a message, and brought to the miss's
size (`portcullis.gateway.messages.padding`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from portcullis.domain.decisions import Hit, Outcome, Verdict
from portcullis.domain.editions import Edition, Legal
from portcullis.domain.notices import Refused, write_notice
from portcullis.domain.policies import Effect
from portcullis.domain.subjects import SubjectNames
from portcullis.gateway.messages.padding import CHECK_BYTES, CHECK_TAG, padded, padding, varint
from portcullis.v1 import check_service_pb2, types_pb2

DECISION_ID_LENGTH = 32
"""Characters of a decision id: 128 random bits in hexadecimal."""

_ID_FIELD = b"\x0a\x20"  # decision_id = 1, 32 bytes long
_ALLOW_FIELD = b"\x10\x01"  # outcome = 2, OUTCOME_ALLOW
_RESPONSE_FIELD = b"\x0a"  # CheckResult.response = 1, BatchCheckResponse.results = 1
_RESULT_FIELD = b"\x12"  # StreamCheckResponse.result = 2
_IDS_AT_ONCE = 1024

OUTCOMES = {
    Outcome.ALLOW: types_pb2.OUTCOME_ALLOW,
    Outcome.RESTRICT: types_pb2.OUTCOME_RESTRICT,
    Outcome.REVIEW: types_pb2.OUTCOME_REVIEW,
    None: types_pb2.OUTCOME_UNSPECIFIED,
}
EFFECTS = {
    Effect.RESTRICT: types_pb2.EFFECT_RESTRICT,
    Effect.REVIEW: types_pb2.EFFECT_REVIEW,
    Effect.NOTICE: types_pb2.EFFECT_NOTICE,
    Effect.GRANT: types_pb2.EFFECT_GRANT,
}
_STALE_MESSAGE = "The list that must be asked is out of date; this is the fail mode that it declares for that case."
_REVIEW_MESSAGE = (
    "This may concern somebody else: a person must compare the documents with the entry before anything is decided."
)

LegalTables = Mapping[int, tuple[Legal, ...]]
"""What records rest on, by the number of their list; a record names its row."""


class Wording(NamedTuple):
    """How an answer is worded: its entries are named for its partner alone.

    ``action`` is what was asked, in words, and ``locale`` the language wanted of a notice, "" for the list's first;
    ``feed_epoch`` says which of the partner's keys names are made with.
    """

    subjects: SubjectNames
    partner: str
    action: str
    locale: str
    feed_epoch: int = 1


class DecisionIds:
    """Gives decision ids without end: unguessable, and saying nothing of how many there were.

    Args:
        randomness: gives so many random bytes; asked seldom, since it gives up the interpreter's lock.
    """

    def __init__(self, randomness: Callable[[int], bytes] = os.urandom) -> None:
        self._randomness = randomness
        self._ready: list[bytes] = []

    def __call__(self) -> bytes:
        """Give a fresh id in hexadecimal."""
        ready = self._ready
        if not ready:
            text = self._randomness(DECISION_ID_LENGTH // 2 * _IDS_AT_ONCE).hex().encode()
            ready += (text[place : place + DECISION_ID_LENGTH] for place in range(0, len(text), DECISION_ID_LENGTH))
        return ready.pop()


class SnapshotLine:
    """The part of an answer that names the snapshot, encoded anew at each look at the replica.

    Attributes:
        info: the message.
        edition: the edition that it names.
    """

    def __init__(self, edition: Edition, age_s: float, allow_cache_ttl_s: float) -> None:
        self.edition = edition
        self.info = types_pb2.SnapshotInfo(version=str(edition.version))
        self.info.published_at.FromNanoseconds(int(edition.published_at * 1e9))
        self.info.age.FromMilliseconds(int(min(age_s, 1e9) * 1e3))
        tail = check_service_pb2.CheckResponse(snapshot=self.info)
        if allow_cache_ttl_s > 0:
            tail.cache_ttl.FromMilliseconds(int(allow_cache_ttl_s * 1e3))
        self._after = _ALLOW_FIELD + tail.SerializeToString(deterministic=True)
        response = len(_ID_FIELD) + DECISION_ID_LENGTH + len(self._after)
        self._after_alone = self._after + padding(response, CHECK_TAG, CHECK_BYTES)
        result = _RESPONSE_FIELD + varint(response)
        self._batch_before = _RESPONSE_FIELD + varint(len(result) + response) + result + _ID_FIELD

    def miss(self, decision_id: bytes) -> bytes:
        """Give a CheckResponse that allows, of the one size."""
        return _ID_FIELD + decision_id + self._after_alone

    def batch_miss(self, decision_id: bytes) -> bytes:
        """Give a CheckResponse that allows, without padding, framed as an item of BatchCheckResponse."""
        return self._batch_before + decision_id + self._after


def alone(response: check_service_pb2.CheckResponse) -> bytes:
    """Encode an answer that goes out alone or on a stream: of the one size."""
    return padded(response.SerializeToString(), CHECK_TAG, CHECK_BYTES)


def streamed(request_id: str, response: bytes) -> bytes:
    """Put an encoded CheckResponse into a StreamCheckResponse."""
    result = _RESPONSE_FIELD + varint(len(response)) + response
    head = check_service_pb2.StreamCheckResponse(request_id=request_id).SerializeToString()
    return head + _RESULT_FIELD + varint(len(result)) + result


def response_of(
    verdict: Verdict, decision_id: str, line: SnapshotLine, legal: LegalTables, wording: Wording
) -> check_service_pb2.CheckResponse:
    """Build the answer of a verdict. What is in shadow is not disclosed."""
    return check_service_pb2.CheckResponse(
        decision_id=decision_id,
        outcome=OUTCOMES[verdict.outcome],
        reasons=[reason_of(hit, legal, wording) for hit in verdict.hits if not hit.measure.shadow],
        snapshot=line.info,
        degraded=verdict.degraded,
        shadow_outcome=OUTCOMES[verdict.shadow_outcome],
    )


def reason_of(hit: Hit, legal: LegalTables, wording: Wording) -> types_pb2.Reason:
    """Build the reason of a hit, in the words the subject must be told; a refusal with its notice."""
    source = hit.measure.list
    reason = types_pb2.Reason(
        list=source.name, measure=hit.measure.name, effect=EFFECTS[hit.effect], authority=source.authority
    )
    if hit.record is None:
        reason.legal_basis, reason.redress_url, reason.message = source.legal_basis, source.redress_url, _STALE_MESSAGE
        _add_notice(reason, hit, wording)
        return reason
    basis = legal[hit.record.list_number][hit.record.legal_index]
    reason.legal_basis, reason.redress_url = basis.legal_basis, basis.redress
    # The measure's own sentence tells of a refusal; where it was softened to a review, it would accuse the wrong person.
    softened = hit.effect is Effect.REVIEW is not hit.measure.effect
    reason.message = _REVIEW_MESSAGE if softened else hit.measure.message
    reason.case_reference = hit.record.case_reference
    reason.until.seconds = hit.record.until
    list_number, entry_id = hit.record.list_number, hit.record.entry_id
    reason.subject = wording.subjects.name(wording.partner, list_number, entry_id, wording.feed_epoch)
    _add_notice(reason, hit, wording)
    return reason


def _add_notice(reason: types_pb2.Reason, hit: Hit, wording: Wording) -> None:
    """Put the notice into the reason of a refusal; a review, a label or a grant refuses nothing."""
    if hit.effect is not Effect.RESTRICT:
        return
    source = hit.measure.list
    refused = Refused(
        authority=source.authority,
        list=source.title,
        law=reason.legal_basis,
        objection=reason.redress_url,
        action=wording.action,
        case_reference=reason.case_reference,
        until=hit.record.until if hit.record else None,
    )
    written = write_notice(refused, source.notices, wording.locale)
    reason.notice.locale, reason.notice.text, reason.notice.html = written
