"""What the life of entries comes to, in plain words: a dict of entries, the steps of each, and a counter of changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from portcullis.domain.disputes import Case, EntryEffect
from portcullis.domain.entries import Entry
from portcullis.ports import ImportCounts

Name = tuple[str, str]
"""A list and a key."""

LISTED = ("in-force", "stayed")
LEADS = {
    "proposed": {"approve": "in-force", "put": "proposed", "reject": "rejected"},
    "in-force": {
        "clear": "in-force",
        "put": "in-force",
        "release": "released",
        "renew": "in-force",
        "stay": "stayed",
        "withdraw": "withdrawn",
    },
    "stayed": {
        "clear": "stayed",
        "lift": "in-force",
        "put": "stayed",
        "release": "released",
        "renew": "stayed",
        "withdraw": "withdrawn",
    },
    "released": {"put": "in-force", "retract": "withdrawn-in-error"},
    "withdrawn": {"put": "in-force", "retract": "withdrawn-in-error"},
    "withdrawn-in-error": {"put": "in-force"},
    "rejected": {"put": "in-force"},
}


@dataclass
class Known:
    """One entry. ``steps`` are (word, status afterwards, who, when it would end), one for each version."""

    entry: Entry
    status: str
    lapses_at: int
    barred: bool = False
    waiting: Entry | None = None
    proposer: str = ""
    proposed_by_change: int = 0
    decide_by: int = 0
    case: Case | None = None
    steps: list[tuple[str, str, str, int]] = field(default_factory=list)

    @property
    def ends(self) -> int:
        return min(self.entry.until, self.lapses_at or self.entry.until, self.decide_by or self.entry.until)

    @property
    def legal(self) -> list[str]:
        """The steps that can be taken, in the order of their names."""
        return sorted({*LEADS[self.status], *(("approve", "reject") if self.waiting else ())})

    def may(self, step: str) -> bool:
        """Whether a step can be taken; what an import has withdrawn a person may withdraw too, so that it stays away."""
        return step in self.legal or (step, self.status, self.barred) == ("withdraw", "withdrawn", False)

    def binds(self, now: float) -> bool:
        """Whether it refuses anyone."""
        return self.status == "in-force" and self.entry.valid_from <= now < self.ends


class LifeModel:
    """The entries by list and key; ``head`` counts the changes."""

    def __init__(self) -> None:
        self.entries: dict[Name, Known] = {}
        self.head = 0
        self.suspended: set[str] = set()
        self.asked: dict[str, str] = {}

    def version(self, name: Name) -> int:
        return len(self.entries[name].steps) if name in self.entries else 0

    def write(self, known: Known, word: str, status: str, actor: str) -> None:
        """Note a step: the entry stands elsewhere, or as it did."""
        known.status = status
        if status not in LISTED:
            known.waiting = None
        known.steps.append((word, status, actor, known.ends))

    def change(self) -> int:
        self.head += 1
        return self.head

    def put(self, entry: Entry, actor: str, *, four_eyes: bool) -> tuple[bool, bool]:
        """Give whether anything changes, and whether it waits for a second person."""
        known = self.entries.get((entry.list, entry.key))
        if known is not None and known.status in {*LISTED, "proposed"} and said(known.entry) == said(entry):
            return False, known.status == "proposed"
        if known is not None and known.status in LISTED and four_eyes:
            return self._amend_later(known, entry, actor), True
        if known is None:
            known = self.entries[entry.list, entry.key] = Known(entry, "new", 0)
        waits = four_eyes or known.status == "proposed"
        known.entry, known.lapses_at = entry, entry.lapses_at
        known.waiting, known.proposer, known.proposed_by_change = None, actor if waits else "", self.change()
        if waits:
            self.write(known, "propose", "proposed", actor)
        else:
            known.barred = False
            self.write(known, "put", self.listed(known), actor)
        return True, waits

    def _amend_later(self, known: Known, entry: Entry, actor: str) -> bool:
        if known.waiting is not None and said(known.waiting) == said(entry):
            return False
        known.waiting, known.proposer, known.proposed_by_change = entry, actor, self.change()
        self.write(known, "propose", known.status, actor)
        return True

    def listed(self, known: Known) -> str:
        """Say how an entry is listed: as it is already, or as its open case asks."""
        if known.status in LISTED:
            return known.status
        open_case = known.case if known.case is not None and known.case.state == "OPEN" else None
        known.decide_by = open_case.decide_by if open_case else 0
        return "stayed" if open_case and open_case.stayed else "in-force"

    def approve(self, known: Known, actor: str) -> None:
        """Put what waits in force, without a line of the log of its own."""
        if known.waiting is not None:
            lapses_at = max(known.lapses_at, known.waiting.lapses_at) if known.waiting.lapses_at else 0
            known.entry, known.lapses_at = msgspec.structs.replace(known.waiting, lapses_at=lapses_at), lapses_at
        known.waiting, known.barred = None, False
        self.write(known, "approve", self.listed(known), actor)

    def step(self, known: Known, step: str, actor: str) -> None:
        """Take a legal step of one entry."""
        for each in ("withdraw", "retract") if step == "retract" and known.status in LISTED else (step,):
            self.change()
            if each == "approve":
                self.approve(known, actor)
            elif each == "reject" and known.waiting:
                known.waiting = None
                self.write(known, each, known.status, actor)
            else:
                known.barred = known.barred or each in {"release", "withdraw", "retract"}
                self.write(known, each, LEADS[known.status].get(each, known.status), actor)

    def compare(self, rows: Sequence[Entry], list_name: str, *, full: bool) -> tuple[list[Entry], list[Name], ImportCounts]:
        """Say what an import would put and withdraw, and count it."""
        put, counts = [], ImportCounts()
        for entry in rows:
            known = self.entries.get((list_name, entry.key))
            listed = known is not None and known.status in LISTED
            if known is not None and known.barred:
                counts.superseded += 1
            elif known is not None and listed and said(known.entry) == said(entry):
                counts.unchanged += 1
            else:
                put.append(entry)
                counts.amended += listed
                counts.added += not listed
        keys = {entry.key for entry in rows}
        here = ((name, known) for name, known in self.entries.items() if name[0] == list_name and known.status in LISTED)
        gone = [name for name, _ in here if full and name[1] not in keys]
        counts.withdrawn = len(gone)
        return put, gone, counts

    def import_all(self, put: Sequence[Entry], gone: Iterable[Name], actor: str) -> None:
        """Do what was compared, as one change."""
        for entry in put:
            known = self.entries.setdefault((entry.list, entry.key), Known(entry, "new", 0))
            known.entry, known.lapses_at = entry, entry.lapses_at
            left_out_stayed = known.case is None and known.status == "withdrawn" and known.steps[-2][1] == "stayed"
            status = self.listed(known)
            self.write(known, "import", "stayed" if left_out_stayed else status, actor)
        for name in gone:
            self.write(self.entries[name], "import", "withdrawn", actor)

    def matching(self, step: str, list_name: str, prefix: str, actor: str) -> tuple[list[Known], int]:
        """Give the entries that a step of many is for, and how many their proposer can't approve."""
        found, skipped = [], 0
        for name, known in self.entries.items():
            if name[0] != list_name or not name[1].startswith(prefix) or step not in known.legal:
                continue
            if step == "renew" and not known.lapses_at:
                continue
            own = step == "approve" and known.proposer == actor
            skipped += own
            found += [] if own else [known]
        return found, skipped

    def bulk(self, step: str, found: Iterable[Known], actor: str, lapses_at: int) -> None:
        """Take a step on all of them, as one change."""
        for known in found:
            if step == "approve":
                self.approve(known, actor)
                continue
            known.lapses_at = lapses_at if step == "renew" else known.lapses_at
            known.barred = known.barred or step == "release"
            self.write(known, step, LEADS[known.status][step], actor)

    def switch(self, list_name: str, actor: str, *, suspend: bool) -> None:
        """Ask for a list to be suspended or resumed."""
        if suspend == (list_name in self.suspended):
            self.head += self.asked.pop(list_name, "") != ""
        elif list_name not in self.asked:
            self.asked[list_name] = actor
            self.change()
        elif self.asked[list_name] != actor:
            del self.asked[list_name]
            self.suspended ^= {list_name}
            self.change()

    def affect(self, known: Known, case: Case, effect: EntryEffect | None, actor: str) -> None:
        """Do to an entry what a change of its case does."""
        known.case = case
        for step in effect.steps if effect is not None else ():
            if step in LEADS[known.status]:
                self.step(known, step, actor)
            elif step in {"release", "withdraw"} and known.status not in LISTED and not known.barred:
                known.barred = True
                self.change()
                self.write(known, step, known.status, actor)
        if effect is not None and known.status in LISTED and known.decide_by != effect.decide_by:
            known.decide_by = effect.decide_by
            self.change()
            self.write(known, "dispute", known.status, actor)


def said(entry: Entry) -> tuple[Any, ...]:
    """What a submission says, as far as these tests vary it."""
    end = min(entry.until, entry.lapses_at or entry.until)
    return entry.identifiers, entry.case_reference, entry.until, end
