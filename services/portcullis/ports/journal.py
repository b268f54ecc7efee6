"""The journal: the tamper-evident record of decisions and events, and the spool that decisions wait in.

A gateway puts a decision into its host's spool, which is durable; a shipper carries it from there into the journal. What
partners report goes into the journal at once. All of it has a place in one log, in the order of commits, without gaps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from portcullis.domain.errors import EventConflict, PortcullisError
from portcullis.domain.shared_events import EventKind, KnownDecision, SharedEvent
from portcullis.ports.looks import Look


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

    def __repr__(self) -> str:
        return f"RecordedReason(list={self.list!r})"


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The durable record of one decision that gave a reason. ``tokens`` stand for the identifiers, in hexadecimal.

    ``decided_at`` is Unix seconds. ``attributes`` are those that the conditions of the action look at. ``registry_seq`` is
    the registry's change that the snapshot includes up to, and ``stale`` names the lists that were past their greatest
    age: with them the decision can be made again (`portcullis.exchange.replaying`). ``cleared`` are the ids of the entries
    that a redress number took away, which therefore gave no reason.
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
    registry_seq: int
    stale: tuple[str, ...]
    partner_reference: str
    tokens: tuple[str, ...]
    attributes: dict[str, str | int | float | bool]
    reasons: tuple[RecordedReason, ...]
    cleared: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"DecisionRecord(outcome={self.outcome!r})"


class DecisionSpool(Protocol):
    """A gateway's side of the spool. What ``append`` has returned for is on this host's disk."""

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Make records durable; concurrent calls share one commit.

        Raises:
            RecordUnavailable: they are not durable, and the decisions must not be given.
        """
        ...

    def close(self) -> None:
        """Write what is waiting, then give up the files."""
        ...


class Spooled(NamedTuple):
    """Records that were read from the spool; ``mark`` says how far, for `SpoolReader.release`."""

    records: Sequence[DecisionRecord]
    mark: object


class Backlog(NamedTuple):
    """What waits in the spool: how many bytes of records, and since when (Unix seconds) the oldest; None when none does."""

    waiting_bytes: int
    oldest_at: float | None


class SpoolReader(Protocol):
    """The shipper's side of a host's spool. Every method blocks on the disk."""

    def read(self, limit: int) -> Spooled:
        """Give the next records that were neither released nor read by this reader before, ``limit`` at most; none is empty.

        Raises:
            OSError: the disk refused.
        """
        ...

    def release(self, mark: object) -> None:
        """Let go of what was read up to a mark, because it is in the journal."""
        ...

    def backlog(self) -> Backlog:
        """Say what waits."""
        ...

    def close(self) -> None:
        """Give up the files; what was not released is read again by the next reader."""
        ...


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Where an event stands in the log. ``entry_hash`` is its leaf's; ``recorded_at_ms`` Unix milliseconds."""

    event_id: str
    sequence: int
    recorded_at_ms: int
    entry_hash: bytes


class StoredCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed checkpoint (`portcullis.domain.checkpoints`). ``signed_at`` is Unix seconds."""

    size: int
    root: bytes
    signed_at: float
    note: str


class StoredDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision in the journal, and its place. ``record`` is None once the subject's key was erased."""

    sequence: int
    decision_id: str
    partner: str
    record: DecisionRecord | None


class JournalEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event in the journal, and its place. ``event`` is None once its key was erased."""

    sequence: int
    partner: str
    recorded_at: float
    event: SharedEvent | None


class EventsRead(NamedTuple):
    """Events, and the last sequence that was looked at for them."""

    events: Sequence[JournalEvent]
    up_to: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A decision made again. ``differences`` name what is another; empty when the answer is the same."""

    outcome: str
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the answer is the recorded one."""
        return not self.differences


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did: how many keys are gone, and how many decisions mention one of the tokens under another's key."""

    keys: int
    left: int


class ReportedBy(msgspec.Struct, frozen=True, kw_only=True):
    """By what partners report about an entry where they name no decision.

    Attributes:
        cases: (list, the authority's case reference).
        subjects: the entry as each partner knows it (`portcullis.domain.subjects`).
    """

    cases: Collection[tuple[str, str]] = ()
    subjects: Collection[str] = ()


NOTHING_REPORTED: Final = ReportedBy()


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """How many decisions there were of one kind in a month ("2026-11", UTC); dry runs are not among them."""

    month: str
    list: str
    action: str
    partner: str
    outcome: str
    count: int


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of one kind were reported in a month ("2026-11", UTC); ``code`` as in SharedEvent."""

    month: str
    list: str
    partner: str
    kind: str
    code: str
    count: int


class LogHead(NamedTuple):
    """The row that says how long the log is; ``frontier`` as `portcullis.domain.merkle.Frontier.to_bytes` gives it."""

    size: int
    frontier: bytes


AgreedLists = Mapping[EventKind, Collection[str]]
"""The lists that a partner may report each kind of event about; none where a kind is missing."""


class LogReader(Protocol):
    """The log as whoever proves or verifies it reads it. Any method blocks, and may raise JournalUnavailable."""

    def origin(self) -> str:
        """Give the log's own name, which its checkpoints carry; made at random with the log."""
        ...

    def timeline(self) -> str:
        """Name the log as those know it who keep places in it (`portcullis.domain.timelines`).

        That is its origin until a backup was restored, and another name from each restore on.
        """
        ...

    def size(self) -> int:
        """Give how many entries the log has."""
        ...

    def head(self) -> LogHead | None:
        """Give the head as it is stored; None where it is missing, as it is before the first entry."""
        ...

    def leaf_hashes(self, begin: int, end: int) -> Sequence[bytes]:
        """Give the leaf hashes in [begin, end) as they are stored; fewer where the log is shorter or has a gap."""
        ...

    def tile_hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """Give the hashes of whole subtrees of 256 ** level leaves, of the numbers in [begin, end); ``level`` from 1."""
        ...

    def entries(self, begin: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Give (sequence, stored leaf hash, entry) from a sequence on, ascending, in bounded memory."""
        ...

    def index_faults(self) -> Iterator[str]:
        """Compare what was derived from the entries with them.

        Gives one line for each difference, which names the table and the sequence, never a person.
        """
        ...

    def checkpoint(self, size: int = 0) -> StoredCheckpoint | None:
        """Give the checkpoint of a size, 0 for the newest; None where none was signed."""
        ...

    def checkpoints_from(self, size: int) -> Iterator[StoredCheckpoint]:
        """Give the checkpoints from a size on, ascending, in bounded memory."""
        ...


class Journal(LogReader, Protocol):
    """The journal. What a method that writes has returned for is on the disk. Any method may raise JournalUnavailable."""

    def record_decisions(self, records: Sequence[DecisionRecord]) -> int:
        """Take decisions in their order; those whose decision_id is there already are left out. Gives how many were new."""
        ...

    async def record_events(
        self, partner: str, events: Sequence[SharedEvent], agreed: AgreedLists | None = None
    ) -> Sequence[Receipt | PortcullisError]:
        """Take a partner's events in their order; concurrent calls share one commit.

        An event that was taken before gives its first receipt again; one that may not be taken gives its error in its place:
        EventConflict, or for an event that names a decision what `portcullis.domain.event_rules.match_decision` says by the
        lists agreed (None when the agreements are not asked).
        """
        ...

    def answers_before(self, partner: str, events: Sequence[SharedEvent]) -> Sequence[Receipt | EventConflict | None]:
        """Give for each event its first receipt where it was taken before, EventConflict where another of its id was.

        None stands for what was not. Nothing is asked of the event but that: rules change, and a receipt is for good.
        """
        ...

    def receipt(self, partner: str, event_id: str) -> Receipt:
        """Give an event's receipt.

        Raises:
            NotFound: this partner has reported no such event.
        """
        ...

    def known_decision(self, decision_id: str) -> KnownDecision | None:
        """Give what the journal knows of a decision."""
        ...

    def decision(self, decision_id: str, *, actor: str, purpose: str) -> StoredDecision:
        """Give one decision, and note durably who looked at it and why.

        Raises:
            NotFound: no such decision.
        """
        ...

    def decisions_of(
        self, tokens: Collection[bytes], *, actor: str, purpose: str, about: tuple[str, int] | None = None
    ) -> Sequence[StoredDecision]:
        """Give every decision that asked about the holder of one of these tokens, in the order of their times.

        ``about`` narrows it to those with a reason of this list and entry that was not in shadow. Who looked and why is
        noted durably beside each that is given, before. Those whose key was erased are left out.
        """
        ...

    def looks_at(self, decision_ids: Collection[str]) -> Mapping[str, Sequence[Look]]:
        """Give the looks at each of these decisions in their order."""
        ...

    def events_after(self, sequence: int, wanted: Mapping[EventKind, Collection[str] | None], *, limit: int) -> EventsRead:
        """Give the events of some kinds that stand after a sequence, in their order, and how far that was read.

        ``wanted`` has the lists that events of a kind must name, or None for whatever they name.
        ``sequence`` is -1 for the beginning, since the first entry of the log has 0. ``EventsRead.up_to`` is the last
        sequence looked at, so that a reader who goes on from there misses nothing.
        """
        ...

    def entries_of_decision(self, decision_id: str) -> Sequence[tuple[str, int]]:
        """Give (list, entry_id) of each entry that gave a decision a reason, those in shadow left out; no look is noted.

        For what follows from an event by itself. None where there is no such decision, or its key was erased.
        """
        ...

    def erase_quiet(self, before: Mapping[str, float], *, actor: str, dry_run: bool) -> int:
        """Destroy the keys of the subjects about whom nothing was decided since a time; gives how many.

        ``before`` has that time (Unix seconds) for each list, and under "" for every other one. Where several lists have
        given a subject's decisions reasons, the earliest of their times counts. With ``dry_run`` nothing is destroyed. The
        log tells when and by whom, and verifies as before.
        """
        ...

    def looks(self, decision_id: str) -> Sequence[Look]:
        """Give the looks at one decision in their order."""
        ...

    def erase(
        self, tokens: Sequence[bytes], *, actor: str, purpose: str, reported: ReportedBy = NOTHING_REPORTED
    ) -> Erasure:
        """Destroy the keys of these tokens, and what finds decisions by them; the log tells when and by whom.

        With them, in the same entry of the log, go the keys of what was ``reported`` without a decision. Without tokens
        nothing is done.
        """
        ...

    def erase_reports(self, reported: ReportedBy, *, actor: str, purpose: str, dry_run: bool = False) -> int:
        """Destroy the keys of what partners have reported without a decision; gives how many.

        Where there is none, the log is told nothing. With ``dry_run`` nothing is destroyed.
        """
        ...

    def keep_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint; one of the same size stays as it is."""
        ...

    def root(self, size: int) -> bytes:
        """Give the root of the log as it had a size, from the stored hashes."""
        ...

    def refusals(self) -> Sequence[Refusals]:
        """Count decisions that gave an outcome other than ALLOW, ascending by every field."""
        ...

    def reported(self) -> Sequence[Reported]:
        """Count events, ascending by every field."""
        ...

    def close(self) -> None:
        """Write what is waiting, then give up the database."""
        ...
