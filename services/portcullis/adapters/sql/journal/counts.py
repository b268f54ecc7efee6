"""Counting decisions and events by month, for reports: never by person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select

from portcullis.adapters.sql.journal.schema import decision_handles, decision_reasons, decisions, events
from portcullis.adapters.sql.months import month_of
from portcullis.domain.decisions import Outcome
from portcullis.ports import Refusals, Reported


def count_refusals(connection: Connection) -> Sequence[Refusals]:
    """Count decisions other than ALLOW by each list whose reason made the outcome; dry runs left out."""
    month = month_of(connection, decisions.c.decided_at).label("month")
    # A list counts once for a decision, however many reasons it gave.
    shaping = (
        select(decision_reasons.c.sequence, decision_reasons.c.list, decision_reasons.c.effect)
        .where(decision_reasons.c.shadow.is_(False))
        .distinct()
        .subquery()
    )
    groups = (month, shaping.c.list, decisions.c.action, decisions.c.partner, decisions.c.outcome)
    wanted = (
        select(*groups, func.count().label("count"))
        .join(shaping, and_(shaping.c.sequence == decisions.c.sequence, shaping.c.effect == decisions.c.outcome))
        .where(decisions.c.outcome != Outcome.ALLOW.value, decisions.c.dry_run.is_(False))
        .group_by(*groups)
    )
    counts = [Refusals(**row) for row in connection.execute(wanted).mappings()]
    # Databases sort texts each in their own way.
    return sorted(counts, key=lambda each: (each.month, each.list, each.action, each.partner, each.outcome))


def count_findable(connection: Connection, before: float) -> int:
    """Count the decisions made before a time that somebody may still find by a document."""
    findable = exists().where(decision_handles.c.sequence == decisions.c.sequence)
    counted = select(func.count()).select_from(decisions).where(decisions.c.decided_at < before, findable)
    return connection.scalar(counted) or 0


def count_reported(connection: Connection) -> Sequence[Reported]:
    """Count events by list: their own, or each of those that their decision was made by."""
    wanted = (_by_own_list(connection), _by_decision(connection))
    counts = [Reported(**row) for each in wanted for row in connection.execute(each).mappings()]
    return sorted(counts, key=lambda each: (each.month, each.list, each.partner, each.kind, each.code))


_Counted = Select[Any]


def _by_own_list(connection: Connection) -> _Counted:
    groups = (_reported_month(connection), events.c.list, events.c.partner, events.c.kind, events.c.code)
    return select(*groups, func.count().label("count")).where(events.c.list != "").group_by(*groups)


def _by_decision(connection: Connection) -> _Counted:
    loud = (
        select(decision_reasons.c.sequence, decision_reasons.c.list)
        .where(decision_reasons.c.shadow.is_(False))
        .distinct()
        .subquery()
    )
    source = func.coalesce(loud.c.list, "").label("list")
    groups = (_reported_month(connection), source, events.c.partner, events.c.kind, events.c.code)
    return (
        select(*groups, func.count().label("count"))
        .select_from(events.outerjoin(loud, loud.c.sequence == events.c.decision_sequence))
        .where(events.c.list == "")
        .group_by(*groups)
    )


def _reported_month(connection: Connection) -> ColumnElement[str]:
    return month_of(connection, events.c.recorded_at_ms / 1000).label("month")
