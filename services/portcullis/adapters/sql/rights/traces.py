"""By what partners know entries, on SQL: their numbers and cases. An entry keeps these as its shell after it was erased.

A case may be that of several entries. One partner's report of it is then about each of them, and is theirs as long as one
says who it is about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, union

from portcullis.adapters.sql.among import Lookup
from portcullis.adapters.sql.registry.policies import partners_ever
from portcullis.adapters.sql.registry.schema import entries, entry_versions, lists
from portcullis.adapters.sql.rights.erasure import ENTRIES_AT_ONCE
from portcullis.ports import EntryTraces

_OF_CASES: Final = Lookup(
    select(entries.c.case_reference, entries.c.entry_id, func.length(entries.c.sealed)).where(
        entries.c.list_id == bindparam("list_id")
    ),
    entries.c.case_reference,
)
"""The entries of a list's cases, each with the length of what it seals: 0 where it does not say any more who it is about."""


def traces_of(connection: Connection, entry_ids: Collection[int]) -> EntryTraces:
    """Give by what partners know these entries."""
    wanted = sorted(set(entry_ids))
    found: list[tuple[int, int]] = []
    cases: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for start in range(0, len(wanted), ENTRIES_AT_ONCE):
        some = wanted[start : start + ENTRIES_AT_ONCE]
        numbers = select(entries.c.list_id, entries.c.entry_id).where(entries.c.entry_id.in_(some))
        found += [(list_id, entry_id) for list_id, entry_id in connection.execute(numbers)]
        _gather_cases(connection, some, cases)
    own = {
        (name, reference)
        for (list_id, name), references in cases.items()
        for reference in references - _shared(connection, list_id, references, set(wanted))
    }
    return EntryTraces(entries=found, cases=own, partners=partners_ever(connection))


def _gather_cases(connection: Connection, entry_ids: Collection[int], cases: dict[tuple[int, str], set[str]]) -> None:
    """Take up the cases that entries have or had, by their list's number and name."""
    present = (
        select(lists.c.list_id, lists.c.name, entries.c.case_reference)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(entries.c.entry_id.in_(entry_ids))
    )
    past = (
        select(lists.c.list_id, lists.c.name, entry_versions.c.case_reference)
        .join(entries, entries.c.entry_id == entry_versions.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(entry_versions.c.entry_id.in_(entry_ids))
    )
    for list_id, name, reference in connection.execute(union(present, past)):
        if reference:
            cases[list_id, name].add(reference)


def _shared(connection: Connection, list_id: int, references: Collection[str], ours: Collection[int]) -> set[str]:
    """Give those of a list's cases that another entry has, which still says who it is about."""
    rows = _OF_CASES.rows(connection, references, list_id=list_id)
    return {reference for reference, entry_id, sealed in rows if sealed and entry_id not in ours}
