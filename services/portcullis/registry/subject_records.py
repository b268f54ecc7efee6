"""What a subject sees: all that is kept about them, for programs and in plain words (docs/reference/subject-record.md).

1. An entry is a subject's when one of their identifiers finds it, a decision when it asked about one of them.
2. Nothing is told of other people. Whoever took a step is told by what they are, not by name; who looked is told as it was
   noted, for a look is answered for by whoever took it. What a redress number or a partner's report of a wrong identity has
   done is about somebody else, and left out.
3. That this very record was read is noted first, and so is in it.
4. An entry that neither left its list nor ended binds until the first of its end, its lapse and the time by which a dispute
   must be decided; one may object for as long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from portcullis.domain.disputes import Case, CaseKind, CaseStep, CaseStepKind, Evidence
from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.entry_life import Step
from portcullis.domain.notices import negotiate
from portcullis.domain.policies import Policy
from portcullis.ports import (
    Clock,
    DecisionRecord,
    Journal,
    LifeStore,
    Look,
    PastStep,
    RecordedReason,
    RegistryStore,
    RightsStore,
    StoredEntry,
    SubjectRecord,
)
from portcullis.registry.disputes import SUBJECT
from portcullis.registry.settling import KEEPER
from portcullis.registry.subject_texts import LOCALES, write_record

PURPOSE = "subject access"
"""What the look that reads a record is for."""

_Json = dict[str, Any]


class SubjectRecords:
    """Puts together what is kept about somebody; every method blocks on the databases. Safe for threads if the stores are.

    Args:
        registry: the policy, and where looks at entries are noted.
        life: what happened to an entry.
        rights: entries by token, their cases and looks.
        journal: the decisions.
        clock: wall time.
    """

    def __init__(
        self, *, registry: RegistryStore, life: LifeStore, rights: RightsStore, journal: Journal, clock: Clock
    ) -> None:
        self._registry = registry
        self._life = life
        self._rights = rights
        self._journal = journal
        self._clock = clock

    def record(self, tokens: Collection[bytes], *, locale: str, actor: str = SUBJECT) -> SubjectRecord:
        """Give everything about the holder of these tokens.

        Args:
            tokens: of the identifiers that are proved.
            locale: the language of the text, as BCP 47 writes it; English where it is neither that nor Chinese.
            actor: who reads it.

        Raises:
            RegistryUnavailable, JournalUnavailable: a database can't be used, or the look can't be noted.
        """
        policy = self._registry.policy()
        record: _Json = {
            "made_at": _instant(self._clock.now()),
            "entries": self._entries(tokens, policy, actor),
            "decisions": self._decisions(tokens, policy, actor),
        }
        spoken = negotiate(locale, LOCALES)
        return SubjectRecord(record=record, text=write_record(record, spoken), locale=spoken)

    def _entries(self, tokens: Collection[bytes], policy: Policy, actor: str) -> list[_Json]:
        found = self._rights.entries_of(tokens)
        keys: defaultdict[str, list[str]] = defaultdict(list)
        for each in found:
            keys[each.list].append(each.key)
        for list_name, own in keys.items():
            self._registry.note_looks(list_name, own, actor=actor, purpose=PURPOSE)
        entry_ids = [each.entry_id for each in found]
        looks = self._rights.looks_at(entry_ids)
        cases: defaultdict[int, list[Case]] = defaultdict(list)
        for case in self._rights.cases_of(entry_ids):
            if case.kind is not CaseKind.IDENTITY_MISMATCH:
                cases[case.entry_id].append(case)
        now = self._clock.now()
        return [
            _entry(each, policy, now)
            | {
                "history": _history(self._life.history(each.list, each.key), cases[each.entry_id]),
                "disputes": [_dispute(case) for case in cases[each.entry_id]],
                "looks": _looks(looks.get(each.entry_id, ())),
            }
            for each in found
        ]

    def _decisions(self, tokens: Collection[bytes], policy: Policy, actor: str) -> list[_Json]:
        found = self._journal.decisions_of(tokens, actor=actor, purpose=PURPOSE)
        looks = self._journal.looks_at([each.decision_id for each in found])
        return [
            _decision(each.record, policy) | {"looks": _looks(looks.get(each.decision_id, ()))}
            for each in found
            if each.record is not None
        ]


def _entry(entry: StoredEntry, policy: Policy, now: float) -> _Json:
    ends = entry.effective_until or entry.until
    return {
        "list": _titled(entry.list, _list_title(policy, entry.list)),
        "authority": entry.authority,
        "law": entry.legal_basis,
        "purpose": entry.purpose,
        "case_reference": entry.case_reference,
        "status": entry.status.value,
        "binds": (
            entry.status is EntryStatus.IN_FORCE and entry.valid_from <= now < ends and not _is_out_of_force(policy, entry)
        ),
        "from": _instant(entry.valid_from),
        "until": _instant(entry.until),
        "ends_at": _instant(ends),
        "ends_by": _ends_by(entry, ends, now),
        "lapses_at": _instant(entry.lapses_at),
        "decide_by": _instant(entry.decide_by),
        "amendment_pending": entry.pending,
        "objection": {
            "where": entry.redress,
            "until": _instant(ends) if entry.status in LISTED and now < ends else None,
        },
    }


def _is_out_of_force(policy: Policy, entry: StoredEntry) -> bool:
    """Say whether an entry's whole list is suspended, or in the policy no more."""
    on = policy.list_named(entry.list)
    return on is None or on.suspended


def _ends_by(entry: StoredEntry, ends: int, now: float) -> str:
    """Say why an entry ends when it does: "left", "over", "dispute", "lapse" or "term"."""
    if entry.status not in {*LISTED, EntryStatus.PROPOSED}:
        return "left"
    if ends <= now:
        return "over"
    if entry.decide_by and entry.decide_by == ends:
        return "dispute"
    return "lapse" if entry.lapses_at and entry.lapses_at == ends else "term"


def _history(steps: Sequence[PastStep], cases: Sequence[Case]) -> list[_Json]:
    reviewers = {case.reviewer for case in cases if case.reviewer}
    return [
        {
            "step": each.step,
            "status": each.status.value,
            "at": _instant(each.at),
            "by": _role(each.actor, reviewers, "authority"),
            # What is said of a file that was held names who had imported it, and is about all of its rows.
            "why": "" if each.importer else each.why,
            "document": each.document,
            "ground": each.ground or None,
            "ends_at": _instant(each.effective_until),
        }
        for each in steps
        # A number that clears a namesake is about the namesake.
        if each.step != Step.CLEAR
    ]


def _dispute(case: Case) -> _Json:
    return {
        "case_id": case.case_id,
        "ground": case.ground.value if case.ground else None,
        "state": case.state.value,
        "opened_at": _instant(case.opened_at),
        "tell_source_by": _instant(case.tell_source_by),
        "source_told_at": _instant(case.source_told_at),
        "decide_by": _instant(case.decide_by),
        "extended": case.extended,
        "stayed": case.stayed,
        "has_reviewer": bool(case.reviewer),
        "resolution": case.resolution.value if case.resolution else None,
        "closed_at": _instant(case.closed_at),
        "evidence": [_evidence(each, case) for each in case.evidence],
        "steps": [_case_step(each, case) for each in case.steps],
    }


def _evidence(evidence: Evidence, case: Case) -> _Json:
    return {
        "reference": evidence.reference,
        "at": _instant(evidence.added_at),
        "by": _role(evidence.added_by, {case.reviewer}, "registry"),
    }


def _case_step(step: CaseStep, case: Case) -> _Json:
    return {
        "step": step.step.value,
        "at": _instant(step.at),
        "by": _role(step.actor, {case.reviewer}, "registry"),
        # Here stands the reviewer's name.
        "why": "" if step.step is CaseStepKind.ASSIGN else step.why,
        "document": step.document,
    }


def _role(actor: str, reviewers: Collection[str], otherwise: str) -> str:
    """Say what whoever acted is: "subject", "clock" (the registry by itself), "reviewer", or the given word."""
    if actor == SUBJECT:
        return "subject"
    if actor == KEEPER:
        return "clock"
    return "reviewer" if actor in reviewers else otherwise


def _decision(record: DecisionRecord, policy: Policy) -> _Json:
    partner = policy.partner_named(record.partner)
    action = next((each for each in policy.actions if each.name == record.action), None)
    return {
        "decision_id": record.decision_id,
        "at": _instant(record.decided_at),
        "partner": _titled(record.partner, partner.title if partner else ""),
        "action": _titled(record.action, action.title if action else ""),
        "purpose": record.purpose,
        "outcome": record.outcome,
        "only_a_look": record.dry_run,
        "list_out_of_date": record.degraded,
        "redress_number_counted": bool(record.cleared),
        "partner_reference": record.partner_reference,
        "attributes": dict(record.attributes),
        "reasons": [_reason(each, policy) for each in record.reasons],
    }


def _reason(reason: RecordedReason, policy: Policy) -> _Json:
    return {
        "list": _titled(reason.list, _list_title(policy, reason.list)),
        "authority": reason.authority,
        "law": reason.legal_basis,
        "case_reference": reason.case_reference,
        "effect": reason.effect,
        "until": _instant(reason.until),
        "only_a_trial": reason.shadow,
        "weak": reason.weak,
    }


def _looks(looks: Sequence[Look]) -> list[_Json]:
    return [{"at": _instant(each.at), "by": each.actor, "purpose": each.purpose} for each in looks]


def _list_title(policy: Policy, name: str) -> str:
    found = policy.list_named(name)
    return found.title if found else ""


def _titled(name: str, title: str) -> Mapping[str, str]:
    return {"name": name, "title": title or name}


def _instant(seconds: float) -> str | None:
    """Write a time in Unix seconds as ISO 8601 in UTC, to the second; 0 is none."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z") if seconds else None
