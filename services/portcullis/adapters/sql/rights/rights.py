"""The rights of listed persons on SQL: in the registry's own database, so that a case and its entry change together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection

from portcullis.adapters.sql.registry.database import RegistryDatabase
from portcullis.adapters.sql.registry.life import find_numbered
from portcullis.adapters.sql.registry.rows import stored_entry
from portcullis.adapters.sql.rights import cases as rights_cases
from portcullis.adapters.sql.rights import numbers as rights_numbers
from portcullis.adapters.sql.rights import retention as rights_retention
from portcullis.adapters.sql.rights import settlements as rights_settlements
from portcullis.adapters.sql.rights import subjects as rights_subjects
from portcullis.adapters.sql.rights import traces as rights_traces
from portcullis.domain.disputes import Case, CaseState, EntryEffect
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import NotFound
from portcullis.ports import (
    CaseCount,
    Clock,
    EntryTraces,
    Look,
    RedressNumber,
    Settlement,
    StoredEntry,
    SubjectSession,
    WaitingRelease,
)


class SqlRights:
    """Cases, settlements, redress numbers, sessions and terms in a registry that is migrated already.

    Implements `portcullis.ports.RightsStore`; safe for threads. Any method blocks on the database, and raises
    RegistryUnavailable when it can't be used: then nothing of the change is there.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``, the registry's.
        clock: dates the change log.

    Raises:
        SetupFault: the URL can't be used.
    """

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._database = RegistryDatabase(url, clock=clock)

    def close(self) -> None:
        """Give up the connections."""
        self._database.close()

    # --- cases ----------------------------------------------------------------------------------------------------------

    def open_case(self, case: Case, effect: EntryEffect, *, note: StepNote) -> Case:
        """Keep a new case.

        Raises:
            NotFound: the list has no such entry.
            StepNotAllowed: the entry is not listed, or a case of the same kind is open on it already.
        """
        with self._database.writing() as connection:
            return rights_cases.open_case(connection, case, effect, note=note, at=self._database.now())

    def keep_case(self, case: Case, effect: EntryEffect | None, *, note: StepNote) -> Case:
        """Keep the next version of a case, which holds all its steps and evidence.

        Raises:
            NotFound: no such case.
            VersionMissed: another version is present.
        """
        with self._database.writing() as connection:
            return rights_cases.keep_case(connection, case, effect, note=note, at=self._database.now())

    def case(self, case_id: str) -> Case:
        """Give one case.

        Raises:
            NotFound: no such case.
        """
        with self._database.reading() as connection:
            return rights_cases.find_case(connection, case_id)

    def cases(
        self, *, list_name: str = "", state: CaseState = CaseState.OPEN, after: str = "", limit: int = 100
    ) -> Sequence[Case]:
        """Give a page of cases without steps and evidence, in the order of (decide_by, case_id).

        Raises:
            NotFound: ``after`` is no case.
        """
        with self._database.reading() as connection:
            return rights_cases.list_cases(connection, list_name=list_name, state=state, after=after, limit=limit)

    def cases_of(self, entry_ids: Collection[int]) -> Sequence[Case]:
        """Give every case of these entries, oldest first."""
        with self._database.reading() as connection:
            return rights_cases.cases_of(connection, entry_ids)

    def undecided(self, now: float, *, limit: int = 100) -> Sequence[Case]:
        """Give open cases whose time to decide has come (Unix seconds), the oldest first."""
        with self._database.reading() as connection:
            return rights_cases.undecided(connection, now, limit=limit)

    def entry_of(self, case_id: str) -> StoredEntry:
        """Give the entry that a case is about.

        Raises:
            NotFound: no such case.
        """
        with self._database.reading() as connection:
            return _entry(connection, rights_cases.entry_of(connection, case_id))

    def entry_numbered(self, entry_id: int) -> StoredEntry:
        """Give an entry by the registry's number of it.

        Raises:
            NotFound: no such entry.
        """
        with self._database.reading() as connection:
            return _entry(connection, entry_id)

    def counted(self) -> Sequence[CaseCount]:
        """Count closed cases by month, list, kind and end."""
        with self._database.reading() as connection:
            return rights_cases.count_closed(connection)

    # --- settlements ----------------------------------------------------------------------------------------------------

    def note_settlements(self, settled: Sequence[Settlement]) -> int:
        """Let the listed entries of these cases wait for their release; gives how many of them these events are new to.

        Holds nobody up where none of the cases has an entry.
        """
        with self._database.reading() as connection:
            if not rights_settlements.settled_entries(connection, settled):
                return 0
        with self._database.writing() as connection:
            return rights_settlements.note_settlements(connection, settled)

    def waiting(self, list_name: str = "", *, limit: int = 1000) -> Sequence[WaitingRelease]:
        """Give the releases that wait, the soonest first."""
        with self._database.reading() as connection:
            return rights_settlements.waiting(connection, list_name, limit=limit)

    def release_due(self, now: float, *, note: StepNote, limit: int = 100) -> int:
        """Release the entries whose time has come, in one transaction; gives how many. Holds nobody up when none has."""
        with self._database.reading() as connection:
            if not rights_settlements.is_due(connection, now):
                return 0
        with self._database.writing() as connection:
            return rights_settlements.release_due(connection, now, note=note, limit=limit, at=self._database.now())

    def object_to(self, list_name: str, key: str, *, note: StepNote) -> None:
        """Stop the release of an entry.

        Raises:
            NotFound: no release of this entry waits.
        """
        with self._database.writing() as connection:
            rights_settlements.object_to(connection, list_name, key, note=note, at=self._database.now())

    def read_up_to(self, journal: str) -> int:
        """Say before which sequence of a journal events were taken over; 0 where none were looked at."""
        with self._database.reading() as connection:
            return rights_settlements.read_up_to(connection, journal)

    def mark_read(self, journal: str, sequence: int) -> None:
        """Note before which sequence events were taken over; a smaller one changes nothing."""
        with self._database.writing() as connection:
            rights_settlements.mark_read(connection, journal, sequence)

    # --- redress numbers ------------------------------------------------------------------------------------------------

    def issue_number(self, number: RedressNumber, *, note: StepNote) -> StoredEntry:
        """Keep a number and index its clearances.

        Raises:
            NotFound: no such entry, or no such case.
            StepNotAllowed: the entry is not listed.
        """
        with self._database.writing() as connection:
            return rights_numbers.issue_number(connection, number, note=note, at=self._database.now())

    def revoke_number(self, number_id: str, *, note: StepNote) -> None:
        """End a number and take its clearances out of the index; one that has ended already stays so.

        Raises:
            NotFound: no such number.
        """
        with self._database.writing() as connection:
            rights_numbers.revoke_number(connection, number_id, note=note, at=self._database.now())

    def number(self, number_id: str) -> RedressNumber:
        """Give one number by its id.

        Raises:
            NotFound: no such number.
        """
        with self._database.reading() as connection:
            return rights_numbers.number(connection, number_id)

    def numbers(self, list_name: str, key: str) -> Sequence[RedressNumber]:
        """Give the numbers of an entry, oldest first."""
        with self._database.reading() as connection:
            return rights_numbers.numbers(connection, list_name, key)

    # --- subjects -------------------------------------------------------------------------------------------------------

    def keep_code(
        self,
        digest: str,
        tokens: Sequence[bytes],
        *,
        former: Collection[bytes] = (),
        expires_at: float,
        tries: int,
        note: StepNote,
    ) -> None:
        """Keep the digest of a code for whoever holds an identifier of exactly these tokens; an earlier one ends.

        So does one of each of the ``former`` tokens, which the identifier has by other keys.
        """
        with self._database.writing() as connection:
            rights_subjects.end_codes(connection, former)
            rights_subjects.keep_code(
                connection, digest, tokens, expires_at=expires_at, tries=tries, note=note, at=self._database.now()
            )

    def use_code(self, digest: str, tokens: Sequence[bytes], *, now: float) -> bool:
        """Use a code up: True once, where it fits and has not ended. The try is on the disk when this returns."""
        with self._database.noting() as connection:
            return rights_subjects.use_code(connection, digest, tokens, now=now)

    def keep_session(self, digest: str, session: SubjectSession) -> None:
        """Keep a session under the digest of its credential."""
        with self._database.noting() as connection:
            rights_subjects.keep_session(connection, digest, session)

    def session(self, digest: str, *, now: float) -> SubjectSession | None:
        """Give a session that has not ended; None where there is none."""
        with self._database.reading() as connection:
            return rights_subjects.find_session(connection, digest, now=now)

    def entries_of(self, tokens: Collection[bytes]) -> Sequence[StoredEntry]:
        """Give every entry that names the holder of these tokens, listed or not, in the order of entry_id."""
        with self._database.reading() as connection:
            return rights_subjects.entries_of(connection, tokens)

    def tokens_of(self, list_name: str, key: str) -> Sequence[bytes]:
        """Give the tokens that an entry is found by, clearances left out.

        Raises:
            NotFound: no such entry.
        """
        with self._database.reading() as connection:
            return rights_subjects.tokens_of(connection, list_name, key)

    def ever_tokens_of(self, list_name: str, key: str) -> Collection[bytes]:
        """Give the tokens that an entry is or ever was found by, clearances left out.

        Raises:
            NotFound: no such entry.
        """
        with self._database.reading() as connection:
            return rights_subjects.ever_tokens_of(connection, list_name, key)

    def looks_at(self, entry_ids: Collection[int]) -> Mapping[int, Sequence[Look]]:
        """Give the looks at each of these entries in their order."""
        with self._database.reading() as connection:
            return rights_subjects.looks_at(connection, entry_ids)

    def ended_of(self, tokens: Collection[bytes]) -> tuple[Sequence[int], int]:
        """Give the entries that `erase_of` would erase, and how many it would keep."""
        with self._database.reading() as connection:
            return rights_retention.ended_of(connection, tokens, at=self._database.now())

    def traces_of(self, entry_ids: Collection[int]) -> EntryTraces:
        """Give by what partners know these entries."""
        with self._database.reading() as connection:
            return rights_traces.traces_of(connection, entry_ids)

    def erase_of(self, tokens: Collection[bytes], *, note: StepNote, only: Collection[int] | None = None) -> tuple[int, int]:
        """Destroy who the entries of these tokens are about, where they are not listed; gives (erased, kept)."""
        with self._database.writing() as connection:
            erased, kept = rights_retention.erase_of(connection, tokens, only=only, note=note, at=self._database.now())
        if erased:
            self._database.forget_deleted()
        return erased, kept

    # --- terms ----------------------------------------------------------------------------------------------------------

    def old_identities(self, list_name: str, before: float) -> Sequence[int]:
        """Give the entries that left the list, or ended, before a time (Unix seconds), and still say who they are about."""
        with self._database.reading() as connection:
            return rights_retention.old_identities(connection, list_name, before)

    def forget_identities(self, list_name: str, before: float, entry_ids: Collection[int], *, note: StepNote) -> int:
        """Destroy who these entries are about, as far as `old_identities` still gives them; gives how many."""
        with self._database.writing() as connection:
            forgotten = rights_retention.forget_identities(
                connection, list_name, before, sorted(entry_ids), note=note, at=self._database.now()
            )
        self._database.forget_deleted()
        return forgotten

    def forget_looks(self, list_name: str, before: float, *, dry_run: bool) -> int:
        """Delete the looks at a list's entries from before a time; gives how many."""
        if dry_run:
            with self._database.reading() as connection:
                return rights_retention.count_looks(connection, list_name, before)
        with self._database.noting() as connection:
            return rights_retention.forget_looks(connection, list_name, before)

    def forget_sessions(self, before: float, *, dry_run: bool) -> int:
        """Delete codes and sessions that ended before a time; gives how many."""
        if dry_run:
            with self._database.reading() as connection:
                return rights_retention.count_sessions(connection, before)
        with self._database.noting() as connection:
            return rights_retention.forget_sessions(connection, before)


def _entry(connection: Connection, entry_id: int) -> StoredEntry:
    row = find_numbered(connection, entry_id)
    if row is None:
        raise NotFound("no entry has this number")
    return stored_entry(row)
