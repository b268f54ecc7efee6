"""The registry's database: the system of record, as its services and the publisher see it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from portcullis.domain.editions import Credential
from portcullis.domain.entries import Entry, EntryStatus, SubjectType
from portcullis.domain.errors import StepNotAllowed
from portcullis.domain.policies import Policy
from portcullis.domain.token_keys import TokenKey
from portcullis.ports.looks import Look


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


ENDED_KEPT_S = 86_400.0
"""How long an entry that has ended stays in the index."""


class RegistryView(Protocol):
    """One consistent reading of the registry."""

    @property
    def now(self) -> float:
        """When it was opened, Unix seconds."""
        ...

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

    @property
    def revoked(self) -> tuple[str, ...]:
        """The certificates that are refused, in the order of their revocation (`portcullis.domain.caller_certificates`)."""
        ...

    @property
    def token_keys(self) -> tuple[TokenKey, ...]:
        """The token keys that a snapshot of this reading names (`portcullis.domain.token_keys`)."""
        ...

    @property
    def list_numbers(self) -> Mapping[str, int]:
        """The number of every list of the policy; a number is never given to another list."""
        ...

    def changed_at(self, seq: int) -> float:
        """Give when a change of the log was made (Unix seconds); 0 where there is none of this number."""
        ...

    def forgot_renewals(self, after: int, /) -> bool:
        """Say whether `touched` can't tell all since change ``after``: a token key that was in use then was retired."""
        ...

    def index(self, lists: Collection[str]) -> Iterator[tuple[bytes, IndexedEntry]]:
        """Give every (token, entry in force) pair of these lists, ascending by token, in bounded memory.

        An entry that has ended is left out once `ENDED_KEPT_S` have passed since: whether it has ended is judged at every
        check, so this only saves room, and a clock that is wrong for hours loses nobody.
        """
        ...

    def touched(self, after: int, now_then: float) -> Iterator[tuple[bytes, str, tuple[IndexedEntry, ...]]]:
        """Give every token of a list whose entries may be others than in an earlier view: (token, list, entries now).

        Args:
            after: the earlier view's ``seq``.
            now_then: the time of the earlier view (Unix seconds), for the entries that have left `index` since.

        Ascending by token, then by the list's name; each pair once; no entries means that none is left. In bounded memory.
        """
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


class PastEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it stood at some change of the registry, for making a decision again."""

    list: str
    entry_id: int
    case_reference: str
    valid_from: int
    until: int
    in_force: bool
    measures: tuple[str, ...]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """The registry as of a change: the policy in force then, and those of the entries asked for that there were."""

    policy: Policy
    entries: tuple[PastEntry, ...]


class PastReader(Protocol):
    """The registry's history."""

    def as_of(self, seq: int, entry_ids: Collection[int]) -> Past:
        """Give the policy and some entries as they stood once a change was made.

        Raises:
            NotFound: the registry has not come to that change: it is another, or was restored from an older backup.
            RegistryUnavailable: the database can't be reached, or the policy of then can't be read by this release.
        """
        ...


class StoredEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the registry gives it out: everything but who it is about.

    ``until`` is its end as the authority states it. ``effective_until`` is when it stops to bind if nobody acts any more:
    its end, or before it ``lapses_at``, where its list's entries lapse, or ``decide_by``, while a dispute runs (0 where
    not). ``pending`` says that an amendment waits for a second person.
    """

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
    effective_until: int = 0
    lapses_at: int = 0
    decide_by: int = 0
    pending: bool = False


class ImportCounts(msgspec.Struct, kw_only=True):
    """What an import did, or would do.

    ``superseded`` counts what was left as it is: a person has taken it off the list, or changed it while the import was
    held.
    """

    added: int = 0
    amended: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    superseded: int = 0


class Shrinkage(msgspec.Struct, frozen=True, kw_only=True):
    """What an import takes away: ``lost`` of ``in_force`` entries, where ``guard`` may go (`portcullis.domain.guards`)."""

    lost: int
    in_force: int
    guard: int


class ImportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an import.

    ``held`` is None when it took effect. Otherwise nothing of it did, ``counts`` say what it would do, and ``held`` what it
    would take away. ``voided`` is the held import of the list that it has made void, if there was one.
    """

    import_id: int
    counts: ImportCounts
    held: Shrinkage | None = None
    voided: int | None = None


class HeldImport(msgspec.Struct, frozen=True, kw_only=True):
    """An import that waits for a second operator. ``held_at`` is Unix seconds; ``counts`` is what it would have done."""

    import_id: int
    list: str
    full: bool
    importer: str
    held_at: float
    counts: ImportCounts
    shrinkage: Shrinkage


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One API key without its secret. Times are Unix seconds. ``lists`` are what it is good for; empty for every list.

    ``expires_at`` is when it ends by itself, None where it does not; ``successor`` is the id of the key made in its place.
    """

    key_id: str
    holder: str
    role: str
    note: str
    created_at: float
    revoked_at: float | None
    lists: tuple[str, ...] = ()
    expires_at: float | None = None
    successor: str = ""

    def is_in_force(self, now: float) -> bool:
        """Say whether it is good at a time (Unix seconds)."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def demand_rotatable(self, now: float) -> None:
        """Let only a key be rotated that is in force and has no successor.

        Raises:
            StepNotAllowed: it is another.
        """
        if not self.is_in_force(now):
            raise StepNotAllowed("rotate", "ended", ["make a new key"])
        if self.successor:
            raise StepNotAllowed("rotate", "rotated", ["rotate its successor", "revoke"])


class RevokedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that is refused, by its ``mark`` (`portcullis.domain.caller_certificates`); Unix seconds."""

    mark: str
    note: str
    revoked_at: float


class ImportSession(Protocol):
    """One import under way: rows are staged in batches, and take effect all at once with ``commit`` or not at all."""

    def stage(self, entries: Sequence[Entry]) -> None:
        """Stage rows. A key that comes again replaces the earlier row."""
        ...

    def keep(self, keys: Sequence[str]) -> None:
        """Let a full commit leave the entries of these keys as they are: their rows were bad, not gone."""
        ...

    def commit(self, *, full: bool) -> ImportOutcome:
        """Put the staged rows in force in one transaction; ``full`` withdraws what was neither staged nor kept.

        An import that takes away more than its list's guard is held instead. Either makes an earlier held import of the
        list void.
        """
        ...


class RegistryStore(RegistryReader, PastReader, Protocol):
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

    def held_imports(self) -> Sequence[HeldImport]:
        """Give the imports that wait for a second operator, in the order in which they were held."""
        ...

    def approve_import(self, import_id: int, *, actor: str, purpose: str) -> ImportOutcome:
        """Put a held import in force in one transaction, worked out against the registry as it is now.

        What was changed since it was held is newer, and stays.

        Raises:
            NotFound: there was no such import.
            SecondOperatorRequired: the actor has imported it.
            ImportNotHeld: it is not held any more, or its list's rules have changed so that its rows might not be admitted.
        """
        ...

    def reject_import(self, import_id: int, *, actor: str, purpose: str) -> HeldImport:
        """Give a held import up for good; what it would have changed is deleted.

        Raises:
            NotFound: there was no such import.
            ImportNotHeld: it is not held any more.
        """
        ...

    def put_entry(self, entry: Entry, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add or amend one entry; False when the same entry stood already."""
        ...

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force; one that is withdrawn already stays as it is.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: it is neither listed nor withdrawn.
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

    def rotate_key(self, key_id: str, successor: ApiKey, digest: str, *, ends_at: float, actor: str) -> None:
        """Keep a successor's digest and let the key before it end by itself, in one transaction.

        Raises:
            NotFound: no such key.
            StepNotAllowed: it has ended, or has a successor.
        """
        ...

    def keys(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        ...

    def revoke_certificate(self, mark: str, *, note: str, at: float, actor: str) -> None:
        """Refuse a certificate from now on; again is no fault, and changes nothing."""
        ...

    def revoked_certificates(self) -> Sequence[RevokedCertificate]:
        """Give the certificates that are refused, in the order of their revocation."""
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...
