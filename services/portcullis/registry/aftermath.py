"""What follows when an entry ends: the service behind releases that wait, impact, release certificates and retention.

1. An entry has caused the decisions that it gave a reason in earnest: those of dry runs and of measures in shadow, on which
   nobody acts, are left out. They are found by every identifier that the entry names or ever named: whoever it named by
   mistake, until it was amended, was wronged the most.
2. A host has dropped an entry once it serves a snapshot that includes the change by which the entry left its list. A host
   that has said nothing for a day is not counted, and the certificate names those that are.
3. Decisions are kept by their lists' terms; where several lists have given a subject's decisions reasons, the longest term
   counts. A list that the policy does not have any more keeps what the default says. What partners have reported by the case
   or name of an entry (`portcullis.registry.reported_names`) is kept as long as the entry says who it is about.

Example: a court's entry is withdrawn as change 42. Gateway-1 serves snapshot 17, which includes change 45, and gateway-2
still one that includes change 41: the certificate waits for gateway-2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Protocol

import structlog

from portcullis.domain.certificates import Dropped, ReleaseCertificate
from portcullis.domain.entries import LISTED
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import StepNotAllowed, StoreUnavailable
from portcullis.domain.notices import neutral
from portcullis.domain.policies import DEFAULT_KEPT_S, RestrictedList
from portcullis.ports import (
    Acknowledgement,
    Acknowledgements,
    Certificate,
    Clock,
    Impact,
    Journal,
    LifeStore,
    PastStep,
    RegistryStore,
    Removed,
    RightsStore,
    StoredDecision,
    WaitingRelease,
)
from portcullis.registry.entries import DEFAULT_PURPOSE
from portcullis.registry.notes import read_note
from portcullis.registry.purposes import read_purpose
from portcullis.registry.reported_names import ReportedNames

_WHY_REMOVED = "retention"

FORGOTTEN_AT_ONCE: Final = 2_000
"""How many identities are forgotten at once: about a second, in which nobody else can write to the registry."""

_log = structlog.get_logger("portcullis.registry")


class CertificateSigner(Protocol):
    """Who signs certificates (`portcullis.adapters.log_signing`)."""

    def certify(self, certificate: ReleaseCertificate) -> str:
        """Give the signed note of a certificate."""
        ...


class Aftermath:
    """Implements `portcullis.ports.AftermathDesk`; every method blocks on the databases. Safe for threads if the stores are.

    Args:
        registry: the policy and the entries.
        life: what happened to an entry.
        rights: releases that wait, and what is removed by age.
        journal: the decisions; its log's name is that of the certificates' signer.
        acknowledgements: what every host serves.
        signer: signs certificates.
        names: by what partners report about an entry without a decision.
        clock: wall time.
    """

    def __init__(
        self,
        *,
        registry: RegistryStore,
        life: LifeStore,
        rights: RightsStore,
        journal: Journal,
        acknowledgements: Acknowledgements,
        signer: CertificateSigner,
        names: ReportedNames,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._life = life
        self._rights = rights
        self._journal = journal
        self._acknowledgements = acknowledgements
        self._signer = signer
        self._names = names
        self._clock = clock

    def settlements(self, list_name: str) -> Sequence[WaitingRelease]:
        """Give the releases that wait."""
        return self._rights.waiting(list_name)

    def object_to(self, list_name: str, key: str, *, note: StepNote) -> None:
        """Stop a release.

        Raises:
            NotFound: no release of this entry waits.
            InvalidRequest: the reason is missing, or what is said is too long or no plain text.
        """
        self._rights.object_to(list_name, key, note=read_note(note, required=True))

    def impact(self, list_name: str, key: str, *, actor: str, purpose: str) -> Sequence[Impact]:
        """Give the decisions that an entry has caused, partner by partner; rule 1.

        The look is noted beside the entry and beside each decision that is given, before; no purpose means operator inquiry.

        Raises:
            NotFound: no such entry.
            InvalidRequest: the purpose is too long or no plain text.
            RegistryUnavailable, JournalUnavailable: a database can't be used.
        """
        told = read_purpose(purpose, default=DEFAULT_PURPOSE)
        self._registry.note_looks(list_name, [key], actor=actor, purpose=told)
        entry = self._registry.entry(list_name, key)
        tokens = self._rights.ever_tokens_of(list_name, key)
        about = entry.list, entry.entry_id
        caused: defaultdict[str, list[StoredDecision]] = defaultdict(list)
        for each in self._journal.decisions_of(tokens, actor=actor, purpose=told, about=about):
            if each.record is not None and not each.record.dry_run:
                caused[each.partner].append(each)
        return [Impact(partner=partner, decisions=tuple(caused[partner])) for partner in sorted(caused)]

    def certificate(self, list_name: str, key: str) -> Certificate:
        """Certify that every gateway has dropped an entry; rule 2.

        Raises:
            NotFound: no such entry.
            StepNotAllowed: the entry is listed, or never was.
            StoreUnavailable: no host has said what it serves, or the store can't be reached.
        """
        entry = self._registry.entry(list_name, key)
        left = _left_by(self._life.history(list_name, key))
        if entry.status in LISTED or left is None:
            raise StepNotAllowed("certificate", entry.status, [Step.RELEASE, Step.WITHDRAW])
        hosts = self._acknowledgements.acknowledged()
        if not hosts:
            raise StoreUnavailable("no gateway has said what it serves; see that its follower runs, and ask again")
        behind = tuple(each.host for each in hosts if each.registry_seq < left.seq)
        if behind:
            return Certificate(text="", waiting_for=behind)
        certificate = ReleaseCertificate(
            log=self._journal.origin(),
            list=entry.list,
            authority=neutral(entry.authority),
            case_reference=neutral(entry.case_reference),
            step=left.step,
            ground=left.ground,
            status=entry.status,
            left_at=int(left.at),
            change=left.seq,
            certified_at=int(self._clock.now()),
            hosts=tuple(_dropped(each) for each in hosts),
        )
        return Certificate(text=self._signer.certify(certificate))

    def retain(self, *, actor: str, dry_run: bool) -> Sequence[Removed]:
        """Remove what is no longer kept, and report what that was, in the order of list and kind; rule 3.

        Raises:
            RegistryUnavailable, JournalUnavailable: a database can't be used; what was removed before stays so.
        """
        now = self._clock.now()
        lists = sorted(self._registry.policy().lists, key=lambda each: each.name)
        before = {"": now - DEFAULT_KEPT_S} | {each.name: now - each.decisions_kept_s for each in lists}
        decisions = self._journal.erase_quiet(before, actor=actor, dry_run=dry_run)
        counts = [
            Removed(list="", kind="decisions", count=decisions),
            Removed(list="", kind="sessions", count=self._rights.forget_sessions(now, dry_run=dry_run)),
        ]
        note = StepNote(actor=actor, why=_WHY_REMOVED)
        for each in lists:
            counts += self._retain_list(each, now, note, dry_run=dry_run)
        removed = [each for each in counts if each.count]
        if not dry_run:
            told = {f"{each.list or '-'}.{each.kind}": each.count for each in removed}
            _log.info("retention is done", by=actor, removed=told)
        return removed

    def _retain_list(self, each: RestrictedList, now: float, note: StepNote, *, dry_run: bool) -> list[Removed]:
        identities, reports = self._forget_identities(each.name, now - each.kept_after_end_s, note, dry_run=dry_run)
        looks = self._rights.forget_looks(each.name, now - each.looks_kept_s, dry_run=dry_run)
        return [
            Removed(list=each.name, kind="identities", count=identities),
            Removed(list=each.name, kind="looks", count=looks),
            Removed(list=each.name, kind="reports", count=reports),
        ]

    def _forget_identities(self, list_name: str, before: float, note: StepNote, *, dry_run: bool) -> tuple[int, int]:
        """Forget who entries were about, and before that what partners reported by their names; gives how many of each."""
        old = self._rights.old_identities(list_name, before)
        forgotten, reports = len(old) if dry_run else 0, 0
        for start in range(0, len(old), FORGOTTEN_AT_ONCE):
            some = old[start : start + FORGOTTEN_AT_ONCE]
            reported = self._names.of(some)
            reports += self._journal.erase_reports(reported, actor=note.actor, purpose=_WHY_REMOVED, dry_run=dry_run)
            if not dry_run:
                forgotten += self._rights.forget_identities(list_name, before, some, note=note)
        return forgotten, reports


def _left_by(history: Sequence[PastStep]) -> PastStep | None:
    """Find the step by which an entry left its list last; None where it was never listed."""
    left = None
    for before, after in pairwise(history):
        if before.status in LISTED and after.status not in LISTED:
            left = after
    return left


def _dropped(said: Acknowledgement) -> Dropped:
    return Dropped(host=said.host, version=said.version, registry_seq=said.registry_seq, at=int(said.at))
