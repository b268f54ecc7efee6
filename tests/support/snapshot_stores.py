"""Stores of snapshots of every adapter, as fixtures: each module that imports them has a Valkey of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.ports import SnapshotStore
from tests.support.valkey import ValkeyAt, running_valkey


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyAt]:
    with running_valkey() as server:
        yield server


@pytest.fixture(params=["memory", "valkey"])
def store(request: pytest.FixtureRequest) -> Iterator[SnapshotStore]:
    if request.param == "memory":
        made: SnapshotStore = MemorySnapshotStore()
    else:
        server: ValkeyAt = request.getfixturevalue("valkey")
        server.flush()
        made = RedisSnapshotStore(server.url)
    yield made
    made.close()
