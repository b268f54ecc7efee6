"""Decisions in the database: taking them into the log, finding them and reading them again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from portcullis.adapters.journal_entries import JournalSecrets, SubjectKey, decision_entry, open_decision
from portcullis.adapters.sql.among import Lookup
from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.journal.keys import KeptKey, SubjectKeys
from portcullis.adapters.sql.journal.log import LogTail
from portcullis.adapters.sql.journal.schema import decision_handles, decision_reasons, decisions, log, looks, subject_keys
from portcullis.domain.errors import JournalUnavailable, NotFound
from portcullis.domain.log_entries import decode_entry
from portcullis.domain.shared_events import KnownDecision
from portcullis.ports import DecisionRecord, Look, StoredDecision


class FoundDecision(NamedTuple):
    """A decision as an event finds it: its place, its key unless that was erased, and what is matched."""

    sequence: int
    key: KeptKey | SubjectKey | None
    known: KnownDecision


_FOUND = select(
    decisions.c.sequence,
    decisions.c.decision_id,
    decisions.c.partner,
    decisions.c.outcome,
    decisions.c.dry_run,
    decisions.c.key_id,
    subject_keys.c.handle,
    subject_keys.c.wrapped,
).outerjoin(subject_keys, subject_keys.c.key_id == decisions.c.key_id)
_FIND = Lookup(_FOUND, decisions.c.decision_id)
_LOUD_LISTS = Lookup(
    select(decisions.c.decision_id, decision_reasons.c.list)
    .join(decision_reasons, decision_reasons.c.sequence == decisions.c.sequence)
    .where(decision_reasons.c.shadow.is_(False))
    .order_by(decision_reasons.c.sequence, decision_reasons.c.place),
    decisions.c.decision_id,
)
_PRESENT = Lookup(select(decisions.c.decision_id), decisions.c.decision_id)


def find_decisions(connection: Connection, decision_ids: Collection[str]) -> dict[str, FoundDecision]:
    """Give those of these decisions that are recorded."""
    lists = _loud_lists(connection, decision_ids)
    return {
        decision_id: FoundDecision(
            sequence,
            KeptKey(handle, key_id, wrapped) if handle else None,
            KnownDecision(
                decision_id=decision_id,
                partner=partner,
                outcome=outcome,
                dry_run=bool(dry_run),
                lists=tuple(lists.get(decision_id, ())),
            ),
        )
        for sequence, decision_id, partner, outcome, dry_run, key_id, handle, wrapped in _FIND.rows(connection, decision_ids)
    }


def _loud_lists(connection: Connection, decision_ids: Collection[str]) -> dict[str, dict[str, None]]:
    """Give the lists of the reasons that were not in shadow, by decision."""
    found: dict[str, dict[str, None]] = {}
    for decision_id, name in _LOUD_LISTS.rows(connection, decision_ids):
        found.setdefault(decision_id, {})[name] = None
    return found


class DecisionWriter:
    """Takes decisions into the log, within a transaction that has locked its tail."""

    def __init__(self, secrets: JournalSecrets, keys: SubjectKeys) -> None:
        self._secrets = secrets
        self._keys = keys

    def take(
        self, connection: Connection, tail: LogTail, records: Sequence[DecisionRecord], at_ms: int
    ) -> dict[str, FoundDecision]:
        """Take those that are not there yet, in their order; gives them as events find them."""
        fresh = self._fresh(connection, records)
        if not fresh:
            return {}
        handles = [self._secrets.decision_handle(record) for record in fresh]
        keys = self._keys.of_handles(connection, set(handles), at_ms)
        own = [keys[handle] for handle in handles]
        begin = tail.size
        tail.append([decision_entry(record, key, at_ms) for record, key in zip(fresh, own, strict=True)])
        self._index(connection, begin, fresh, own)
        return {
            record.decision_id: FoundDecision(sequence, key, _known(record))
            for sequence, (record, key) in enumerate(zip(fresh, own, strict=True), begin)
        }

    def _fresh(self, connection: Connection, records: Sequence[DecisionRecord]) -> Sequence[DecisionRecord]:
        by_id = {record.decision_id: record for record in reversed(records)}
        for (decision_id,) in _PRESENT.rows(connection, by_id):
            del by_id[decision_id]
        return [record for record in records if by_id.get(record.decision_id) is record]

    def _index(
        self, connection: Connection, begin: int, records: Sequence[DecisionRecord], keys: Sequence[SubjectKey]
    ) -> None:
        placed = list(enumerate(records, start=begin))
        insert_many(
            connection,
            decisions,
            [
                {
                    "sequence": sequence,
                    "decision_id": record.decision_id,
                    "partner": record.partner,
                    "action": record.action,
                    "purpose": record.purpose,
                    "outcome": record.outcome,
                    "decided_at": record.decided_at,
                    "dry_run": record.dry_run,
                    "degraded": record.degraded,
                    "snapshot_version": record.snapshot_version,
                    "key_id": key.key_id,
                }
                for (sequence, record), key in zip(placed, keys, strict=True)
            ],
        )
        insert_many(
            connection,
            decision_reasons,
            [
                {
                    "sequence": sequence,
                    "place": place,
                    "list": reason.list,
                    "measure": reason.measure,
                    "effect": reason.effect,
                    "shadow": reason.shadow,
                }
                for sequence, record in placed
                for place, reason in enumerate(record.reasons)
            ],
        )
        insert_many(
            connection,
            decision_handles,
            [
                {"sequence": sequence, "handle": self._secrets.token_handle(token)}
                for sequence, record in placed
                for token in dict.fromkeys(record.tokens)
            ],
        )


def _known(record: DecisionRecord) -> KnownDecision:
    return KnownDecision(
        decision_id=record.decision_id,
        partner=record.partner,
        outcome=record.outcome,
        dry_run=record.dry_run,
        lists=tuple(dict.fromkeys(each.list for each in record.reasons if not each.shadow)),
    )


def read_decision(connection: Connection, keys: SubjectKeys, decision_id: str, look: Look) -> StoredDecision:
    """Give one decision, and note the look at it, within a writing transaction.

    Raises:
        NotFound: no such decision.
        JournalUnavailable: its entry is missing or damaged.
    """
    wanted = (
        select(decisions.c.sequence, decisions.c.partner, decisions.c.key_id, log.c.entry)
        .outerjoin(log, log.c.sequence == decisions.c.sequence)
        .where(decisions.c.decision_id == decision_id)
    )
    row = connection.execute(wanted).first()
    if row is None:
        raise NotFound("no decision has this id; an ALLOW without a hit is not recorded")
    key = keys.by_id(connection, [row.key_id]).get(row.key_id)
    record = opened_decision(row.entry, key) if key else None
    noted = {"decision_id": decision_id, "at": look.at, "actor": look.actor, "purpose": look.purpose}
    connection.execute(insert(looks).values(noted))
    return StoredDecision(sequence=row.sequence, decision_id=decision_id, partner=row.partner, record=record)


def opened_decision(entry: bytes | None, key: SubjectKey) -> DecisionRecord:
    """Open the entry of a decision.

    Raises:
        JournalUnavailable: it is missing or damaged.
    """
    try:
        return open_decision(decode_entry(entry or b""), key)
    except ValueError:
        raise JournalUnavailable from None


def noted_looks(connection: Connection, decision_id: str) -> Sequence[Look]:
    """Give the looks at one decision in their order."""
    wanted = select(looks).where(looks.c.decision_id == decision_id).order_by(looks.c.number)
    return [Look(actor=row.actor, at=row.at, purpose=row.purpose) for row in connection.execute(wanted)]
