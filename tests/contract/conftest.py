"""What the contract suites share."""

from __future__ import annotations

from tests.support.databases import postgres
from tests.support.rights import office, shared_office
from tests.support.snapshot_stores import store, valkey

__all__ = ["office", "postgres", "shared_office", "store", "valkey"]
