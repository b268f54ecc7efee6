"""The ports: what the services need from the outside, as Protocols. Adapters implement them, `mains` joins the two.

Every adapter of a port passes that port's suite in ``tests/contract``. Methods are synchronous and may block unless they
are ``async``; the docstrings say on what.
"""

from portcullis.ports.clock import Clock, TimeKeeper
from portcullis.ports.desks import (
    ApiKeyDesk,
    HeldImportDesk,
    ImportReport,
    ImportStream,
    ListSummary,
    RegistryDesk,
    RowFault,
)
from portcullis.ports.distribution import ReadTransaction, Replica, ReplicaWriter, SnapshotStore, Space
from portcullis.ports.journal import DecisionRecord, Journal, RecordedReason
from portcullis.ports.keys import KeyCeremony, KeyChanges, KeyState, Replacement, RoleKey, RoleKeys
from portcullis.ports.looks import Look
from portcullis.ports.registry import (
    ENDED_KEPT_S,
    ApiKey,
    HeldImport,
    ImportCounts,
    ImportOutcome,
    ImportSession,
    IndexedEntry,
    RegistryReader,
    RegistryStore,
    RegistryView,
    Shrinkage,
    StoredEntry,
)
from portcullis.ports.trust import Publication, SnapshotRepository, TrustedSnapshots, Vouched

__all__ = [
    "ENDED_KEPT_S",
    "ApiKey",
    "ApiKeyDesk",
    "Clock",
    "DecisionRecord",
    "HeldImport",
    "HeldImportDesk",
    "ImportCounts",
    "ImportOutcome",
    "ImportReport",
    "ImportSession",
    "ImportStream",
    "IndexedEntry",
    "Journal",
    "KeyCeremony",
    "KeyChanges",
    "KeyState",
    "ListSummary",
    "Look",
    "Publication",
    "ReadTransaction",
    "RecordedReason",
    "RegistryDesk",
    "RegistryReader",
    "RegistryStore",
    "RegistryView",
    "Replacement",
    "Replica",
    "ReplicaWriter",
    "RoleKey",
    "RoleKeys",
    "RowFault",
    "Shrinkage",
    "SnapshotRepository",
    "SnapshotStore",
    "Space",
    "StoredEntry",
    "TimeKeeper",
    "TrustedSnapshots",
    "Vouched",
]
