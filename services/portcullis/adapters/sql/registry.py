"""The registry on SQL: the system of record."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from portcullis.adapters.sql.registry_database import RegistryDatabase, head, next_change
from portcullis.adapters.sql.registry_entries import (
    ENTRY_WITH_WORDS,
    archive,
    count_by,
    forget_tokens,
    index_tokens,
    keep_wording,
    list_number,
    withdraw,
)
from portcullis.adapters.sql.registry_feed import first_progress, read_changes
from portcullis.adapters.sql.registry_held import approve, held_imports, reject
from portcullis.adapters.sql.registry_import import SqlImport
from portcullis.adapters.sql.registry_looks import note, noted
from portcullis.adapters.sql.registry_past import past
from portcullis.adapters.sql.registry_policies import is_present, keep_policy, present_policy
from portcullis.adapters.sql.registry_staging import make_staging
from portcullis.adapters.sql.registry_view import SqlView
from portcullis.adapters.sql.rows import EntryWriter, stored_entry, wording_row
from portcullis.adapters.sql.schema import api_keys, entries, lists
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.errors import InvalidRequest, NotFound
from portcullis.domain.policies import Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import ApiKey, ChangesRead, Clock, HeldImport, ImportOutcome, Look, Past, Progress, StoredEntry

_IN_FORCE = EntryStatus.IN_FORCE.value


class SqlRegistry:
    """A registry in SQLite or PostgreSQL, migrated by `portcullis.adapters.sql.migrating.migrate_registry`.

    Implements `portcullis.ports.RegistryStore` and `portcullis.ports.ChangeSource`; safe for threads. Any method blocks on
    the database, and raises RegistryUnavailable when it can't be used: then nothing of the change is there.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        seal_key: 32 bytes; identifiers and names are sealed under it.
        tokeniser: makes the tokens that entries are found by.
        clock: judges which entries have ended, and dates the change log and the looks.

    Raises:
        SetupFault: the URL or the seal key can't be used.
    """

    def __init__(self, url: str, *, seal_key: bytes, tokeniser: Tokeniser, clock: Clock) -> None:
        self._database = RegistryDatabase(url, clock=clock)
        self._writer = EntryWriter(seal_key, tokeniser)

    # --- reading --------------------------------------------------------------------------------------------------------

    def head(self) -> int:
        """Give the number of the last committed change: one look at the end of an index."""
        with self._database.reading() as connection:
            return head(connection)

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
            yield read_changes(connection, after, now)

    def policy(self) -> Policy:
        """Give the policy in force; an empty one before the first."""
        with self._database.reading() as connection:
            return present_policy(connection)

    def entry(self, list_name: str, key: str) -> StoredEntry:
        """Give one entry, withdrawn ones too.

        Raises:
            NotFound: no such entry.
        """
        with self._database.reading() as connection:
            return stored_entry(_found(_look_up(connection, list_name, key)))

    def entries(self, list_name: str, *, after_id: int, limit: int) -> Sequence[StoredEntry]:
        """Give a page of a list's entries, withdrawn ones too, in the order of their entry_id."""
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
        """Count a list's entries in force, ended ones not yet withdrawn among them: a number that is kept, not counted."""
        with self._database.reading() as connection:
            return connection.scalar(select(lists.c.in_force).where(lists.c.name == list_name)) or 0

    def keys(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        wanted = select(api_keys).order_by(api_keys.c.seq)
        if holder is not None:
            wanted = wanted.where(api_keys.c.holder == holder)
        with self._database.reading() as connection:
            return [_api_key(row) for row in connection.execute(wanted)]

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

    def put_entry(self, entry: Entry, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add or amend one entry, or put a withdrawn one back in force; False when the same entry stood already."""
        row = self._writer.row(entry)
        with self._database.writing() as connection:
            known = _look_up(connection, entry.list, entry.key)
            if known is not None and known.status == _IN_FORCE and known.digest == row["digest"]:
                return stored_entry(known), False
            seq = self._log_entry(connection, actor=actor, change="put", list_name=entry.list, key=entry.key)
            keep_wording(connection, wording_row(entry))
            if known is None:
                _insert(connection, entry.list, row, seq=seq)
            else:
                _replace(connection, known, row, seq=seq)
            return stored_entry(_found(_look_up(connection, entry.list, entry.key))), True

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force. One that is withdrawn already stays as it is, and nothing is logged.

        Raises:
            NotFound: no such entry.
        """
        with self._database.writing() as connection:
            known = _found(_look_up(connection, list_name, key))
            if known.status != _IN_FORCE:
                return stored_entry(known)
            seq = self._log_entry(connection, actor=actor, change="withdraw", list_name=list_name, key=key, detail=reason)
            withdraw(connection, _one(known.entry_id), seq=seq)
            count_by(connection, known.list_id, -1)
            return stored_entry(_found(_look_up(connection, list_name, key)))

    def add_key(self, key: ApiKey, digest: str, *, actor: str) -> None:
        """Keep a new key's digest.

        Raises:
            InvalidRequest: a key of this id or digest is there already.
        """
        same = select(api_keys.c.key_id).where((api_keys.c.key_id == key.key_id) | (api_keys.c.digest == digest))
        with self._database.writing() as connection:
            if connection.scalar(same) is not None:
                raise InvalidRequest.at("key_id", "a key of this id is there already; make another")
            seq = next_change(connection, at=self._database.now(), actor=actor, change="key-add", subject=key.key_id)
            connection.execute(
                insert(api_keys).values(
                    key_id=key.key_id,
                    holder=key.holder,
                    role=key.role,
                    note=key.note,
                    digest=digest,
                    created_at=key.created_at,
                    revoked_at=key.revoked_at,
                    seq=seq,
                )
            )

    def revoke_key(self, key_id: str, *, at: float, actor: str) -> None:
        """Revoke a key. One that is revoked already keeps its date, and nothing is logged.

        Raises:
            NotFound: no such key.
        """
        with self._database.writing() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
            if row is None:
                raise NotFound("no key has this id; list the keys to see theirs")
            if row.revoked_at is not None:
                return
            next_change(connection, at=self._database.now(), actor=actor, change="key-revoke", subject=key_id)
            connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(revoked_at=at))

    def close(self) -> None:
        """Give up the connections."""
        self._database.close()

    def _log_entry(
        self, connection: Connection, *, actor: str, change: str, list_name: str, key: str, detail: str = ""
    ) -> int:
        return next_change(
            connection,
            at=self._database.now(),
            actor=actor,
            change=change,
            subject=f"{list_name}/{key}",
            detail=detail,
        )


def _look_up(connection: Connection, list_name: str, key: str) -> Row[Any] | None:
    wanted = ENTRY_WITH_WORDS.where(lists.c.name == list_name, entries.c.key == key)
    return connection.execute(wanted).first()


def _found(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFound("no entry of this list has this key")
    return row


def _one(entry_id: int) -> Any:
    return select(entries.c.entry_id).where(entries.c.entry_id == entry_id)


def _insert(connection: Connection, list_name: str, row: dict[str, Any], *, seq: int) -> None:
    list_id = list_number(connection, list_name)
    place = {"list_id": list_id, "version": 1, "status": _IN_FORCE, "seq": seq}
    entry_id = connection.scalar(insert(entries).values(row | place).returning(entries.c.entry_id))
    assert entry_id is not None  # noqa: S101 - tells mypy; RETURNING always gives a row
    index_tokens(connection, _one(entry_id))
    count_by(connection, list_id, 1)


def _replace(connection: Connection, known: Row[Any], row: dict[str, Any], *, seq: int) -> None:
    which = _one(known.entry_id)
    archive(connection, which)
    forget_tokens(connection, which)
    place = {"version": known.version + 1, "status": _IN_FORCE, "seq": seq}
    connection.execute(update(entries).where(entries.c.entry_id == known.entry_id).values(row | place))
    index_tokens(connection, which)
    if known.status != _IN_FORCE:
        count_by(connection, known.list_id, 1)


def _api_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        holder=row.holder,
        role=row.role,
        note=row.note,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
