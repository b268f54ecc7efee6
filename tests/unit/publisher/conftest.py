"""One publisher with everything around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.publishers import World


@pytest.fixture(scope="session")
def trust(tmp_path_factory) -> Path:
    return World.make_trust(tmp_path_factory.mktemp("keys") / "trust")


@pytest.fixture
def world(tmp_path, trust) -> World:
    return World(tmp_path, trust)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    with structlog.testing.capture_logs() as entries:
        yield entries
