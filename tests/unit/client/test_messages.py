from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.client import Effect, Identifier, Notice, Outcome, Question
from portcullis.client.messages import chunks, decision_of, request_of
from portcullis.v1 import check_service_pb2, types_pb2


def test_a_decision_is_read_whole() -> None:
    response = check_service_pb2.CheckResponse(
        decision_id="d" * 32,
        outcome=types_pb2.OUTCOME_RESTRICT,
        reasons=[
            types_pb2.Reason(
                list="l",
                measure="m",
                effect=types_pb2.EFFECT_RESTRICT,
                authority="Demonstration court",
                legal_basis="law",
                case_reference="case",
                until=Timestamp(seconds=4_102_444_800),
                redress_url="https://example.org",
                message="why",
            )
        ],
        snapshot=types_pb2.SnapshotInfo(
            version="7", published_at=Timestamp(seconds=60), age=Duration(seconds=1, nanos=500_000_000)
        ),
        degraded=True,
        cache_ttl=Duration(seconds=3),
        shadow_outcome=types_pb2.OUTCOME_REVIEW,
    )

    decision = decision_of(response)

    assert Outcome.RESTRICT == decision.outcome
    assert not decision.allowed
    assert datetime(2100, 1, 1, tzinfo=UTC) == decision.reasons[0].until
    assert "case" == decision.reasons[0].case_reference
    assert datetime(1970, 1, 1, 0, 1, tzinfo=UTC) == decision.snapshot.published_at
    assert 1.5 == decision.snapshot.age_s
    assert (True, 3.0, Outcome.REVIEW) == (decision.degraded, decision.cache_ttl_s, decision.shadow_outcome)


def test_the_notice_of_a_refusal_is_read_and_a_reason_without_one_has_none() -> None:
    refusal = types_pb2.Reason(
        effect=types_pb2.EFFECT_RESTRICT, notice=types_pb2.Notice(locale="zh", text="t", html="<p>t</p>")
    )
    response = check_service_pb2.CheckResponse(outcome=types_pb2.OUTCOME_RESTRICT, reasons=[refusal, types_pb2.Reason()])

    assert [Notice("zh", "t", "<p>t</p>"), None] == [reason.notice for reason in decision_of(response).reasons]


def test_a_redress_number_and_a_language_travel_and_the_number_is_not_shown() -> None:
    question = Question((), "a.b", "p", redress_number="PCR-CANARY", locale="zh-CN")

    assert ("PCR-CANARY", "zh-CN") == (request_of(question).redress_number, request_of(question).locale)
    assert "CANARY" not in repr(question)


def test_a_newer_effect_is_unknown_and_absent_times_are_none() -> None:
    response = check_service_pb2.CheckResponse(outcome=types_pb2.OUTCOME_REVIEW, reasons=[types_pb2.Reason(effect=99)])

    decision = decision_of(response)

    assert (Effect.UNKNOWN, None) == (decision.reasons[0].effect, decision.reasons[0].until)
    assert (None, 0.0, None) == (decision.snapshot.published_at, decision.cache_ttl_s, decision.shadow_outcome)


def test_true_is_a_truth_value_and_not_a_number() -> None:
    request = request_of(Question((Identifier("phone", "+447700900123"),), "a.b", "p", {"yes": True, "one": 1}))

    assert ["bool_value", "int_value"] == [each.WhichOneof("value") for each in request.attributes]


def test_a_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        request_of(Question((), "a.b", "p", {"big": 2**63}))


def test_chunks_are_read_no_further_than_needed() -> None:
    source = iter(range(5))

    first = next(chunks(source, 2))

    assert [0, 1] == first
    assert 2 == next(source)
