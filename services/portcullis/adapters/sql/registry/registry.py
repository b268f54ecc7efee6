"""The registry on SQL: the system of record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import select

from portcullis.adapters.key_wrapping import KeyFileWrapper
from portcullis.adapters.sql.registry import token_keys as registry_token_keys
from portcullis.adapters.sql.registry.database import RegistryDatabase, next_change
from portcullis.adapters.sql.registry.entries import ENTRY_WITH_WORDS, list_number
from portcullis.adapters.sql.registry.feed import first_progress, read_changes
from portcullis.adapters.sql.registry.feed_keys import feed_epochs, rotate_feed_key
from portcullis.adapters.sql.registry.held import approve, held_imports, reject
from portcullis.adapters.sql.registry.importing import SqlImport
from portcullis.adapters.sql.registry.keys import add_key, all_keys, revoke_key, rotate_key
from portcullis.adapters.sql.registry.life import find
from portcullis.adapters.sql.registry.life_store import SqlLife, found
from portcullis.adapters.sql.registry.looks import note, noted
from portcullis.adapters.sql.registry.past import past
from portcullis.adapters.sql.registry.policies import is_present, keep_policy, present_policy
from portcullis.adapters.sql.registry.renewal import renew_tokens, renew_waiting
from portcullis.adapters.sql.registry.revocations import all_revoked, revoke_certificate
from portcullis.adapters.sql.registry.rewrapping import retire, rewrap
from portcullis.adapters.sql.registry.rows import EntryWriter, stored_entry
from portcullis.adapters.sql.registry.schema import entries, lists
from portcullis.adapters.sql.registry.staging import make_staging
from portcullis.adapters.sql.registry.view import SqlView
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import NotFound
from portcullis.domain.policies import Policy
from portcullis.domain.token_keys import FIRST_EPOCH, TokenKeys
from portcullis.ports import (
    ApiKey,
    ChangesRead,
    Clock,
    EntryQuery,
    HeldImport,
    ImportOutcome,
    KeyWrapper,
    KnownIdentity,
    ListSwitch,
    Look,
    Matching,
    Past,
    PastStep,
    Progress,
    Proposal,
    PutOutcome,
    RevokedCertificate,
    StoredEntry,
)
from portcullis.ports.token_keys import KeyState, KnownTokenKey, Renewed, Rewrapped, WaitingPlace


class SqlRegistry:
    """A registry in SQLite or PostgreSQL, migrated by `portcullis.adapters.sql.migrating.migrate_registry`.

    Implements `portcullis.ports.EntryStore` and `portcullis.ports.ChangeSource`; safe for threads. Any method blocks on the
    database, and raises RegistryUnavailable when it can't be used: then nothing of the change is there.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        seal_key: 32 bytes; what tells two versions of an entry apart is keyed with it.
        tokeniser: makes the tokens that entries are found by; the keys that are here, or one.
        clock: judges which entries have ended, and dates the change log and the looks.
        keys: wraps the keys that identifiers and names are sealed under; by default under the seal key.

    Raises:
        SetupFault: the URL or the seal key can't be used.
    """

    def __init__(
        self, url: str, *, seal_key: bytes, tokeniser: TokenKeys, clock: Clock, keys: KeyWrapper | None = None
    ) -> None:
        self._database = RegistryDatabase(url, clock=clock)
        self._writer = EntryWriter(seal_key, tokeniser, keys or KeyFileWrapper(seal_key))
        self._life = SqlLife(self._database, self._writer)

    # --- reading --------------------------------------------------------------------------------------------------------

    def head(self) -> int:
        """Give the number of the last committed change: one look at the end of an index."""
        return self._database.head()

    @contextmanager
    def view(self) -> Iterator[SqlView]:
        """Open one consistent reading; a snapshot of the database, so that nobody waits for anybody."""
        with self._database.reading() as connection:
            yield SqlView(connection, now=self._database.now())

    def feed_start(self, since: float, now: float) -> Progress:
        """Say where a feed begins that holds what was changed since a time, and what ends from now on (Unix seconds)."""
        with self._database.reading() as connection:
            return first_progress(connection, since, now)

    @contextmanager
    def changes(self, after: Progress, now: float) -> Iterator[ChangesRead]:
        """Read what happened since a progress, as one snapshot of the database, so that nobody waits for anybody."""
        with self._database.reading() as connection:
            read = read_changes(connection, after, now)
            try:
                yield read
            finally:
                # Of one that was broken off the cursor is to be closed before its connection is given back.
                if isinstance(read.changes, Generator):
                    read.changes.close()

    def policy(self) -> Policy:
        """Give the policy in force; an empty one before the first."""
        with self._database.reading() as connection:
            return present_policy(connection)

    def entry(self, list_name: str, key: str) -> StoredEntry:
        """Give one entry, also one that is not listed.

        Raises:
            NotFound: no such entry.
        """
        with self._database.reading() as connection:
            return stored_entry(found(find(connection, list_name, key)))

    def entries(self, list_name: str, *, after_id: int, limit: int) -> Sequence[StoredEntry]:
        """Give a page of a list's entries, listed or not, in the order of their entry_id."""
        page = (
            ENTRY_WITH_WORDS.where(lists.c.name == list_name, entries.c.entry_id > after_id)
            .order_by(entries.c.entry_id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [stored_entry(row) for row in connection.execute(page)]

    def as_of(self, seq: int, entry_ids: Collection[int]) -> Past:
        """Give the policy and some entries as they stood once a change was made.

        Raises:
            NotFound: the registry has not come to that change.
        """
        with self._database.reading() as connection:
            return past(connection, seq, entry_ids)

    def looks(self, list_name: str, key: str) -> Sequence[Look]:
        """Give the looks at one entry in their order; none at one that is not there."""
        with self._database.reading() as connection:
            return noted(connection, list_name, key)

    def count_in_force(self, list_name: str) -> int:
        """Count a list's listed entries, stayed and ended ones among them: a number that is kept, not counted."""
        with self._database.reading() as connection:
            return connection.scalar(select(lists.c.in_force).where(lists.c.name == list_name)) or 0

    def keys(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        with self._database.reading() as connection:
            return all_keys(connection, holder)

    def revoked_certificates(self) -> Sequence[RevokedCertificate]:
        """Give the certificates that are refused, in the order of their revocation."""
        with self._database.reading() as connection:
            return all_revoked(connection)

    # --- writing --------------------------------------------------------------------------------------------------------

    def note_looks(self, list_name: str, keys: Sequence[str], *, actor: str, purpose: str) -> None:
        """Note who is about to see these entries, and why: on the disk when it returns. SQLite lets other writers end first.

        Raises:
            NotFound: one of them is no entry; then nothing is noted.
        """
        look = Look(actor=actor, at=self._database.now(), purpose=purpose)
        with self._database.noting() as connection:
            note(connection, list_name, keys, look)

    def apply_policy(self, policy: Policy, *, actor: str) -> bool:
        """Put a policy in force; False when it is in force already."""
        with self._database.writing() as connection:
            if is_present(connection, policy):
                return False
            seq = next_change(connection, at=self._database.now(), actor=actor, change="policy", subject="policy")
            keep_policy(connection, policy, seq=seq)
            for each in policy.lists:
                list_number(connection, each.name)
            return True

    @contextmanager
    def begin_import(self, list_name: str, *, actor: str) -> Iterator[SqlImport]:
        """Open an import on a connection of its own; what it staged goes with the connection."""
        with self._database.session() as connection:
            yield SqlImport(self._database, connection, self._writer, list_name=list_name, actor=actor)

    def held_imports(self) -> Sequence[HeldImport]:
        """Give the imports that wait for a second operator, in the order in which they were held."""
        with self._database.reading() as connection:
            return held_imports(connection)

    def approve_import(self, import_id: int, *, actor: str, purpose: str) -> ImportOutcome:
        """Put a held import in force in one transaction, worked out against the registry as it is now.

        Raises:
            NotFound: there was no such import.
            SecondOperatorRequired: the actor has imported it.
            ImportNotHeld: it is not held any more, or the rules of its list have changed.
        """
        with self._database.session() as connection:
            with connection.begin():
                make_staging(connection)
            with self._database.writing_in(connection):
                return approve(connection, import_id, actor=actor, purpose=purpose, at=self._database.now())

    def reject_import(self, import_id: int, *, actor: str, purpose: str) -> HeldImport:
        """Give a held import up for good.

        Raises:
            NotFound: there was no such import.
            ImportNotHeld: it is not held any more.
        """
        with self._database.writing() as connection:
            return reject(connection, import_id, actor=actor, purpose=purpose, at=self._database.now())

    def add_key(self, key: ApiKey, digest: str, *, actor: str) -> None:
        """Keep a new key's digest.

        Raises:
            InvalidRequest: a key of this id or digest is there already.
        """
        with self._database.writing() as connection:
            add_key(connection, key, digest, actor=actor, at=self._database.now())

    def rotate_key(self, key_id: str, successor: ApiKey, digest: str, *, ends_at: float, actor: str) -> None:
        """Keep a successor's digest and let the key before it end by itself, in one transaction.

        Raises:
            NotFound: no such key.
            StepNotAllowed: it has ended, or has a successor.
        """
        with self._database.writing() as connection:
            at = self._database.now()
            rotate_key(connection, key_id, successor, digest, ends_at=ends_at, actor=actor, at=at)

    def revoke_certificate(self, mark: str, *, note: str, at: float, actor: str) -> None:
        """Refuse a certificate; one that is refused already keeps its date, and nothing is logged."""
        with self._database.writing() as connection:
            revoke_certificate(connection, mark, note=note, revoked_at=at, actor=actor, at=self._database.now())

    def revoke_key(self, key_id: str, *, at: float, actor: str) -> None:
        """Revoke a key. One that is revoked already keeps its date, and nothing is logged.

        Raises:
            NotFound: no such key.
        """
        with self._database.writing() as connection:
            revoke_key(connection, key_id, revoked_at=at, actor=actor, at=self._database.now())

    # --- token keys -----------------------------------------------------------------------------------------------------

    def token_keys(self) -> Sequence[KnownTokenKey]:
        """Give the token keys that are known, the newest first."""
        with self._database.reading() as connection:
            return registry_token_keys.all_keys(connection)

    def check_token_keys(self) -> None:
        """Note the first key of a registry that knows none, and demand that those that entries stand under are here.

        Raises:
            SetupFault: one is missing, or is another.
        """
        known = self.token_keys()
        if not known:
            with self._database.writing() as connection:
                registry_token_keys.note_first(connection, self._writer.tokeniser(FIRST_EPOCH), at=self._database.now())
        for key in known:
            if key.state is not KeyState.LEFT:
                self._writer.tokeniser(key.epoch, key.fingerprint)

    def switch_token_key(self, epoch: int, *, note: StepNote) -> None:
        """Write with the key of this epoch from now on, which is the next; entries come over by `renew_tokens`.

        Raises:
            KeyChangeRefused: it is not the next one, or entries still come over from the one before.
            SetupFault: the key is not here.
        """
        tokeniser = self._writer.tokeniser(epoch)
        with self._database.writing() as connection:
            registry_token_keys.switch_key(connection, tokeniser, note=note, at=self._database.now())

    def renew_tokens(self, after_id: int, limit: int) -> Renewed[int]:
        """Bring over some of the entries that stand under another key than the one in use, in the order of their ids.

        Raises:
            SetupFault: the key in use is not here.
        """
        return renew_tokens(self._database, self._writer, after_id, limit)

    def renew_waiting(self, after: WaitingPlace, limit: int) -> Renewed[WaitingPlace]:
        """Bring over some of the amendments and rows of held imports that wait for a second person, in order.

        Raises:
            SetupFault: the key in use is not here.
        """
        return renew_waiting(self._database, self._writer, after, limit)

    def finish_renewal(self, since: int) -> bool:
        """Note that no entry is left under a leaving key, where none changed after ``since`` is; False where one is."""
        with self._database.writing() as connection:
            return registry_token_keys.leave_keys(connection, since, at=self._database.now())

    def token_key_named_until(self, epoch: int) -> int:
        """Give the change that a snapshot must include not to name a key that was left; 0 where it never was."""
        with self._database.reading() as connection:
            return registry_token_keys.named_until(connection, epoch)

    def retire_token_key(self, epoch: int, *, note: StepNote) -> None:
        """Forget a key that was left, and what stood under it.

        Raises:
            NotFound: there is no such key.
            KeyChangeRefused: entries or redress numbers stand under it.
        """
        with self._database.writing() as connection:
            registry_token_keys.retire_key(connection, epoch, note=note, at=self._database.now())

    def rewrap(self, *, dry_run: bool = False, progress: Callable[[int], object] = lambda _: None) -> Rewrapped:
        """Wrap the data keys of all that is sealed under the seal key in use; with ``dry_run`` only count them.

        It may be broken off and begun again. Each batch holds the write lock for milliseconds, and waits for it as any other
        writer does: for the merge of a large import too.
        """
        return rewrap(self._database, self._writer, dry_run=dry_run, progress=progress)

    def retire_seal_key(self, delete: Callable[[], object]) -> Rewrapped:
        """Have ``delete`` take a former seal key away, unless anything is wrapped under another than the one in use.

        Gives how many rows are, and how many can't be opened: only if there are none was it called. It is called with the
        write lock held, so what it raises comes out, and no import that was sealed under the key can get past it.
        """
        return retire(self._database, self._writer, delete)

    def feed_epochs(self) -> Mapping[str, tuple[int, float]]:
        """Give the epoch of the feed key of each partner that was rotated, and since when (Unix seconds)."""
        with self._database.reading() as connection:
            return feed_epochs(connection)

    def rotate_feed_key(self, partner: str, *, note: StepNote) -> int:
        """Have a partner know every entry by another name from now on; gives the epoch of its key.

        Raises:
            NotFound: the policy in force has no such partner.
        """
        with self._database.writing() as connection:
            if present_policy(connection).partner_named(partner) is None:
                raise NotFound("the policy in force has no partner of this name", metadata={"resource": "partner"})
            return rotate_feed_key(connection, partner, note=note, at=self._database.now())

    # --- the life of entries and lists ----------------------------------------------------------------------------------

    def put_entry(self, entry: Entry, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add or amend one entry, or list one again that had left; False when the same entry stood already."""
        outcome = self.put(entry, note=StepNote(actor=actor), four_eyes=False)
        return outcome.entry, outcome.changed

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry off its list. One that is withdrawn already stays as it is, and nothing is logged.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: it is neither listed nor withdrawn.
        """
        present = self.entry(list_name, key)
        if present.status is EntryStatus.WITHDRAWN:
            return present
        return self.step(list_name, key, Step.WITHDRAW, note=StepNote(actor=actor, why=reason))

    def put(self, entry: Entry, *, note: StepNote, four_eyes: bool, expected_version: int = 0) -> PutOutcome:
        """Add, amend, propose or list an entry again.

        Raises:
            VersionMissed: another version is present.
        """
        return self._life.put(entry, note=note, four_eyes=four_eyes, expected_version=expected_version)

    def step(self, list_name: str, key: str, step: Step, *, note: StepNote, expected_version: int = 0) -> StoredEntry:
        """Take a step other than put, renew and clear, or the two that it is made of.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: the step can't be taken where the entry stands, or no proposal waits.
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
            NotFound: no such entry, or its identity was erased, or nothing of it waits.
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
        return self._life.switch_list(list_name, suspend=suspend, note=note)

    def list_switch(self, list_name: str) -> ListSwitch:
        """Say how a list stands.

        Raises:
            NotFound: the policy in force has no such list.
        """
        return self._life.list_switch(list_name)

    def close(self) -> None:
        """Give up the connections."""
        self._database.close()
