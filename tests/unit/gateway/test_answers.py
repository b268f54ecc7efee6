from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from portcullis.domain.conditions import compile_condition
from portcullis.domain.decisions import Hit, Outcome, Verdict
from portcullis.domain.editions import FORMAT, Edition
from portcullis.domain.plans import BoundMeasure
from portcullis.domain.policies import Effect
from portcullis.domain.records import Record
from portcullis.domain.subjects import SubjectNames
from portcullis.gateway.messages.answers import (
    DECISION_ID_LENGTH,
    DecisionIds,
    SnapshotLine,
    Wording,
    alone,
    response_of,
    streamed,
)
from portcullis.gateway.messages.padding import CHECK_BYTES
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.policies import LEGAL, NOW, YEAR_S, a_list, measure, policy, published_lists


def edition(version: int, published_at: float = 1_800_000_000.25) -> Edition:
    return Edition(
        format=FORMAT,
        version=version,
        published_at=published_at,
        registry_seq=1,
        policy=policy(),
        lists=published_lists(policy()),
        credentials=(),
    )


def expected_miss(line: SnapshotLine, decision_id: str, ttl_s: float) -> pb.CheckResponse:
    response = pb.CheckResponse(decision_id=decision_id, outcome=types_pb2.OUTCOME_ALLOW, snapshot=line.info)
    if ttl_s:
        response.cache_ttl.FromMilliseconds(int(ttl_s * 1000))
    return response


def without_padding(body: bytes) -> pb.CheckResponse:
    response = pb.CheckResponse.FromString(body)
    assert not any(response.padding)
    response.ClearField("padding")
    return response


@given(st.integers(1, 2**60), st.floats(0, 1e12), st.sampled_from([0.0, 0.5, 2.0]))
def test_a_miss_put_together_from_bytes_is_what_protobuf_would_write(version: int, age_s: float, ttl_s: float) -> None:
    line = SnapshotLine(edition(version), age_s, ttl_s)
    decision_id = DecisionIds()()
    expected = expected_miss(line, decision_id.decode(), ttl_s)
    miss = line.miss(decision_id)
    assert CHECK_BYTES == len(miss)
    assert expected == without_padding(miss)
    expected.padding = pb.CheckResponse.FromString(miss).padding
    assert expected.SerializeToString(deterministic=True) == miss


def test_a_batch_of_misses_put_together_from_bytes_is_what_protobuf_would_write() -> None:
    line = SnapshotLine(edition(7), 1.5, 0.0)
    next_id = DecisionIds()
    ids = [next_id() for _ in range(3)]
    expected = pb.BatchCheckResponse(
        results=[pb.CheckResult(response=expected_miss(line, each.decode(), 0.0)) for each in ids]
    )
    assert expected.SerializeToString(deterministic=True) == b"".join(line.batch_miss(each) for each in ids)


@given(st.text(max_size=64), st.integers(0, 3))
def test_an_answer_on_a_stream_is_what_protobuf_would_write(request_id: str, reasons: int) -> None:
    response = pb.CheckResponse(decision_id="d" * 32, reasons=[types_pb2.Reason(message="m" * 900)] * reasons)
    found = pb.StreamCheckResponse.FromString(streamed(request_id, alone(response)))
    assert (request_id, response) == (found.request_id, without_padding(found.result.response.SerializeToString()))
    assert found.SerializeToString(deterministic=True) == streamed(request_id, alone(response))


verdicts = st.builds(
    Verdict,
    outcome=st.sampled_from(Outcome),
    shadow_outcome=st.none() | st.sampled_from(Outcome),
    degraded=st.booleans(),
    hits=st.lists(
        st.tuples(st.sampled_from(Effect), st.booleans(), st.booleans(), st.sampled_from(["", "(2090) Demo 1", "c" * 255])),
        max_size=5,
    ).map(lambda given: tuple(a_hit(*each) for each in given)),
)


def a_hit(effect: Effect, shadow: bool, listed: bool, case_reference: str) -> Hit:
    own = measure(effect=effect, message="A court has restricted you until its judgment is performed.")
    bound = BoundMeasure(
        list_number=1,
        list=a_list("court", own),
        name=own.name,
        bit=1,
        effect=effect,
        on_stale=own.on_stale,
        condition=compile_condition("", ()),
        shadow=shadow,
        message=own.message,
        published_from=0,
        published_until=2e9,
    )
    record = Record(1, 0, until=NOW + YEAR_S, entry_id=2**32 - 1, case_reference=case_reference) if listed else None
    return Hit(bound, effect, record, weak=False)


@given(
    verdicts,
    st.tuples(st.integers(1, 2**63 - 1), st.floats(0, 1e12), st.sampled_from([0.0, 2.0])),
    st.sampled_from(["", "en", "zh-CN", "qq"]),
    st.text(max_size=80),
)
@settings(deadline=None)  # the first notice in a language loads what Babel knows of it
def test_every_answer_has_the_one_size_and_a_larger_one_a_multiple_of_it(
    verdict: Verdict, snapshot: tuple[int, float, float], locale: str, action: str
) -> None:
    version, age_s, ttl_s = snapshot
    line = SnapshotLine(edition(version), age_s, ttl_s)
    wording = Wording(SubjectNames(b"k" * 32), "lender", action, locale)
    response = response_of(verdict, "d" * 32, line, {1: LEGAL}, wording)
    body = alone(response)
    least = -(-response.ByteSize() // CHECK_BYTES) * CHECK_BYTES
    # One byte is no room for a field.
    assert least + CHECK_BYTES * (least - response.ByteSize() == 1) == len(body)
    assert response == without_padding(body)
    if len([hit for hit in verdict.hits if hit.effect is Effect.RESTRICT and not hit.measure.shadow]) <= 1:
        assert len(line.miss(b"d" * 32)) == len(body)


def test_decision_ids_are_unlike_each_other_and_of_one_length() -> None:
    next_id = DecisionIds()
    ids = [next_id() for _ in range(2000)]
    assert 2000 == len(set(ids))
    assert {DECISION_ID_LENGTH} == {len(each) for each in ids}


def test_an_age_that_was_never_known_is_still_a_duration() -> None:
    assert SnapshotLine(edition(1), float("inf"), 0.0).info.age.seconds > 0
