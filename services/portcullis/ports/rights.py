"""The rights of listed persons, as the registry's store keeps them: cases, settlements, redress numbers, sessions, terms.

They stand in the registry's own database, so that what a case does to its entry happens in one transaction. Each method
that writes is one transaction. Any method blocks, and may raise RegistryUnavailable: then nothing of it is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from portcullis.domain.disputes import Case, CaseState, EntryEffect
from portcullis.domain.entry_life import StepNote
from portcullis.domain.identifiers import Identifier
from portcullis.ports.looks import Look
from portcullis.ports.registry import StoredEntry


class EntryTraces(NamedTuple):
    """What the names are made of by which partners know entries.

    Attributes:
        entries: the number of its list, and its own.
        cases: (list, case reference) that the entries have or had, and no other entry that still says who it is about has.
        partners: everyone that a policy ever had, with the epoch of their present feed key.
    """

    entries: Sequence[tuple[int, int]]
    cases: Collection[tuple[str, str]]
    partners: Mapping[str, int]


class CaseStore(Protocol):
    """The cases. What a change does to the entry happens in the same transaction, as a step of the entry's life."""

    def open_case(self, case: Case, effect: EntryEffect, *, note: StepNote) -> Case:
        """Keep a new case.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: the entry is not listed, or a case of the same kind is open on it already.
        """
        ...

    def keep_case(self, case: Case, effect: EntryEffect | None, *, note: StepNote) -> Case:
        """Keep the next version of a case: ``case.version`` is one more than the present one's.

        Raises:
            NotFound: no such case.
            VersionMissed: another version is present.
        """
        ...

    def case(self, case_id: str) -> Case:
        """Give one case.

        Raises:
            NotFound: no such case.
        """
        ...

    def cases(
        self, *, list_name: str = "", state: CaseState = CaseState.OPEN, after: str = "", limit: int = 100
    ) -> Sequence[Case]:
        """Give cases without steps and evidence, in the order of (decide_by, case_id); ``after`` is the last one's id.

        Raises:
            NotFound: ``after`` is no case.
        """
        ...

    def cases_of(self, entry_ids: Collection[int]) -> Sequence[Case]:
        """Give every case of these entries, oldest first."""
        ...

    def undecided(self, now: float, *, limit: int = 100) -> Sequence[Case]:
        """Give open cases whose time to decide has come (Unix seconds), the oldest first."""
        ...

    def entry_of(self, case_id: str) -> StoredEntry:
        """Give the entry that a case is about.

        Raises:
            NotFound: no such case.
        """
        ...

    def entry_numbered(self, entry_id: int) -> StoredEntry:
        """Give an entry by the registry's number of it.

        Raises:
            NotFound: no such entry.
        """
        ...

    def counted(self) -> Sequence[CaseCount]:
        """Count closed cases by month, list, kind and end; the statistics of a transparency report."""
        ...


class CaseCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many cases of a list ended so in a month ("2026-11", UTC); ``end`` is a Resolution or "LAPSED"."""

    month: str
    list: str
    kind: str
    end: str
    count: int


class WaitingRelease(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is released at ``release_at`` unless its authority objects. Times are Unix seconds."""

    settlement_id: int
    list: str
    key: str
    case_reference: str
    partner: str
    reported_at: float
    release_at: float


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """A case of a list that a partner reported as settled, by the event's id of its own. Times are Unix seconds."""

    list: str
    case_reference: str
    partner: str
    event_id: str
    reported_at: float
    release_at: float


class SettlementStore(Protocol):
    """What partners have reported as settled."""

    def note_settlements(self, settled: Sequence[Settlement]) -> int:
        """Let the listed entries of these cases wait for their release; gives how many of them these events are new to.

        The same event again changes nothing. An entry waits once: the earliest release counts.
        """
        ...

    def waiting(self, list_name: str = "", *, limit: int = 1000) -> Sequence[WaitingRelease]:
        """Give the releases that wait, the soonest first."""
        ...

    def release_due(self, now: float, *, note: StepNote, limit: int = 100) -> int:
        """Release the entries whose time has come, in one transaction; gives how many."""
        ...

    def object_to(self, list_name: str, key: str, *, note: StepNote) -> None:
        """Stop the release of an entry.

        Raises:
            NotFound: no release of this entry waits, or its time has come.
        """
        ...

    def read_up_to(self, journal: str) -> int:
        """Say before which sequence of a journal (its timeline) events were taken over; 0 where none were looked at."""
        ...

    def mark_read(self, journal: str, sequence: int) -> None:
        """Note before which sequence events were taken over; a smaller one changes nothing."""
        ...


class RedressNumber(msgspec.Struct, frozen=True, kw_only=True):
    """A redress number, without itself. Times are Unix seconds; ``clearances`` are the tokens it counts under.

    ``token_epoch`` is the newest token key that they were made with; they were made with all that were held.
    """

    number_id: str
    list: str
    key: str
    issued_by: str
    issued_at: float
    case_id: str
    clearances: tuple[bytes, ...]
    token_epoch: int = 1
    revoked_at: float | None = None


class RedressNumberStore(Protocol):
    """Redress numbers. Their clearances stand in the token index as tokens of the entry, a new version each time."""

    def issue_number(self, number: RedressNumber, *, note: StepNote) -> StoredEntry:
        """Keep a number and index its clearances.

        Raises:
            NotFound: no such entry, or no such case.
            StepNotAllowed: the entry is not listed.
        """
        ...

    def revoke_number(self, number_id: str, *, note: StepNote) -> None:
        """End a number and take its clearances out of the index; one that has ended already stays so.

        Raises:
            NotFound: no such number.
        """
        ...

    def number(self, number_id: str) -> RedressNumber:
        """Give one number by its id.

        Raises:
            NotFound: no such number.
        """
        ...

    def numbers(self, list_name: str, key: str) -> Sequence[RedressNumber]:
        """Give the numbers of an entry, oldest first."""
        ...


class SubjectSession(msgspec.Struct, frozen=True, kw_only=True):
    """A subject who has proved who they are; ``tokens`` are those of their identifier. ``expires_at`` is Unix seconds."""

    handle: str
    tokens: tuple[bytes, ...]
    expires_at: float


class SubjectStore(Protocol):
    """Codes and sessions of subjects, and what the registry keeps about one. No identifier stands here."""

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
        """Keep the digest of a code for whoever holds an identifier of these tokens; an earlier one of them ends.

        So does one of each of the ``former`` tokens, which the identifier has by other keys.
        """
        ...

    def use_code(self, digest: str, tokens: Sequence[bytes], *, now: float) -> bool:
        """Use a code up: True once, where it fits and has not ended. A wrong one costs one of the tries; 0 ends it."""
        ...

    def keep_session(self, digest: str, session: SubjectSession) -> None:
        """Keep a session under the digest of its credential."""
        ...

    def session(self, digest: str, *, now: float) -> SubjectSession | None:
        """Give a session that has not ended; None where there is none."""
        ...

    def entries_of(self, tokens: Collection[bytes]) -> Sequence[StoredEntry]:
        """Give every entry that names the holder of these tokens, listed or not, in the order of entry_id."""
        ...

    def tokens_of(self, list_name: str, key: str) -> Sequence[bytes]:
        """Give the tokens that an entry is found by, clearances left out.

        Raises:
            NotFound: no such entry.
        """
        ...

    def ever_tokens_of(self, list_name: str, key: str) -> Collection[bytes]:
        """Give the tokens that an entry is or ever was found by, clearances left out.

        Raises:
            NotFound: no such entry.
        """
        ...

    def looks_at(self, entry_ids: Collection[int]) -> Mapping[int, Sequence[Look]]:
        """Give the looks at each of these entries."""
        ...

    def ended_of(self, tokens: Collection[bytes]) -> tuple[Sequence[int], int]:
        """Give the entries that `erase_of` would erase, and how many it would keep."""
        ...

    def erase_of(self, tokens: Collection[bytes], *, note: StepNote, only: Collection[int] | None = None) -> tuple[int, int]:
        """Destroy who the entries of these tokens are about, where they are not listed or have ended; gives (erased, kept).

        All versions, cases and sessions of the entry lose it; that there was an entry, its steps and counts stay. With
        ``only``, an entry whose number is not among those is kept, though it may have ended meanwhile.
        """
        ...

    def traces_of(self, entry_ids: Collection[int]) -> EntryTraces:
        """Give by what partners know these entries. It can be told as well after they were erased."""
        ...


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """How many records of one kind were removed by age; ``list`` is "" where the kind belongs to none."""

    list: str
    kind: str
    count: int


class RetentionStore(Protocol):
    """What is removed by age. With ``dry_run`` nothing is, and the counts are the same."""

    def old_identities(self, list_name: str, before: float) -> Sequence[int]:
        """Give the entries that left the list, or ended, before a time (Unix seconds), and still say who they are about."""
        ...

    def forget_identities(self, list_name: str, before: float, entry_ids: Collection[int], *, note: StepNote) -> int:
        """Destroy who these entries are about, as far as `old_identities` still gives them; gives how many.

        It is one transaction, in which nobody else can write: 2,000 entries take about a second.
        """
        ...

    def forget_looks(self, list_name: str, before: float, *, dry_run: bool) -> int:
        """Delete the looks at a list's entries from before a time; gives how many."""
        ...

    def forget_sessions(self, before: float, *, dry_run: bool) -> int:
        """Delete codes and sessions that ended before a time; gives how many."""
        ...


class RightsStore(CaseStore, SettlementStore, RedressNumberStore, SubjectStore, RetentionStore, Protocol):
    """All of them: one database."""


class SubjectVerifier(Protocol):
    """Proves who a subject is. The embedded one takes the codes that operators issue; others may ask a register."""

    def verify(self, identifier: Identifier, proof: str) -> Sequence[bytes]:
        """Give the tokens of the identifier that is proved.

        Raises:
            Unauthenticated: the proof does not hold; which part of it is not told.
            RegistryUnavailable: it can't be looked up.
        """
        ...
