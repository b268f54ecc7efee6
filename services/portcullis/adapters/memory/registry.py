"""The registry in memory: every rule of the port, and nothing left when the process ends."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import NamedTuple

import msgspec

from portcullis.adapters.memory.registry_imports import (
    Changes,
    Held,
    MemoryImport,
    compare,
    compare_again,
    shrinkage,
    told_as_held,
)
from portcullis.adapters.memory.registry_view import MemoryView, Version, tokens_of
from portcullis.domain.editions import Credential
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.errors import InvalidRequest, NotFound
from portcullis.domain.guards import ImportState, check_approver, check_held, check_rules
from portcullis.domain.policies import Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import ApiKey, Clock, HeldImport, ImportOutcome, Look, Past, PastEntry, StoredEntry


class Change(NamedTuple):
    """One line of the change log; its number is its place, counted from 1."""

    actor: str
    change: str
    subject: str
    detail: str = ""


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
        self._policies: list[tuple[int, Policy]] = []
        self._numbers: dict[str, int] = {}
        self._lists: defaultdict[str, dict[str, Version]] = defaultdict(dict)
        self._entry_ids = count(1)
        self._imports: list[ImportState] = []
        self._held: dict[int, Held] = {}
        self._keys: dict[str, tuple[ApiKey, str]] = {}
        self._log: list[Change] = []
        self._changed_at: list[float] = []
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
                list_numbers={each.name: self._numbers[each.name] for each in self._policy.lists},
                held=sorted(
                    (held for each in self._lists.values() for held in each.values()), key=lambda held: held.entry_id
                ),
                tokeniser=self._tokeniser,
                now=self._clock.now(),
                changed_at=self._changed_at,
            )
        yield view

    def apply_policy(self, policy: Policy, *, actor: str) -> bool:
        """Put a policy in force; False when it is in force already."""
        with self._lock:
            if policy == self._policy and any(change.change == "policy" for change in self._log):
                return False
            self._policy = policy
            self._policies.append((self._note(actor, "policy", "policy"), policy))
            for each in policy.lists:
                self._numbers.setdefault(each.name, len(self._numbers) + 1)
            return True

    def policy(self) -> Policy:
        """Give the policy in force; an empty one before the first."""
        return self._policy

    @contextmanager
    def begin_import(self, list_name: str, *, actor: str) -> Iterator[MemoryImport]:
        """Open an import."""
        yield MemoryImport(self, list_name, actor)

    def merge(
        self, list_name: str, staged: Mapping[str, Entry], *, full: bool, kept: AbstractSet[str], actor: str
    ) -> ImportOutcome:
        """Put the entries of an import in force all at once, or hold them; see `portcullis.ports.ImportSession`."""
        with self._lock:
            now, on, present = self._clock.now(), self._policy.list_named(list_name), self._lists[list_name]
            changes = compare(staged, present, full=full, kept=kept)
            taken = shrinkage(changes, present, on, tokens_of=partial(tokens_of, tokeniser=self._tokeniser), now=now)
            voided = self._void(list_name, actor)
            import_id = len(self._imports) + 1
            if taken.lost > taken.guard:
                self._imports.append(ImportState.HELD)
                detail = (
                    f"import {import_id}: takes away {taken.lost} of {taken.in_force} entries, {taken.guard} may go at once"
                )
                seq = self._note(actor, "import-hold", list_name, detail)
                told = told_as_held(import_id, list_name, changes, taken, full=full, actor=actor, at=now)
                self._held[import_id] = Held(told, changes, seq, on)
                return ImportOutcome(import_id=import_id, counts=changes.counts, held=taken, voided=voided)
            self._imports.append(ImportState.APPLIED)
            if changes.put or changes.withdrawn:
                self._apply(changes, self._note(actor, "import", list_name))
            return ImportOutcome(import_id=import_id, counts=changes.counts, voided=voided)

    def held_imports(self) -> Sequence[HeldImport]:
        """Give the imports that wait for a second operator, in the order in which they were held."""
        with self._lock:
            return [held.told for held in self._held.values()]

    def approve_import(self, import_id: int, *, actor: str, purpose: str) -> ImportOutcome:
        """Put a held import in force, worked out against the registry as it is now.

        Raises:
            NotFound: there was no such import.
            SecondOperatorRequired: the actor has imported it.
            ImportNotHeld: it is not held any more, or the rules of its list have changed.
        """
        with self._lock:
            held = self._find_held(import_id)
            check_approver(held.told.importer, actor)
            check_rules(import_id, held.on, self._policy.list_named(held.told.list))
            changes = compare_again(held, self._lists[held.told.list])
            self._apply(changes, self._settle(held, ImportState.APPLIED, "import-approve", actor, purpose))
            return ImportOutcome(import_id=import_id, counts=changes.counts)

    def reject_import(self, import_id: int, *, actor: str, purpose: str) -> HeldImport:
        """Give a held import up for good.

        Raises:
            NotFound: there was no such import.
            ImportNotHeld: it is not held any more.
        """
        with self._lock:
            held = self._find_held(import_id)
            self._settle(held, ImportState.REJECTED, "import-reject", actor, purpose)
            return held.told

    def put_entry(self, entry: Entry, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add or amend one entry, or put a withdrawn one back in force; False when the same entry stood already."""
        with self._lock:
            known = self._lists[entry.list].get(entry.key)
            if known is not None and known.in_force and known.entry == entry:
                return _stored(known), False
            return _stored(self._put(entry, self._note(actor, "put", f"{entry.list}/{entry.key}"))), True

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force. One that is withdrawn already stays as it is, and nothing is logged.

        Raises:
            NotFound: no such entry.
        """
        with self._lock:
            held = self._find(list_name, key)
            if held.in_force:
                held = self._withdraw(held, self._note(actor, "withdraw", f"{list_name}/{key}", reason))
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
            later = (held for held in self._lists[list_name].values() if held.entry_id > after_id)
            return [_stored(held) for held, _ in zip(later, range(limit), strict=False)]

    def as_of(self, seq: int, entry_ids: Collection[int]) -> Past:
        """Give the policy and some entries as they stood once a change was made.

        Raises:
            NotFound: the registry has not come to that change.
        """
        with self._lock:
            if seq > len(self._log):
                raise NotFound("the registry has not come to this change; open the registry that it belongs to")
            policy = next((each for at, each in reversed(self._policies) if at <= seq), Policy())
            versions = [held.as_of(seq) for each in self._lists.values() for held in each.values()]
            found = [_past(each) for each in versions if each is not None and each.entry_id in entry_ids]
            return Past(policy=policy, entries=tuple(sorted(found, key=lambda each: each.entry_id)))

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
            return sum(held.in_force for held in self._lists[list_name].values())

    def add_key(self, key: ApiKey, digest: str, *, actor: str) -> None:
        """Keep a new key's digest.

        Raises:
            InvalidRequest: a key of this id or digest is there already.
        """
        with self._lock:
            if key.key_id in self._keys or any(digest == known for _, known in self._keys.values()):
                raise InvalidRequest.at("key_id", "a key of this id is there already; make another")
            self._keys[key.key_id] = (key, digest)
            self._note(actor, "key-add", key.key_id)

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
                self._note(actor, "key-revoke", key_id)

    def keys(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        with self._lock:
            return [key for key, _ in self._keys.values() if holder is None or key.holder == holder]

    def close(self) -> None:
        """Nothing is to be given up."""

    def _note(self, actor: str, change: str, subject: str, detail: str = "") -> int:
        self._log.append(Change(actor, change, subject, detail))
        self._changed_at.append(self._clock.now())
        return len(self._log)

    def _find(self, list_name: str, key: str) -> Version:
        held = self._lists[list_name].get(key)
        if held is None:
            raise NotFound("no entry of this list has this key")
        return held

    def _apply(self, changes: Changes, seq: int) -> None:
        for entry in changes.put:
            self._put(entry, seq)
        for version in changes.withdrawn:
            self._withdraw(version, seq)

    def _put(self, entry: Entry, seq: int) -> Version:
        known = self._lists[entry.list].get(entry.key)
        entry_id, number = (known.entry_id, known.number + 1) if known else (next(self._entry_ids), 1)
        version = Version(entry_id, number, EntryStatus.IN_FORCE, entry, seq, known)
        self._lists[entry.list][entry.key] = version
        return version

    def _withdraw(self, held: Version, seq: int) -> Version:
        withdrawn = Version(held.entry_id, held.number + 1, EntryStatus.WITHDRAWN, held.entry, seq, held)
        self._lists[held.entry.list][held.entry.key] = withdrawn
        return withdrawn

    def _find_held(self, import_id: int) -> Held:
        check_held(import_id, self._imports[import_id - 1] if 0 < import_id <= len(self._imports) else None)
        return self._held[import_id]

    def _void(self, list_name: str, actor: str) -> int | None:
        """End the held import of a list that a newer one replaces."""
        held = next((each for each in self._held.values() if each.told.list == list_name), None)
        if held is None:
            return None
        self._settle(held, ImportState.VOID, "import-void", actor, "")
        return held.told.import_id

    def _settle(self, held: Held, state: ImportState, change: str, actor: str, purpose: str) -> int:
        import_id = held.told.import_id
        self._imports[import_id - 1] = state
        del self._held[import_id]
        detail = f"import {import_id} of {held.told.importer}" + (f": {purpose}" if purpose else "")
        return self._note(actor, change, held.told.list, detail)

    def _credentials(self) -> tuple[Credential, ...]:
        return tuple(
            Credential(key_id=key.key_id, holder=key.holder, digest=digest, role=key.role)
            for key, digest in self._keys.values()
            if key.revoked_at is None
        )


def _past(held: Version) -> PastEntry:
    entry = held.entry
    return PastEntry(
        list=entry.list,
        entry_id=held.entry_id,
        case_reference=entry.case_reference,
        valid_from=entry.valid_from,
        until=entry.until,
        in_force=held.in_force,
        measures=entry.measures,
    )


def _stored(held: Version) -> StoredEntry:
    entry = held.entry
    return StoredEntry(
        list=entry.list,
        key=entry.key,
        entry_id=held.entry_id,
        version=held.number,
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
