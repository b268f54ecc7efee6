"""What the contract suites share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.databases import NoPostgres, PostgresServer, postgres_server
from tests.support.rights import office, shared_office
from tests.support.snapshot_stores import store, valkey

__all__ = ["office", "postgres", "shared_office", "store", "valkey"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all suites. Outside CI a machine that has none skips its tests; CI never does."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except NoPostgres as reason:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no PostgreSQL here: {reason}")
        yield server
