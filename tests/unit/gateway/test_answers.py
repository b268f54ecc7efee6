from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.editions import FORMAT, Edition
from portcullis.gateway.answers import DECISION_ID_LENGTH, DecisionIds, SnapshotLine, varint
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.policies import policy, published_lists


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


@given(st.integers(1, 2**60), st.floats(0, 1e12), st.sampled_from([0.0, 0.5, 2.0]))
def test_a_miss_put_together_from_bytes_is_what_protobuf_would_write(version: int, age_s: float, ttl_s: float) -> None:
    line = SnapshotLine(edition(version), age_s, ttl_s)
    decision_id = DecisionIds()()
    expected = expected_miss(line, decision_id.decode(), ttl_s)
    assert expected.SerializeToString(deterministic=True) == line.miss(decision_id)


def test_a_batch_of_misses_put_together_from_bytes_is_what_protobuf_would_write() -> None:
    line = SnapshotLine(edition(7), 1.5, 0.0)
    next_id = DecisionIds()
    ids = [next_id() for _ in range(3)]
    expected = pb.BatchCheckResponse(
        results=[pb.CheckResult(response=expected_miss(line, each.decode(), 0.0)) for each in ids]
    )
    assert expected.SerializeToString(deterministic=True) == b"".join(line.batch_miss(each) for each in ids)


@given(st.integers(0, 2**63 - 1))
def test_a_varint_is_what_protobuf_would_write(number: int) -> None:
    field = types_pb2.Attribute(int_value=number).SerializeToString()
    assert field[1:] == varint(number)


def test_decision_ids_are_unlike_each_other_and_of_one_length() -> None:
    next_id = DecisionIds()
    ids = [next_id() for _ in range(2000)]
    assert 2000 == len(set(ids))
    assert {DECISION_ID_LENGTH} == {len(each) for each in ids}


def test_an_age_that_was_never_known_is_still_a_duration() -> None:
    assert SnapshotLine(edition(1), float("inf"), 0.0).info.age.seconds > 0
