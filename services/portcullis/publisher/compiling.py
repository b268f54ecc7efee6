"""Compile a reading of the registry into an edition and its records.

The rules:

1. An entry goes in when its list is in the policy and may leave the registry: entries of an unknown or AUTHORITY_ONLY list
   stay behind.
2. Lists and measures are named by their place in the policy. An entry that names only measures which its list no longer
   has can have no effect, and is left out.
3. What an entry rests on is kept once for all entries that share it. Every list has the same share of that table, so that
   no list can fill the places of another.
4. What does not fit a record is mended in the subject's favour where that changes no effect before 2106 (an end beyond
   the field is cut to its greatest value, a case reference of more than 255 bytes is cut short), else the entry is left
   out. Both are counted by list and reason: one bad list never stops the others.

Example: three entries of a court under token T, all resting on one section of one act, become one (T, records) pair of
three records that refer to one row of the legal table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from portcullis.domain.editions import FORMAT, Edition, Legal
from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.records import ALL_MEASURES, MAX_CASE_REFERENCE_BYTES, Record, encode_records
from portcullis.ports import IndexedEntry, RegistryView
from portcullis.publisher.spool import Spool

_MAX_WORD = 0xFFFF_FFFF
_LEGAL_PLACES = 1 << 16
_MASK_BITS = 32


class Left(NamedTuple):
    """Why entries of a list were left out or mended."""

    list: str
    reason: str


class Compilation(NamedTuple):
    """A compiled snapshot. ``spool`` gives its records in ascending order of token; close it when done with."""

    edition: Edition
    spool: Spool
    faults: Counter[Left]


def compile_edition(view: RegistryView, *, version: int, now: float, folder: Path | None = None) -> Compilation:
    """Compile one reading of the registry; ``now`` is Unix seconds, ``folder`` is where the spool may lie.

    Memory is bounded: the records of one token, the legal table and the policy.

    Raises:
        RegistryUnavailable: the registry went away meanwhile.
        OSError: the spool's disk is full.
    """
    table = _Table(view.policy, int(now))
    spool = Spool(folder)
    try:
        for token, pairs in groupby(view.index(), key=itemgetter(0)):
            records = list(table.records(entry for _, entry in pairs))
            if records:
                spool.put(token, encode_records(records))
    except BaseException:
        spool.close()
        raise
    edition = Edition(
        format=FORMAT,
        version=version,
        published_at=float(now),
        registry_seq=view.seq,
        policy=view.policy,
        legal=tuple(table.legal),
        credentials=view.credentials,
        records=spool.records,
    )
    return Compilation(edition, spool, table.faults)


class _ListPlan:
    """What compiling needs of one list. ``legal`` holds its own rows of the table."""

    __slots__ = ("bits", "index", "legal", "name")

    def __init__(self, name: str, index: int, measures: tuple[str, ...]) -> None:
        self.name = name
        self.index = index
        self.bits = {measure: 1 << place for place, measure in enumerate(measures[:_MASK_BITS])}
        self.legal: dict[tuple[str, str], int] = {}

    def mask(self, names: tuple[str, ...]) -> int:
        """Give the bits of the measures named; none named means all."""
        mask = 0 if names else ALL_MEASURES
        for name in names:
            mask |= self.bits.get(name, 0)
        return mask


class _Table:
    """Turns entries into records, and gathers the legal table on the way."""

    def __init__(self, policy: Policy, now: int) -> None:
        self._now = now
        self._plans = {
            each.name: _ListPlan(each.name, index, tuple(measure.name for measure in each.measures))
            for index, each in enumerate(policy.lists)
            if each.disclosure is not Disclosure.AUTHORITY_ONLY
        }
        self._share = _LEGAL_PLACES // max(1, len(self._plans))
        self.legal: list[Legal] = []
        self.faults: Counter[Left] = Counter()

    def records(self, entries: Iterator[IndexedEntry]) -> Iterator[Record]:
        """Give the records of one token's entries."""
        for entry in entries:
            plan = self._plans.get(entry.list)
            record = self._record(plan, entry) if plan else None
            if record:
                yield record

    def _record(self, plan: _ListPlan, entry: IndexedEntry) -> Record | None:
        """Give the entry's record; None, and counted, where it must be left out."""
        mask = plan.mask(entry.measures)
        legal = self._legal_place(plan, entry)
        if not mask:
            fault = "no measure of the entry is in the policy"
        elif not 0 <= entry.entry_id <= _MAX_WORD:
            fault = "entry_id does not fit a record"
        elif entry.valid_from > _MAX_WORD:
            fault = "valid_from does not fit a record"
        elif legal is None:
            fault = "the list has too many legal bases"
        else:
            return self._fitting(plan, entry, mask, legal)
        self.faults[Left(plan.name, fault)] += 1
        return None

    def _fitting(self, plan: _ListPlan, entry: IndexedEntry, mask: int, legal: int) -> Record:
        return Record(
            list_index=plan.index,
            legal_index=legal,
            until=self._until(plan, entry),
            entry_id=entry.entry_id,
            case_reference=self._reference(plan, entry),
            valid_from=entry.valid_from if entry.valid_from > self._now else 0,
            measures=mask,
            stayed=entry.stayed,
        )

    def _legal_place(self, plan: _ListPlan, entry: IndexedEntry) -> int | None:
        key = (entry.legal_basis, entry.redress)
        place = plan.legal.get(key)
        if place is None and len(plan.legal) < self._share:
            place = plan.legal[key] = len(self.legal)
            self.legal.append(Legal(*key))
        return place

    def _until(self, plan: _ListPlan, entry: IndexedEntry) -> int:
        if entry.until > _MAX_WORD:
            self.faults[Left(plan.name, "until was cut to 2106")] += 1
        return max(0, min(entry.until, _MAX_WORD))

    def _reference(self, plan: _ListPlan, entry: IndexedEntry) -> str:
        encoded = entry.case_reference.encode()
        if len(encoded) <= MAX_CASE_REFERENCE_BYTES:
            return entry.case_reference
        self.faults[Left(plan.name, "case_reference was cut to 255 bytes")] += 1
        return encoded[:MAX_CASE_REFERENCE_BYTES].decode(errors="ignore")
