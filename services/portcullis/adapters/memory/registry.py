"""The registry in memory: every rule of the port, and nothing left when the process ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec

from portcullis.adapters.memory.registry_imports import MemoryImport, MemoryImports
from portcullis.adapters.memory.registry_ledger import Ledger
from portcullis.adapters.memory.registry_life import MemoryLife
from portcullis.adapters.memory.registry_policies import MemoryPolicies
from portcullis.adapters.memory.registry_versions import Version, tokens_of
from portcullis.adapters.memory.registry_view import MemoryView
from portcullis.domain.editions import Credential
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import InvalidRequest, NotFound
from portcullis.domain.policies import Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import (
    ApiKey,
    Clock,
    EntryQuery,
    HeldImport,
    ImportOutcome,
    KnownIdentity,
    ListSwitch,
    Look,
    Matching,
    Past,
    PastEntry,
    PastStep,
    Proposal,
    PutOutcome,
    RevokedCertificate,
    StoredEntry,
)


class MemoryRegistry:
    """A registry in memory. Implements `portcullis.ports.EntryStore`; safe for threads.

    Args:
        tokeniser: makes the tokens that entries are found by.
        clock: judges which entries have ended, and dates the change log and the looks.
    """

    def __init__(self, *, tokeniser: Tokeniser, clock: Clock) -> None:
        self._tokeniser = tokeniser
        self._clock = clock
        self._ledger = Ledger(clock)
        self._lock = self._ledger.lock
        self._policies = MemoryPolicies(self._ledger, clock)
        self._life = MemoryLife(self._ledger)
        entry_tokens = partial(tokens_of, tokeniser=tokeniser)
        self._imports = MemoryImports(self._ledger, self._policies, tokens_of=entry_tokens, clock=clock)
        self._keys: dict[str, tuple[ApiKey, str]] = {}
        self._revoked: dict[str, RevokedCertificate] = {}
        self._looks: defaultdict[tuple[str, str], list[Look]] = defaultdict(list)

    def head(self) -> int:
        """Give the number of the last change."""
        return len(self._ledger.log)

    @contextmanager
    def view(self) -> Iterator[MemoryView]:
        """Open one consistent reading: a copy of the references as they stand."""
        with self._lock:
            view = MemoryView(
                seq=len(self._ledger.log),
                policy=self._policies.present,
                credentials=self._credentials(),
                revoked=tuple(self._revoked),
                list_numbers=self._policies.numbers,
                held=sorted(self._held(), key=lambda held: held.entry_id),
                tokeniser=self._tokeniser,
                now=self._clock.now(),
                log=self._ledger.log,
            )
        yield view

    def apply_policy(self, policy: Policy, *, actor: str) -> bool:
        """Put a policy in force; False when it is in force already."""
        with self._lock:
            return self._policies.apply(policy, actor=actor)

    def policy(self) -> Policy:
        """Give the policy in force; an empty one before the first."""
        return self._policies.present

    @contextmanager
    def begin_import(self, list_name: str, *, actor: str) -> Iterator[MemoryImport]:
        """Open an import."""
        yield MemoryImport(self._imports, list_name, actor)

    def held_imports(self) -> Sequence[HeldImport]:
        """Give the imports that wait for a second operator, in the order in which they were held."""
        return self._imports.held()

    def approve_import(self, import_id: int, *, actor: str, purpose: str) -> ImportOutcome:
        """Put a held import in force, worked out against the registry as it is now.

        Raises:
            NotFound: there was no such import.
            SecondOperatorRequired: the actor has imported it.
            ImportNotHeld: it is not held any more, or the rules of its list have changed.
        """
        return self._imports.approve(import_id, actor=actor, purpose=purpose)

    def reject_import(self, import_id: int, *, actor: str, purpose: str) -> HeldImport:
        """Give a held import up for good.

        Raises:
            NotFound: there was no such import.
            ImportNotHeld: it is not held any more.
        """
        return self._imports.reject(import_id, actor=actor, purpose=purpose)

    def put_entry(self, entry: Entry, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add or amend one entry, or list one again that had left; False when the same entry stood already."""
        outcome = self.put(entry, note=StepNote(actor=actor), four_eyes=False)
        return outcome.entry, outcome.changed

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force. One that is withdrawn already stays as it is, and nothing is logged.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: it is neither listed nor withdrawn.
        """
        with self._lock:
            if self._ledger.find(list_name, key).status is EntryStatus.WITHDRAWN:
                return self.entry(list_name, key)
            return self.step(list_name, key, Step.WITHDRAW, note=StepNote(actor=actor, why=reason))

    # --- the life of entries --------------------------------------------------------------------------------------------

    def put(self, entry: Entry, *, note: StepNote, four_eyes: bool, expected_version: int = 0) -> PutOutcome:
        """Add an entry, amend it, list it again, or propose that.

        Raises:
            VersionMissed: another version is present.
        """
        return self._life.put(entry, note=note, four_eyes=four_eyes, expected_version=expected_version)

    def step(self, list_name: str, key: str, step: Step, *, note: StepNote, expected_version: int = 0) -> StoredEntry:
        """Take a step other than put, renew and clear.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: the step can't be taken where the entry stands.
            SecondPersonRequired: the actor has proposed what is approved.
            VersionMissed: another version is present.
        """
        return self._life.step(list_name, key, step, note=note, expected_version=expected_version)

    def proposals(self, list_name: str = "", *, key: str = "", limit: int = 1000) -> Sequence[Proposal]:
        """Give what waits for a second person, oldest first, of one list or of all, of one key or of any."""
        return self._life.proposals(list_name, key=key, limit=limit)

    def history(self, list_name: str, key: str) -> Sequence[PastStep]:
        """Give every version of an entry in their order.

        Raises:
            NotFound: no such entry.
        """
        return self._life.history(list_name, key)

    def identity(self, list_name: str, key: str, *, proposed: bool = False) -> KnownIdentity:
        """Give who an entry is about, or who what waits for a second person is about.

        Raises:
            NotFound: no such entry, or nothing of it waits.
        """
        return self._life.identity(list_name, key, proposed=proposed)

    def matching(self, step: Step, query: EntryQuery, *, actor: str) -> Matching:
        """Find the entries on which ``approve``, ``renew`` or ``release`` can be taken by this actor."""
        return self._life.matching(step, query, actor=actor)

    def bulk(self, step: Step, query: EntryQuery, *, digest: str, note: StepNote, lapses_at: int = 0) -> int:
        """Take a step on the entries that `matching` has found, all in one change of the log; gives how many.

        Raises:
            PlanChanged: they are others by now.
        """
        return self._life.bulk(step, query, digest=digest, note=note, lapses_at=lapses_at)

    def switch_list(self, list_name: str, *, suspend: bool, note: StepNote) -> ListSwitch:
        """Ask for a list to be suspended or resumed; the second person who asks for the same does it.

        Raises:
            NotFound: the policy in force has no such list.
        """
        with self._lock:
            return self._policies.switch(list_name, suspend=suspend, note=note)

    def list_switch(self, list_name: str) -> ListSwitch:
        """Say how a list stands.

        Raises:
            NotFound: the policy in force has no such list.
        """
        with self._lock:
            return self._policies.list_switch(list_name)

    # --- looking --------------------------------------------------------------------------------------------------------

    def entry(self, list_name: str, key: str) -> StoredEntry:
        """Give one entry, withdrawn ones too.

        Raises:
            NotFound: no such entry.
        """
        with self._lock:
            return self._ledger.stored(self._ledger.find(list_name, key))

    def entries(self, list_name: str, *, after_id: int, limit: int) -> Sequence[StoredEntry]:
        """Give a page of a list's entries, withdrawn ones too, in the order of their entry_id."""
        with self._lock:
            # Entries keep their place when they change, so the dict's order is the order of their ids.
            later = (held for held in self._ledger.lists[list_name].values() if held.entry_id > after_id)
            return [self._ledger.stored(held) for held, _ in zip(later, range(limit), strict=False)]

    def as_of(self, seq: int, entry_ids: Collection[int]) -> Past:
        """Give the policy and some entries as they stood once a change was made.

        Raises:
            NotFound: the registry has not come to that change.
        """
        with self._lock:
            if seq > len(self._ledger.log):
                raise NotFound("the registry has not come to this change; open the registry that it belongs to")
            versions = [held.as_of(seq) for held in self._held()]
            found = [_past(each) for each in versions if each is not None and each.entry_id in entry_ids]
            return Past(policy=self._policies.as_of(seq), entries=tuple(sorted(found, key=lambda each: each.entry_id)))

    def note_looks(self, list_name: str, keys: Sequence[str], *, actor: str, purpose: str) -> None:
        """Note who is about to see these entries, and why.

        Raises:
            NotFound: one of them is no entry; then nothing is noted.
        """
        with self._lock:
            for key in keys:
                self._ledger.find(list_name, key)
            look = Look(actor=actor, at=self._clock.now(), purpose=purpose)
            for key in set(keys):
                self._looks[list_name, key].append(look)

    def looks(self, list_name: str, key: str) -> Sequence[Look]:
        """Give the looks at one entry in their order."""
        with self._lock:
            return tuple(self._looks.get((list_name, key), ()))

    def count_in_force(self, list_name: str) -> int:
        """Count a list's listed entries, ended ones not yet withdrawn among them."""
        with self._lock:
            return sum(held.listed for held in self._ledger.lists[list_name].values())

    def add_key(self, key: ApiKey, digest: str, *, actor: str) -> None:
        """Keep a new key's digest.

        Raises:
            InvalidRequest: a key of this id or digest is there already.
        """
        with self._lock:
            if key.key_id in self._keys or any(digest == known for _, known in self._keys.values()):
                raise InvalidRequest.at("key_id", "a key of this id is there already; make another")
            self._keys[key.key_id] = (key, digest)
            self._ledger.write("key-add", key.key_id, StepNote(actor=actor))

    def rotate_key(self, key_id: str, successor: ApiKey, digest: str, *, ends_at: float, actor: str) -> None:
        """Keep a successor's digest and let the key before it end by itself.

        Raises:
            NotFound: no such key.
            StepNotAllowed: it has ended, or has a successor.
        """
        with self._lock:
            key, own = self._known_key(key_id)
            key.demand_rotatable(successor.created_at)
            self.add_key(successor, digest, actor=actor)
            ended = msgspec.structs.replace(key, expires_at=ends_at, successor=successor.key_id)
            self._keys[key_id] = (ended, own)
            self._ledger.write("key-rotate", key_id, StepNote(actor=actor))

    def _known_key(self, key_id: str) -> tuple[ApiKey, str]:
        if key_id not in self._keys:
            raise NotFound("no key has this id; list the keys to see theirs")
        return self._keys[key_id]

    def revoke_key(self, key_id: str, *, at: float, actor: str) -> None:
        """Revoke a key. One that is revoked already keeps its date, and nothing is logged.

        Raises:
            NotFound: no such key.
        """
        with self._lock:
            key, digest = self._known_key(key_id)
            if key.revoked_at is None:
                self._keys[key_id] = (msgspec.structs.replace(key, revoked_at=at), digest)
                self._ledger.write("key-revoke", key_id, StepNote(actor=actor))

    def keys(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        with self._lock:
            return [key for key, _ in self._keys.values() if holder is None or key.holder == holder]

    def revoke_certificate(self, mark: str, *, note: str, at: float, actor: str) -> None:
        """Refuse a certificate; one that is refused already keeps its date, and nothing is logged."""
        with self._lock:
            if mark not in self._revoked:
                self._revoked[mark] = RevokedCertificate(mark=mark, note=note, revoked_at=at)
                self._ledger.write("certificate-revoke", mark, StepNote(actor=actor))

    def revoked_certificates(self) -> Sequence[RevokedCertificate]:
        """Give the certificates that are refused, in the order of their revocation."""
        with self._lock:
            return tuple(self._revoked.values())

    def close(self) -> None:
        """Nothing is to be given up."""

    def _held(self) -> Iterator[Version]:
        """Give the present version of every entry."""
        return (held for each in self._ledger.lists.values() for held in each.values())

    def _credentials(self) -> tuple[Credential, ...]:
        now = self._clock.now()
        return tuple(
            Credential(key_id=key.key_id, holder=key.holder, digest=digest, role=key.role, expires_at=key.expires_at)
            for key, digest in self._keys.values()
            if key.is_in_force(now)
        )


def _past(held: Version) -> PastEntry:
    entry = held.entry
    return PastEntry(
        list=entry.list,
        entry_id=held.entry_id,
        case_reference=entry.case_reference,
        valid_from=entry.valid_from,
        until=held.ends,
        in_force=held.status is EntryStatus.IN_FORCE,
        measures=entry.measures,
    )
