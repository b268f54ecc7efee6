"""What can happen to an entry, and to a list as a whole, on SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from portcullis.adapters.sql.registry.bulk import bulk, matching
from portcullis.adapters.sql.registry.database import RegistryDatabase
from portcullis.adapters.sql.registry.entries import keep_wording
from portcullis.adapters.sql.registry.life import bar, find, history, take_step
from portcullis.adapters.sql.registry.policies import present_policy
from portcullis.adapters.sql.registry.proposals import approve_amendment, put, reject_amendment
from portcullis.adapters.sql.registry.rows import EntryWriter, stored_entry, wording_row
from portcullis.adapters.sql.registry.sealing import wrapped_key
from portcullis.adapters.sql.registry.switches import present, switch
from portcullis.adapters.sql.registry.token_keys import noted_keys
from portcullis.adapters.sql.registry.waiting import read_proposal, sealed_proposal, waiting
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import Step, StepNote, check_version, only_bars, single_steps
from portcullis.domain.errors import NotFound
from portcullis.ports import EntryQuery, KnownIdentity, ListSwitch, Matching, PastStep, Proposal, PutOutcome, StoredEntry


class SqlLife:
    """Implements `portcullis.ports.LifeStore` on a registry's database; `SqlRegistry` gives it out as its own.

    Each step is one transaction that holds the write lock, so of two that were decided about one version the later one is
    refused. Any method may raise RegistryUnavailable.
    """

    def __init__(self, database: RegistryDatabase, writer: EntryWriter) -> None:
        self._database = database
        self._writer = writer

    def put(self, entry: Entry, *, note: StepNote, four_eyes: bool, expected_version: int = 0) -> PutOutcome:
        """Add, amend, propose or list an entry again.

        Raises:
            VersionMissed: another version is present.
        """
        with self._database.reading() as connection:
            self._writer.write_with(noted_keys(connection))
        content = self._writer.row(entry)
        with self._database.writing() as connection:
            self._writer.demand_held([wrapped_key(content["sealed"])])
            keep_wording(connection, wording_row(entry))
            changed, pending = put(
                connection,
                entry,
                content,
                note=note,
                at=self._database.now(),
                four_eyes=four_eyes,
                expected=expected_version,
            )
            stored = stored_entry(found(find(connection, entry.list, entry.key)))
            return PutOutcome(entry=stored, changed=changed, pending=pending)

    def step(self, list_name: str, key: str, step: Step, *, note: StepNote, expected_version: int = 0) -> StoredEntry:
        """Take a step other than put, renew and clear, or the two that it is made of.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: the step can't be taken where the entry stands, or no proposal waits.
            SecondPersonRequired: the actor has proposed what is approved.
            VersionMissed: another version is present.
        """
        with self._database.writing() as connection:
            row = found(find(connection, list_name, key))
            check_version(expected_version, row.version)
            for each in single_steps(EntryStatus(row.status), step):
                self._take(connection, row, each, note)
                row = found(find(connection, list_name, key))
            return stored_entry(row)

    def _take(self, connection: Connection, row: Row[Any], step: Step, note: StepNote) -> None:
        at = self._database.now()
        if row.pending and step is Step.APPROVE:
            approve_amendment(connection, row, note=note, at=at)
        elif row.pending and step is Step.REJECT:
            reject_amendment(connection, row, note=note, at=at)
        elif only_bars(step, EntryStatus(row.status), barred=row.barred):
            bar(connection, row, step, note=note, at=at)
        else:
            take_step(connection, row, step, note=note, at=at)

    def proposals(self, list_name: str = "", *, key: str = "", limit: int = 1000) -> Sequence[Proposal]:
        """Give what waits for a second person, oldest first, of one list or of all, of one key or of any."""
        with self._database.reading() as connection:
            found = waiting(connection, list_name, key=key, limit=limit)
        # A key may be held by a service that takes its time; no connection waits for it.
        return [read_proposal(each, self._writer.identity) for each in found]

    def history(self, list_name: str, key: str) -> Sequence[PastStep]:
        """Give every version of an entry in their order.

        Raises:
            NotFound: no such entry.
        """
        with self._database.reading() as connection:
            return history(connection, found(find(connection, list_name, key)).entry_id)

    def identity(self, list_name: str, key: str, *, proposed: bool = False) -> KnownIdentity:
        """Give who an entry is about, or who what waits for a second person is about.

        Raises:
            NotFound: no such entry, or its identity was erased, or nothing of it waits.
        """
        with self._database.reading() as connection:
            row = found(find(connection, list_name, key))
            sealed = sealed_proposal(connection, row) if proposed else row.sealed
        if not sealed:
            raise NotFound("who this entry was about was erased", metadata={"resource": "identity"})
        return self._writer.identity(sealed, list_name=list_name, key=key)

    def matching(self, step: Step, query: EntryQuery, *, actor: str) -> Matching:
        """Find the entries on which ``approve``, ``renew`` or ``release`` can be taken by this actor."""
        with self._database.reading() as connection:
            return matching(connection, step, query, actor=actor)

    def bulk(self, step: Step, query: EntryQuery, *, digest: str, note: StepNote, lapses_at: int = 0) -> int:
        """Take a step on the entries that `matching` has found, all in one change of the log; gives how many.

        Raises:
            PlanChanged: they are others by now.
        """
        with self._database.writing() as connection:
            at = self._database.now()
            return bulk(connection, step, query, digest=digest, note=note, at=at, lapses_at=lapses_at)

    def switch_list(self, list_name: str, *, suspend: bool, note: StepNote) -> ListSwitch:
        """Ask for a list to be suspended or resumed; the second person who asks for the same does it.

        Raises:
            NotFound: the policy in force has no such list.
        """
        with self._database.writing() as connection:
            _known_list(connection, list_name)
            return switch(connection, list_name, suspend=suspend, note=note, at=self._database.now())

    def list_switch(self, list_name: str) -> ListSwitch:
        """Say how a list stands.

        Raises:
            NotFound: the policy in force has no such list.
        """
        with self._database.reading() as connection:
            _known_list(connection, list_name)
            return present(connection, list_name)


def found(row: Row[Any] | None) -> Row[Any]:
    """Have an entry be there.

    Raises:
        NotFound: it is not.
    """
    if row is None:
        raise NotFound("no entry of this list has this key")
    return row


def _known_list(connection: Connection, name: str) -> None:
    if present_policy(connection).list_named(name) is None:
        raise NotFound("the policy in force has no list of this name", metadata={"resource": "list"})
