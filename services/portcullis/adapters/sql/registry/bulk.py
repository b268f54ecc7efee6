"""One step on every entry that a query finds: planned first, then taken on exactly what was planned.

A plan is known by a digest over the step and the number and version of every entry, in order. Entries are streamed; what is
changed is changed by a handful of statements and in one change of the log. Amendments alone, which people write one by one,
are approved one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, select, update

from portcullis.adapters.sql.registry.entries import (
    ENTRY_WITH_WORDS,
    LISTED_STATUSES,
    archive,
    count_by,
    drop_amendments,
)
from portcullis.adapters.sql.registry.life import find_numbered, log_note
from portcullis.adapters.sql.registry.open_cases import deadline, earlier_of, is_stayed
from portcullis.adapters.sql.registry.proposals import WAITING, approve_amendment
from portcullis.adapters.sql.registry.rows import stored_entry
from portcullis.adapters.sql.registry.schema import entries, lists
from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import PlanChanged
from portcullis.ports import EntryQuery, Matching

_SAMPLES: Final = 10
_STREAMED: Final = {"yield_per": 5_000}
_DIGEST_BYTES: Final = 16


class _Found(NamedTuple):
    """What a plan finds: how many entries, the first of them, their digest, and how many the actor can't decide about."""

    number: int
    first: Sequence[int]
    digest: str
    skipped: int


def matching(connection: Connection, step: Step, query: EntryQuery, *, actor: str) -> Matching:
    """Find the entries on which ``approve``, ``renew`` or ``release`` can be taken by this actor."""
    found = _find(connection, step, query, actor)
    samples = ENTRY_WITH_WORDS.where(entries.c.entry_id.in_(found.first)).order_by(entries.c.entry_id)
    return Matching(
        count=found.number,
        samples=tuple(stored_entry(row) for row in connection.execute(samples)),
        digest=found.digest,
        skipped=found.skipped,
    )


def bulk(
    connection: Connection, step: Step, query: EntryQuery, *, digest: str, note: StepNote, at: float, lapses_at: int
) -> int:
    """Take a step on the entries that a plan has found; gives how many. The connection holds the write lock.

    Raises:
        PlanChanged: they are others by now.
    """
    found = _find(connection, step, query, note.actor)
    if found.digest != digest:
        raise PlanChanged
    if not found.number:
        return 0
    seq = log_note(connection, query.list, step, note=note, at=at)
    if step is Step.APPROVE:
        _approve(connection, query, note=note, at=at, seq=seq)
    elif step is Step.RENEW:
        _renew(connection, _numbers(step, query), lapses_at, seq=seq)
    else:
        _release(connection, _numbers(step, query), query.list, found.number, seq=seq)
    return found.number


def _find(connection: Connection, step: Step, query: EntryQuery, actor: str) -> _Found:
    digest = blake2b(step.value.encode(), digest_size=_DIGEST_BYTES)
    count, skipped = 0, 0
    first: list[int] = []
    wanted = _candidates(step, query).order_by(entries.c.entry_id)
    for entry_id, version, proposer in connection.execute(wanted, execution_options=_STREAMED):
        if step is Step.APPROVE and proposer.casefold() == actor.casefold():
            skipped += 1
            continue
        digest.update(b"%d:%d " % (entry_id, version))
        count += 1
        if len(first) < _SAMPLES:
            first.append(entry_id)
    return _Found(count, first, digest.hexdigest(), skipped)


def _candidates(step: Step, query: EntryQuery) -> Select[Any]:
    """Select (entry_id, version, proposer) of what a step may be taken on; there is a proposer where it is an approval."""
    if step is Step.APPROVE:
        proposer = WAITING.selected_columns.proposer
        found = WAITING.with_only_columns(entries.c.entry_id, entries.c.version, proposer, maintain_column_froms=True)
    else:
        found = select(entries.c.entry_id, entries.c.version, literal("")).join(lists, lists.c.list_id == entries.c.list_id)
        found = found.where(*_open_to(step))
    return found.where(*_conditions(query))


def _numbers(step: Step, query: EntryQuery) -> Select[Any]:
    """Select the numbers of the entries that a step of the whole set is taken on."""
    found = select(entries.c.entry_id).join(lists, lists.c.list_id == entries.c.list_id)
    return found.where(*_open_to(step), *_conditions(query))


def _open_to(step: Step) -> Sequence[ColumnElement[bool]]:
    if step not in {Step.RENEW, Step.RELEASE}:
        raise ValueError(f"{step} can't be taken on many entries at once")
    listed = entries.c.status.in_(LISTED_STATUSES)
    if step is Step.RELEASE:
        return (listed,)
    # One that has ended and whose subject was erased would come back with nobody to be found by.
    return (listed, entries.c.lapses_at > 0, func.length(entries.c.sealed) > 0)


def _conditions(query: EntryQuery) -> Sequence[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [lists.c.name == query.list]
    for column, prefix in (
        (entries.c.key, query.key_prefix),
        (entries.c.case_reference, query.case_reference_prefix),
    ):
        if prefix:
            conditions.append(func.substr(column, 1, len(prefix)) == prefix)
    if query.valid_from_before:
        conditions.append(entries.c.valid_from < query.valid_from_before)
    if query.until_before:
        conditions.append(entries.c.until < query.until_before)
    return conditions


def _approve(connection: Connection, query: EntryQuery, *, note: StepNote, at: float, seq: int) -> None:
    proposer = WAITING.selected_columns.proposer
    waiting = WAITING.where(*_conditions(query))
    proposers = connection.scalars(waiting.with_only_columns(proposer, maintain_column_froms=True).distinct()).all()
    own = [name for name in proposers if name.casefold() == note.actor.casefold()]
    others = waiting.where(proposer.not_in(own)).subquery("waiting")
    amended = connection.scalars(select(others.c.entry_id).where(others.c.amendment)).all()
    which = select(others.c.entry_id).where(~others.c.amendment)
    archive(connection, which)
    approved = connection.execute(
        update(entries)
        .where(entries.c.entry_id.in_(which))
        .values(
            status=case((is_stayed(), EntryStatus.STAYED.value), else_=EntryStatus.IN_FORCE.value),
            barred=False,
            decide_by=deadline(),
            until=earlier_of(earlier_of(entries.c.stated_until, entries.c.lapses_at), deadline()),
            version=entries.c.version + 1,
            seq=seq,
        )
    )
    list_id = connection.execute(select(lists.c.list_id).where(lists.c.name == query.list)).scalar_one()
    count_by(connection, list_id, approved.rowcount)
    for entry_id in amended:
        known = find_numbered(connection, entry_id)
        assert known is not None  # noqa: S101 - tells mypy; it was found a moment ago
        approve_amendment(connection, known, note=note, at=at, seq=seq)


def _renew(connection: Connection, which: Select[Any], lapses_at: int, *, seq: int) -> None:
    archive(connection, which)
    stated = entries.c.stated_until
    until = func.min(stated, lapses_at) if connection.dialect.name == "sqlite" else func.least(stated, lapses_at)
    connection.execute(
        update(entries)
        .where(entries.c.entry_id.in_(which))
        .values(lapses_at=lapses_at, until=earlier_of(until, entries.c.decide_by), version=entries.c.version + 1, seq=seq)
    )


def _release(connection: Connection, which: Select[Any], list_name: str, number: int, *, seq: int) -> None:
    drop_amendments(connection, which)
    archive(connection, which)
    connection.execute(
        update(entries)
        .where(entries.c.entry_id.in_(which))
        .values(status=EntryStatus.RELEASED.value, barred=True, version=entries.c.version + 1, seq=seq)
    )
    list_id = connection.execute(select(lists.c.list_id).where(lists.c.name == list_name)).scalar_one()
    count_by(connection, list_id, -number)
