"""Checks while the replica changes every tenth of a second: none mixes two versions, none fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import uvloop

from benchmarks import changing, deltas, world
from portcullis.adapters.memory.replica import MemoryReplicaWriter
from portcullis.domain.segments import Change
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.clocks import HandClock

CHECKS = 50_000


def test_fifty_thousand_checks_see_one_version_each_while_the_replica_changes(tmp_path: Path) -> None:
    made = world.build(tmp_path / "home", 5_000)
    with changing.writer(made, every_s=0.1):
        seen = uvloop.run(changing.ask(made, CHECKS))
    assert (0, 0) == (seen.mixed, seen.failed)
    assert seen.checks >= CHECKS
    assert seen.versions >= 5


def test_each_version_lists_the_twins_under_its_own_number(tmp_path: Path) -> None:
    made = world.build(tmp_path / "home", 10)
    plan = deltas.Plan(replica="", number=world.number_of(made.edition.policy), twins=(b"1" * 16, b"2" * 16))
    writer = MemoryReplicaWriter(HandClock())
    with_records: list[Change] = list(made.replica().begin().records())  # type: ignore[union-attr]
    writer.install(made.edition, with_records)
    for now in (10.0, 10.1):
        held = writer.held()
        assert held is not None
        edition, changes = deltas.next_version(held, plan, writer.body, now)
        writer.apply(edition, changes)
        assert held.version < edition.version
        assert str(edition.version).encode() in writer.body(b"1" * 16, plan.number)
        assert str(edition.version).encode() in writer.body(b"2" * 16, plan.number)
    assert 10 + 2 + 100 == edition.records


def answer(outcome: types_pb2.Outcome, *references: str) -> pb.CheckResponse:
    reasons = [types_pb2.Reason(case_reference=each) for each in references]
    return pb.CheckResponse(outcome=outcome, reasons=reasons, snapshot=types_pb2.SnapshotInfo(version="7"))


def test_an_answer_that_mixes_two_versions_is_seen() -> None:
    assert not changing.is_mixed(answer(types_pb2.OUTCOME_RESTRICT, "7", "7"))
    assert changing.is_mixed(answer(types_pb2.OUTCOME_RESTRICT, "7", "8"))
    assert changing.is_mixed(answer(types_pb2.OUTCOME_RESTRICT, "8", "8"))
    assert not changing.is_mixed(answer(types_pb2.OUTCOME_ALLOW))


@pytest.mark.parametrize(
    ("response", "listed", "failed"),
    [
        (answer(types_pb2.OUTCOME_RESTRICT, "7", "7"), True, False),
        (answer(types_pb2.OUTCOME_ALLOW), False, False),
        (answer(types_pb2.OUTCOME_RESTRICT, "7"), True, True),
        (answer(types_pb2.OUTCOME_ALLOW), True, True),
        (answer(types_pb2.OUTCOME_RESTRICT, "7", "7"), False, True),
        (pb.CheckResponse(), True, True),
        (pb.CheckResponse(outcome=types_pb2.OUTCOME_ALLOW, degraded=True), False, True),
    ],
)
def test_a_wrong_answer_is_seen(response: pb.CheckResponse, *, listed: bool, failed: bool) -> None:
    assert failed == changing.has_failed(response, listed=listed)
