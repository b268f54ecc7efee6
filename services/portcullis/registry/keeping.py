"""The keeper: does what falls due in the registry by itself.

The rules:

1. Every turn it notes disputes that were not decided in time, releases what waits no longer after a settlement, and takes
   over partners' reports (`portcullis.registry.settling`). Once a day it removes what is no longer kept. Once a minute it
   counts open cases, and those whose source should have been told.
2. None of it is needed for a check to be right: an entry that has ended by the clock binds nobody, with or without the
   keeper. What it adds is the formal end: a line in the history, an event to partners.
3. Each of its chores is done once, however many keepers run, and goes on where a killed one was. What somebody else has done
   meanwhile is done.
4. No fault ends the loop, and none of one chore keeps the others. Each is counted at every try, and logged when it begins
   and when it is over.

Example: a dispute had to be decided by noon, and the journal's database is down. At noon checks allow. Within a second the
keeper has released the entry, and goes on to count that it can't take over reports.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from portcullis.domain import dispute_rules as rules
from portcullis.domain.disputes import Case, CaseState
from portcullis.domain.entry_life import ReleaseGround, StepNote
from portcullis.domain.errors import JournalUnavailable, NotFound, RegistryUnavailable, StepNotAllowed, VersionMissed
from portcullis.ports import AftermathDesk, Clock, Removed, RightsStore
from portcullis.registry.settling import KEEPER, PartnerReports

REPORTS_FOR_S: Final = 0.02
"""How long a turn takes over reports, in seconds."""
RETAINED_EVERY_S: Final = 86_400.0
"""How often what is no longer kept is removed, in seconds."""
COUNTED_EVERY_S: Final = 60.0
"""How often open cases are counted, in seconds."""

_PAGE: Final = 100
_COUNTED_AT_ONCE: Final = 1_000
_LONGEST_PAUSE_S: Final = 5.0

_log = structlog.get_logger("portcullis.registry")


class KeeperCounts(Protocol):
    """Where the keeper's work is counted."""

    def lapsed(self, disputes: int) -> None:
        """Count disputes that were not decided in time."""
        ...

    def released(self, entries: int) -> None:
        """Count entries that were released after a settlement."""
        ...

    def taken_over(self, events: int) -> None:
        """Count partners' reports that were taken over."""
        ...

    def removed(self, what: Sequence[Removed]) -> None:
        """Count records that were removed by age."""
        ...

    def open_cases(self, cases: Mapping[str, int], overdue: Mapping[str, int]) -> None:
        """Note how many cases are open by list, and of how many the source should have been told."""
        ...

    def failed(self, chore: str, part: str) -> None:
        """Count a failed try of a chore by the part that failed: registry, journal or other."""
        ...


class Keeper:
    """Keeps one registry.

    Args:
        rights: the cases and the releases that wait.
        reports: what takes over partners' events.
        aftermath: removes what is no longer kept.
        clock: wall time ends terms, monotonic time says when a chore is due.
        metrics: where its work is counted.
    """

    def __init__(
        self, rights: RightsStore, reports: PartnerReports, aftermath: AftermathDesk, *, clock: Clock, metrics: KeeperCounts
    ) -> None:
        self._rights = rights
        self._reports = reports
        self._aftermath = aftermath
        self._clock = clock
        self._counts = metrics
        self._stop = threading.Event()
        self._faults: dict[str, str] = {}
        self._done_at: dict[str, float] = {}

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Keep until told to stop, looking every ``interval_s`` seconds; less often while anything fails."""
        self._stop = stop
        failures = 0
        while not stop.is_set():
            failures = 0 if self.turn() else failures + 1
            stop.wait(min(_LONGEST_PAUSE_S, interval_s * 2 ** min(failures, 10)) if failures else interval_s)

    def turn(self) -> bool:
        """Do all that is due once; True where nothing failed."""
        done = [
            self._try("lapse", self.lapse_undecided),
            self._try("release", self.release_settled),
            self._try("reports", self.take_over_reports),
            self._in_turn("count", COUNTED_EVERY_S, self.count_cases),
            self._in_turn("retention", RETAINED_EVERY_S, self.retain),
        ]
        return all(done)

    def lapse_undecided(self) -> int:
        """Note every dispute that was not decided in time, which releases its entry; gives how many.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        lapsed = 0
        while not self._stop.is_set() and (page := self._rights.undecided(self._clock.now(), limit=_PAGE)):
            noted = sum(self._lapse(case) for case in page)
            lapsed += noted
            if not noted:
                # Others are at it; what is left is looked at again in the next turn.
                break
        return lapsed

    def release_settled(self) -> int:
        """Release the entries that nobody has objected to in time after a settlement; gives how many.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        note = StepNote(actor=KEEPER, why="settled, and nobody objected in time", ground=ReleaseGround.SETTLED)
        released = 0
        while not self._stop.is_set() and (gone := self._rights.release_due(self._clock.now(), note=note, limit=_PAGE)):
            released += gone
            self._counts.released(gone)
        return released

    def take_over_reports(self) -> int:
        """Take over reports of partners, for a fiftieth of a second at a time; gives how many.

        Raises:
            RegistryUnavailable, JournalUnavailable: a database can't be used.
        """
        taken, until = 0, self._clock.monotonic() + REPORTS_FOR_S
        while not self._stop.is_set() and (page := self._reports.take_over()):
            taken += page
            self._counts.taken_over(page)
            # What follows from a report waits for days: while partners report thousands a second, their receipts go first.
            if self._clock.monotonic() >= until:
                break
        return taken

    def count_cases(self) -> None:
        """Count open cases, and those whose source should have been told.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        now, after = self._clock.now(), ""
        cases: Counter[str] = Counter()
        overdue: Counter[str] = Counter()
        while page := self._rights.cases(state=CaseState.OPEN, after=after, limit=_COUNTED_AT_ONCE):
            cases.update(case.list for case in page)
            overdue.update(case.list for case in page if rules.is_source_overdue(case, now))
            after = page[-1].case_id
        self._counts.open_cases(cases, overdue)

    def retain(self) -> None:
        """Remove what is no longer kept.

        Raises:
            RegistryUnavailable, JournalUnavailable: a database can't be used.
        """
        removed = [each for each in self._aftermath.retain(actor=KEEPER, dry_run=False) if each.count]
        self._counts.removed(removed)
        for each in removed:
            _log.info("removed what is no longer kept", list=each.list, kind=each.kind, count=each.count)

    def _lapse(self, case: Case) -> bool:
        try:
            after, effect = rules.lapse(case, actor=KEEPER, now=self._clock.now())
            self._rights.keep_case(after, effect, note=StepNote(actor=KEEPER, why=f"dispute {case.case_id} was not decided"))
        except (NotFound, StepNotAllowed, VersionMissed):
            # Rule 3: somebody else was faster.
            return False
        self._counts.lapsed(1)
        return True

    def _in_turn(self, chore: str, every_s: float, do: Callable[[], object]) -> bool:
        now, last = self._clock.monotonic(), self._done_at.get(chore)
        if last is not None and now - last < every_s:
            return True
        if not self._try(chore, do):
            return False
        self._done_at[chore] = now
        return True

    def _try(self, chore: str, do: Callable[[], object]) -> bool:
        try:
            do()
        except RegistryUnavailable:
            self._note_fault(chore, "registry")
        except JournalUnavailable:
            self._note_fault(chore, "journal")
        except Exception as fault:  # noqa: BLE001 - rule 4
            # The class alone: a message may quote what was read.
            self._note_fault(chore, "other", kind=type(fault).__name__)
        else:
            if part := self._faults.pop(chore, ""):
                _log.info("the keeper's chore is done again", chore=chore, part_that_failed=part)
            return True
        return False

    def _note_fault(self, chore: str, part: str, **details: str) -> None:
        self._counts.failed(chore, part)
        if part != self._faults.get(chore):
            _log.error("the keeper's chore can't be done; it is tried again", chore=chore, part_that_failed=part, **details)
            self._faults[chore] = part
