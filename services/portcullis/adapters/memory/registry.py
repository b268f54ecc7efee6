"""The registry in memory: every rule of the port, and nothing left when the process ends."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from portcullis.domain.editions import Credential
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.errors import InvalidRequest, NotFound
from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import ApiKey, Clock, ImportCounts, IndexedEntry, Look, StoredEntry


class Change(NamedTuple):
    """One line of the change log; its number is its place, counted from 1."""

    actor: str
    change: str
    subject: str
    detail: str = ""


class _Held(NamedTuple):
    entry_id: int
    version: int
    status: EntryStatus
    entry: Entry

    @property
    def in_force(self) -> bool:
        return self.status is EntryStatus.IN_FORCE


class MemoryRegistry:
    """A registry in memory. Implements `portcullis.ports.RegistryStore`; safe for threads.

    Args:
        tokeniser: makes the tokens that entries are found by.
        clock: judges which entries have ended, and dates the looks.
    """

    def __init__(self, *, tokeniser: Tokeniser, clock: Clock) -> None:
        self._tokeniser = tokeniser
        self._clock = clock
        self._lock = threading.RLock()
        self._policy = Policy()
        self._held: dict[tuple[str, str], _Held] = {}
        self._keys: dict[str, tuple[ApiKey, str]] = {}
        self._log: list[Change] = []
        self._looks: defaultdict[tuple[str, str], list[Look]] = defaultdict(list)

    def head(self) -> int:
        """Give the number of the last change."""
        return len(self._log)

    @contextmanager
    def view(self) -> Iterator[MemoryView]:
        """Open one consistent reading: a copy of the references as they stand."""
        with self._lock:
            view = MemoryView(
                seq=len(self._log),
                policy=self._policy,
                credentials=self._credentials(),
                held=[held for held in self._held.values() if held.in_force],
                tokeniser=self._tokeniser,
                now=self._clock.now(),
            )
        yield view

    def apply_policy(self, policy: Policy, *, actor: str) -> bool:
        """Put a policy in force; False when it is in force already."""
        with self._lock:
            if policy == self._policy and any(change.change == "policy" for change in self._log):
                return False
            self._policy = policy
            self._log.append(Change(actor, "policy", "policy"))
            return True

    def policy(self) -> Policy:
        """Give the policy in force; an empty one before the first."""
        return self._policy

    @contextmanager
    def begin_import(self, list_name: str, *, actor: str) -> Iterator[MemoryImport]:
        """Open an import."""
        yield MemoryImport(self, list_name, actor)

    def merge(
        self, list_name: str, staged: dict[str, Entry], *, full: bool, kept: AbstractSet[str], actor: str
    ) -> ImportCounts:
        """Put the entries of an import in force all at once; see `portcullis.ports.ImportSession`."""
        counts = ImportCounts()
        with self._lock:
            for entry in staged.values():
                known = self._held.get((entry.list, entry.key))
                if not self._put(entry):
                    counts.unchanged += 1
                elif known is not None and known.in_force:
                    counts.amended += 1
                else:
                    counts.added += 1
            gone = self._missing(list_name, staged.keys() | kept) if full else []
            for held in gone:
                self._withdraw(held)
            counts.withdrawn = len(gone)
            if counts.added or counts.amended or counts.withdrawn:
                self._log.append(Change(actor, "import", list_name))
        return counts

    def put_entry(self, entry: Entry, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add or amend one entry, or put a withdrawn one back in force; False when the same entry stood already."""
        with self._lock:
            changed = self._put(entry)
            if changed:
                self._log.append(Change(actor, "put", f"{entry.list}/{entry.key}"))
            return _stored(self._held[entry.list, entry.key]), changed

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force. One that is withdrawn already stays as it is, and nothing is logged.

        Raises:
            NotFound: no such entry.
        """
        with self._lock:
            held = self._find(list_name, key)
            if held.in_force:
                self._log.append(Change(actor, "withdraw", f"{list_name}/{key}", reason))
                held = self._withdraw(held)
            return _stored(held)

    def entry(self, list_name: str, key: str) -> StoredEntry:
        """Give one entry, withdrawn ones too.

        Raises:
            NotFound: no such entry.
        """
        with self._lock:
            return _stored(self._find(list_name, key))

    def entries(self, list_name: str, *, after_id: int, limit: int) -> Sequence[StoredEntry]:
        """Give a page of a list's entries, withdrawn ones too, in the order of their entry_id."""
        with self._lock:
            # Entries keep their place when they change, so the dict's order is the order of their ids.
            later = (held for held in self._held.values() if held.entry.list == list_name and held.entry_id > after_id)
            return [_stored(held) for held, _ in zip(later, range(limit), strict=False)]

    def note_looks(self, list_name: str, keys: Sequence[str], *, actor: str, purpose: str) -> None:
        """Note who is about to see these entries, and why.

        Raises:
            NotFound: one of them is no entry; then nothing is noted.
        """
        with self._lock:
            for key in keys:
                self._find(list_name, key)
            look = Look(actor=actor, at=self._clock.now(), purpose=purpose)
            for key in set(keys):
                self._looks[list_name, key].append(look)

    def looks(self, list_name: str, key: str) -> Sequence[Look]:
        """Give the looks at one entry in their order."""
        with self._lock:
            return tuple(self._looks.get((list_name, key), ()))

    def count_in_force(self, list_name: str) -> int:
        """Count a list's entries in force, ended ones not yet withdrawn among them."""
        with self._lock:
            return sum(held.in_force for held in self._held.values() if held.entry.list == list_name)

    def add_key(self, key: ApiKey, digest: str, *, actor: str) -> None:
        """Keep a new key's digest.

        Raises:
            InvalidRequest: a key of this id or digest is there already.
        """
        with self._lock:
            if key.key_id in self._keys or any(digest == known for _, known in self._keys.values()):
                raise InvalidRequest.at("key_id", "a key of this id is there already; make another")
            self._keys[key.key_id] = (key, digest)
            self._log.append(Change(actor, "key-add", key.key_id))

    def revoke_key(self, key_id: str, *, at: float, actor: str) -> None:
        """Revoke a key. One that is revoked already keeps its date, and nothing is logged.

        Raises:
            NotFound: no such key.
        """
        with self._lock:
            if key_id not in self._keys:
                raise NotFound("no key has this id; list the keys to see theirs")
            key, digest = self._keys[key_id]
            if key.revoked_at is None:
                self._keys[key_id] = (msgspec.structs.replace(key, revoked_at=at), digest)
                self._log.append(Change(actor, "key-revoke", key_id))

    def keys(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        with self._lock:
            return [key for key, _ in self._keys.values() if holder is None or key.holder == holder]

    def close(self) -> None:
        """Nothing is to be given up."""

    def _find(self, list_name: str, key: str) -> _Held:
        held = self._held.get((list_name, key))
        if held is None:
            raise NotFound("no entry of this list has this key")
        return held

    def _put(self, entry: Entry) -> bool:
        known = self._held.get((entry.list, entry.key))
        if known is not None and known.in_force and known.entry == entry:
            return False
        entry_id, version = (known.entry_id, known.version + 1) if known else (len(self._held) + 1, 1)
        self._held[entry.list, entry.key] = _Held(entry_id, version, EntryStatus.IN_FORCE, entry)
        return True

    def _withdraw(self, held: _Held) -> _Held:
        withdrawn = held._replace(version=held.version + 1, status=EntryStatus.WITHDRAWN)
        self._held[held.entry.list, held.entry.key] = withdrawn
        return withdrawn

    def _missing(self, list_name: str, present: AbstractSet[str]) -> list[_Held]:
        return [
            held
            for held in self._held.values()
            if held.in_force and held.entry.list == list_name and held.entry.key not in present
        ]

    def _credentials(self) -> tuple[Credential, ...]:
        return tuple(
            Credential(key_id=key.key_id, holder=key.holder, digest=digest, role=key.role)
            for key, digest in self._keys.values()
            if key.revoked_at is None
        )


class MemoryImport:
    """One import under way."""

    def __init__(self, registry: MemoryRegistry, list_name: str, actor: str) -> None:
        self._registry = registry
        self._list_name = list_name
        self._actor = actor
        self._staged: dict[str, Entry] = {}
        self._kept: set[str] = set()

    def stage(self, entries: Sequence[Entry]) -> None:
        """Stage rows. A key that comes again replaces the earlier row."""
        self._staged.update((entry.key, entry) for entry in entries)

    def keep(self, keys: Sequence[str]) -> None:
        """Let a full commit leave the entries of these keys as they are."""
        self._kept.update(keys)

    def commit(self, *, full: bool) -> ImportCounts:
        """Put the staged rows in force; ``full`` withdraws what was neither staged nor kept."""
        return self._registry.merge(self._list_name, self._staged, full=full, kept=self._kept, actor=self._actor)


class MemoryView:
    """The registry as it stood when the view was opened."""

    def __init__(
        self,
        *,
        seq: int,
        policy: Policy,
        credentials: tuple[Credential, ...],
        held: Sequence[_Held],
        tokeniser: Tokeniser,
        now: float,
    ) -> None:
        self.seq = seq
        self.policy = policy
        self.credentials = credentials
        self._held = held
        self._tokeniser = tokeniser
        self._now = now

    def index(self) -> Iterator[tuple[bytes, IndexedEntry]]:
        """Give every (token, entry in force) pair in ascending order of token, then of entry."""
        published = {each.name for each in self.policy.lists if each.disclosure is not Disclosure.AUTHORITY_ONLY}
        pairs = {
            (token, held.entry_id): held.entry
            for held in self._held
            if held.entry.list in published and held.entry.until > self._now
            for identifier in held.entry.identifiers
            for token in self._tokeniser.index_tokens(identifier)
        }
        for token, entry_id in sorted(pairs):
            yield token, _indexed(entry_id, pairs[token, entry_id])


def _indexed(entry_id: int, entry: Entry) -> IndexedEntry:
    return IndexedEntry(
        list=entry.list,
        entry_id=entry_id,
        case_reference=entry.case_reference,
        legal_basis=entry.legal_basis,
        redress=entry.redress,
        valid_from=entry.valid_from,
        until=entry.until,
        stayed=False,
        measures=entry.measures,
    )


def _stored(held: _Held) -> StoredEntry:
    entry = held.entry
    return StoredEntry(
        list=entry.list,
        key=entry.key,
        entry_id=held.entry_id,
        version=held.version,
        status=held.status,
        subject_type=entry.subject_type,
        authority=entry.authority,
        legal_basis=entry.legal_basis,
        case_reference=entry.case_reference,
        purpose=entry.purpose,
        valid_from=entry.valid_from,
        until=entry.until,
        redress=entry.redress,
        measures=entry.measures,
    )
