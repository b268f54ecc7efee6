"""The ports: what the services need from the outside, as Protocols. Adapters implement them, `mains` joins the two.

Every adapter of a port passes that port's suite in ``tests/contract``. Methods are synchronous and may block unless they
are ``async``; the docstrings say on what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from portcullis.domain.editions import Credential, Edition
from portcullis.domain.entries import Entry, EntryDraft, EntryStatus, SubjectType
from portcullis.domain.policies import Policy, RestrictedList


class Clock(Protocol):
    """Time. Wall time judges an entry's end; everything that measures a duration uses monotonic time."""

    def now(self) -> float:
        """Wall time in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since an unspecified point, the same for every process of one boot of the host; it never jumps."""
        ...


# --- distribution: publisher -> store -> follower -> replica -----------------------------------------------------------


class SnapshotStore(Protocol):
    """Carries published files from the publisher to the followers. Transport only, never authority.

    Metadata files are small and are replaced; target files are immutable, named by their content, and arrive in chunks.
    """

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, Iterable[bytes]]) -> None:
        """Make the targets readable, then replace the metadata and notify, in one atomic step.

        Raises:
            StoreUnavailable: nothing a reader can see has changed.
        """
        ...

    def read_metadata(self, name: str) -> bytes | None:
        """Give a metadata file, or None when there is none.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def read_target(self, name: str) -> Iterator[bytes]:
        """Give a target file in chunks.

        Raises:
            SnapshotInvalid: no such target, or a chunk of it is missing.
            StoreUnavailable: the store can't be reached.
        """
        ...

    def holds(self, name: str) -> bool:
        """Say whether a target is there with all its chunks.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def collect(self, keep: Iterable[str]) -> int:
        """Remove every target not named in ``keep``; gives how many went.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until a publish is announced or the time is over; True when one was, or may have been missed.

        The first wait, and the first after a lost connection, may give True at once.

        A store that can't be reached waits the time out and gives False: the caller looks anyway.
        """
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


class ReadTransaction(Protocol):
    """One version of the replica, unchanging until closed. Not to be shared between threads."""

    @property
    def edition(self) -> Edition:
        """The edition of this version; the same object as long as the version is the same."""
        ...

    def get(self, token: bytes, /) -> bytes | None:
        """Give a token's records (`portcullis.domain.records`), or None. Reads memory only."""
        ...

    def close(self) -> None:
        """End the transaction; one that nobody refers to any more ends by itself."""
        ...


class Replica(Protocol):
    """The reader's side of the local copy, one per worker process."""

    def begin(self) -> ReadTransaction | None:
        """Open the newest version held; None before the first. Never blocks on the writer or the network."""
        ...

    def refresh(self) -> bool:
        """Look whether the writer has installed another version or vouched anew; True when the version changed.

        Called off the check path every few milliseconds; a check in between reads the version it began with.
        """
        ...

    def vouched_age_s(self) -> float:
        """Seconds since the publisher last vouched for the version held; infinite before the first."""
        ...

    def close(self) -> None:
        """Give up the files."""
        ...


class ReplicaWriter(Protocol):
    """The follower's side of the local copy: one process a host."""

    def held(self) -> Edition | None:
        """Give the edition now installed, or None. What can't be read counts as none."""
        ...

    def install(self, edition: Edition, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Build a version beside the present one from records in ascending token order, then swap to it.

        Readers go on with the version that they began with. A crash at any point leaves the old or the new version.

        Raises:
            SnapshotInvalid: tokens out of order, doubled, or not as many as the edition says.
            OSError: the disk refused; the present version stays.
        """
        ...

    def vouch(self, version: int, age_s: float) -> None:
        """Note that the publisher vouched for this version ``age_s`` seconds ago.

        The latest vouching counts: an older one changes nothing, nor does one for a version that is not installed.
        """
        ...

    def close(self) -> None:
        """Give up the files."""
        ...


# --- registry -----------------------------------------------------------------------------------------------------------


class IndexedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot must know of one entry in force. Times are Unix seconds; ``measures`` empty means all."""

    list: str
    entry_id: int
    case_reference: str
    legal_basis: str
    redress: str
    valid_from: int
    until: int
    stayed: bool
    measures: tuple[str, ...]


class RegistryView(Protocol):
    """One consistent reading of the registry."""

    @property
    def seq(self) -> int:
        """The last change included."""
        ...

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        ...

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """The API keys that are neither revoked nor expired."""
        ...

    def index(self) -> Iterator[tuple[bytes, IndexedEntry]]:
        """Give every (token, entry in force) pair in ascending order of token, in bounded memory."""
        ...


class RegistryReader(Protocol):
    """The publisher's side of the registry."""

    def head(self) -> int:
        """The number of the last committed change; 0 when nothing was ever written. Cheap: it is asked many times a second.

        Raises:
            RegistryUnavailable: the database can't be reached.
        """
        ...

    def view(self) -> AbstractContextManager[RegistryView]:
        """Open one consistent reading; writers are not held up.

        Raises:
            RegistryUnavailable: the database can't be reached.
        """
        ...


class StoredEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the registry gives it out: everything but who it is about."""

    list: str
    key: str
    entry_id: int
    version: int
    status: EntryStatus
    subject_type: SubjectType
    authority: str
    legal_basis: str
    case_reference: str
    purpose: str
    valid_from: int
    until: int
    redress: str
    measures: tuple[str, ...]


class ImportCounts(msgspec.Struct, kw_only=True):
    """What an import did."""

    added: int = 0
    amended: int = 0
    unchanged: int = 0
    withdrawn: int = 0


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One API key without its secret. Times are Unix seconds."""

    key_id: str
    holder: str
    role: str
    note: str
    created_at: float
    revoked_at: float | None


class ImportSession(Protocol):
    """One import under way: rows are staged in batches, and take effect all at once with ``commit`` or not at all."""

    def stage(self, entries: Sequence[Entry]) -> None:
        """Stage rows. A key that comes again replaces the earlier row."""
        ...

    def keep(self, keys: Sequence[str]) -> None:
        """Let a full commit leave the entries of these keys as they are: their rows were bad, not gone."""
        ...

    def commit(self, *, full: bool) -> ImportCounts:
        """Put the staged rows in force in one transaction; ``full`` withdraws what was neither staged nor kept."""
        ...


class RegistryStore(RegistryReader, Protocol):
    """The registry's database: the system of record. Every change takes the next number of one change log.

    Any method may raise RegistryUnavailable.
    """

    def apply_policy(self, policy: Policy, *, actor: str) -> bool:
        """Put a policy in force; False when it is in force already."""
        ...

    def policy(self) -> Policy:
        """Give the policy in force; an empty one before the first."""
        ...

    def begin_import(self, list_name: str, *, actor: str) -> AbstractContextManager[ImportSession]:
        """Open an import. What is staged and not committed is discarded at the end, or at the next start after a crash."""
        ...

    def put_entry(self, entry: Entry, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add or amend one entry; False when the same entry stood already."""
        ...

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force.

        Raises:
            NotFound: no such entry.
        """
        ...

    def entry(self, list_name: str, key: str) -> StoredEntry:
        """Give one entry.

        Raises:
            NotFound: no such entry.
        """
        ...

    def entries(self, list_name: str, *, after_id: int, limit: int) -> Sequence[StoredEntry]:
        """Give a page of a list's entries in the order of their entry_id."""
        ...

    def note_looks(self, list_name: str, keys: Sequence[str], *, actor: str, purpose: str) -> None:
        """Note durably, in one transaction, that somebody is about to see these entries, and why. No change of the log.

        Raises:
            NotFound: one of them is no entry; then nothing is noted.
        """
        ...

    def looks(self, list_name: str, key: str) -> Sequence[Look]:
        """Give the looks at one entry in their order; none at one that is not there."""
        ...

    def count_in_force(self, list_name: str) -> int:
        """Count a list's entries in force."""
        ...

    def add_key(self, key: ApiKey, digest: str, *, actor: str) -> None:
        """Keep a new key's digest (SHA-256, hexadecimal); the key itself is never stored."""
        ...

    def revoke_key(self, key_id: str, *, at: float, actor: str) -> None:
        """Revoke a key.

        Raises:
            NotFound: no such key.
        """
        ...

    def keys(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


# --- journal ------------------------------------------------------------------------------------------------------------


class RecordedReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of a recorded decision; ``entry_id`` is 0 when the list was out of date and no entry applied."""

    list: str
    measure: str
    effect: str
    authority: str
    legal_basis: str
    case_reference: str
    entry_id: int
    until: int
    weak: bool
    shadow: bool


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The durable record of one decision that gave a reason. ``tokens`` stand for the identifiers, in hexadecimal.

    ``decided_at`` is Unix seconds. ``attributes`` are those that the conditions of the action look at.
    """

    decision_id: str
    decided_at: float
    partner: str
    action: str
    purpose: str
    outcome: str
    shadow_outcome: str
    degraded: bool
    dry_run: bool
    snapshot_version: int
    partner_reference: str
    tokens: tuple[str, ...]
    attributes: dict[str, str | int | float | bool]
    reasons: tuple[RecordedReason, ...]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a decision's record or at an entry: who, when (Unix seconds) and why."""

    actor: str
    at: float
    purpose: str


class Journal(Protocol):
    """The record of decisions. What ``append`` has returned for is on the disk."""

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Make records durable; concurrent calls share one commit.

        Raises:
            RecordUnavailable: they are not durable, and the decisions must not be given.
        """
        ...

    def get(self, decision_id: str, *, actor: str, purpose: str) -> DecisionRecord:
        """Give one record, and note durably who looked at it and why.

        Raises:
            NotFound: no such decision.
        """
        ...

    def looks(self, decision_id: str) -> Sequence[Look]:
        """Give the looks at one record in their order."""
        ...

    def close(self) -> None:
        """Write what is waiting, then give up the database."""
        ...


# --- imports ------------------------------------------------------------------------------------------------------------


class RowFault(msgspec.Struct, frozen=True):
    """Why one row of an import was left out: where it stands, the faulty field, and the fault without its value."""

    file: str
    line: int
    field: str
    reason: str


class ImportReport(msgspec.Struct, kw_only=True):
    """What an import did. ``labels`` counts the identifiers by the source's own name for them, such as "Cedula No.".

    ``faults`` holds the first 100 bad rows, ``rejected`` counts all of them. ``dropped`` counts identifiers of good rows
    that were left out of matching, by reason. ``without_identifier`` counts entries that nothing can match.
    ``committed`` is False when a strict import met a bad row. ``withheld`` is True when a full import withdrew nothing
    because a bad row did not say whose it was, or no row was good.
    """

    list_name: str
    rows: int = 0
    rejected: int = 0
    counts: ImportCounts = msgspec.field(default_factory=ImportCounts)
    identifiers: dict[str, int] = msgspec.field(default_factory=dict)
    labels: dict[str, int] = msgspec.field(default_factory=dict)
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    without_identifier: int = 0
    faults: list[RowFault] = msgspec.field(default_factory=list)
    committed: bool = True
    withheld: bool = False


class ImportStream(Protocol):
    """An import whose rows arrive over the wire: ``feed`` as they come, then ``finish`` once. One thread at a time."""

    def feed(self, drafts: Sequence[EntryDraft]) -> None:
        """Check and stage rows; a bad row is counted and reported by its place in the stream, from 1."""
        ...

    def finish(self) -> ImportReport:
        """Put the good rows in force in one transaction, or none of a strict import with a bad row.

        Raises:
            InvalidRequest: a full import of no rows, which would withdraw the whole list.
        """
        ...


class ListSummary(msgspec.Struct, frozen=True):
    """One list and how many of its entries are in force."""

    list: RestrictedList
    in_force: int


class RegistryDesk(Protocol):
    """What the operators' service asks of the registry.

    Every method blocks on the database and may raise RegistryUnavailable.
    """

    def put_entry(self, list_name: str, draft: EntryDraft, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add an entry or amend the one of the same key; False when the same entry stood already.

        Raises:
            NotFound: no such list.
            EntryRejected: the entry breaks a rule; names each faulty field.
        """
        ...

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: ``reason`` is not 1 to 256 characters.
        """
        ...

    def get_entry(self, list_name: str, key: str, *, actor: str, purpose: str) -> StoredEntry:
        """Give one entry without its identifiers; the look is durable before that. ``purpose`` "" means operator inquiry.

        Raises:
            NotFound: no such list or entry; nothing is noted.
            InvalidRequest: ``purpose`` is longer than 128 characters or no plain text.
        """
        ...

    def list_entries(
        self, list_name: str, *, page_size: int, page_token: str, actor: str, purpose: str
    ) -> tuple[Sequence[StoredEntry], str]:
        """Give a page in the order of entry_id, and the next page's token, "" on the last. ``page_size`` 0 means 100.

        A look at each entry of the page is durable before that; ``purpose`` "" means operator inquiry.

        Raises:
            NotFound: no such list.
            InvalidRequest: a page size outside 0 to 1,000, a token that is not of this list, or a ``purpose`` that is
                longer than 128 characters or no plain text.
        """
        ...

    def get_list(self, name: str) -> ListSummary:
        """Give one list.

        Raises:
            NotFound: no such list.
        """
        ...

    def list_lists(self) -> Sequence[ListSummary]:
        """Give every list in the order of their names."""
        ...

    def open_import(self, list_name: str, *, full: bool, strict: bool, actor: str) -> AbstractContextManager[ImportStream]:
        """Open an import; leaving it without ``finish`` takes nothing.

        Raises:
            NotFound: no such list.
        """
        ...


class ApiKeyDesk(Protocol):
    """What the operators' service asks about API keys.

    Every method blocks on the database and may raise RegistryUnavailable.
    """

    def create(self, holder: str, role: str, note: str, *, actor: str) -> tuple[ApiKey, str]:
        """Make a key; the text beside it is the key itself, which is given once and stored nowhere.

        Raises:
            InvalidRequest: a role that is neither partner nor operator, a holder that is no partner of the policy (role
                partner) or is empty (role operator), or a note of more than 128 characters.
        """
        ...

    def revoke(self, key_id: str, *, actor: str) -> None:
        """End a key; gateways refuse it with the next snapshot. Again is no fault.

        Raises:
            NotFound: no such key.
        """
        ...

    def list(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        ...
