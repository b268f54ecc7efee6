"""Every version of a replica can be gone through whole, in memory and in LMDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.domain.segments import Change
from portcullis.ports import Replica, ReplicaWriter
from tests.support.clocks import HandClock
from tests.support.distribution import BANK, COURT, body, edition, records, token

Sides = tuple[ReplicaWriter, Callable[[], Replica]]


@pytest.fixture(params=["memory", "lmdb"])
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sides]:
    clock = HandClock()
    if request.param == "memory":
        memory = MemoryReplicaWriter(clock)
        yield memory, lambda: MemoryReplica(memory, clock)
        return
    with closing(LmdbReplicaWriter(tmp_path, clock)) as writer:
        yield writer, lambda: LmdbReplica(tmp_path, clock)


def test_a_version_is_gone_through_in_order_while_another_comes(sides: Sides) -> None:
    writer, reader = sides
    first: list[Change] = sorted([*records(range(40)), *records(range(20, 60), on=BANK)])
    second = sorted([*first, (token(99), COURT, body(99))])
    writer.install(edition(1, first, of=(COURT, BANK)), first)
    with closing(reader()) as replica:
        transaction = replica.begin()
        assert transaction is not None
        going = transaction.records()
        begun = [next(going) for _ in range(30)]
        writer.apply(edition(2, second, of=(COURT, BANK)), [(token(99), COURT, body(99))])
        assert first == [*begun, *going]
        assert first == list(transaction.records())
        assert transaction.get(token(1)) is not None
        replica.refresh()
        newer = replica.begin()
        assert newer is not None
        assert second == list(newer.records())


def test_a_version_without_records_has_none(sides: Sides) -> None:
    writer, reader = sides
    writer.install(edition(1), [])
    with closing(reader()) as replica:
        transaction = replica.begin()
        assert transaction is not None
        assert [] == list(transaction.records())
