"""The ports: what the services need from the outside, as Protocols. Adapters implement them, `mains` joins the two.

Every adapter of a port passes that port's suite in ``tests/contract``. Methods are synchronous and may block unless they
are ``async``; the docstrings say on what.
"""

from portcullis.ports.clock import Clock
from portcullis.ports.desks import ApiKeyDesk, ImportReport, ImportStream, ListSummary, RegistryDesk, RowFault
from portcullis.ports.distribution import ReadTransaction, Replica, ReplicaWriter, SnapshotStore
from portcullis.ports.journal import DecisionRecord, Journal, RecordedReason
from portcullis.ports.looks import Look
from portcullis.ports.registry import (
    ApiKey,
    ImportCounts,
    ImportSession,
    IndexedEntry,
    RegistryReader,
    RegistryStore,
    RegistryView,
    StoredEntry,
)

__all__ = [
    "ApiKey",
    "ApiKeyDesk",
    "Clock",
    "DecisionRecord",
    "ImportCounts",
    "ImportReport",
    "ImportSession",
    "ImportStream",
    "IndexedEntry",
    "Journal",
    "ListSummary",
    "Look",
    "ReadTransaction",
    "RecordedReason",
    "RegistryDesk",
    "RegistryReader",
    "RegistryStore",
    "RegistryView",
    "Replica",
    "ReplicaWriter",
    "RowFault",
    "SnapshotStore",
    "StoredEntry",
]
