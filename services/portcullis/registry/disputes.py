"""The desk of disputes: the service behind the cases of `RedressService`.

What may be done, when and by whom `portcullis.domain.dispute_rules` says; who holds a key of which role is judged before.

1. A subject names an entry by its list and its case reference, as the notice gave them, and only an entry of theirs is
   found. A notice tells the list's title, so a title names a list as well. A case of somebody else's is to them as one that
   is not there. They see disputes, and no case that a partner's report has opened: that is about another person.
2. Whoever else looks at a case looks at its entry, and that is noted before the case is given.
3. Of two who change a case at once, the second is refused with the version they missed; whoever expects none is tried again.
"""

from __future__ import annotations

import base64
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from portcullis.domain import dispute_rules as rules
from portcullis.domain.disputes import Case, CaseKind, CaseState, DisputeGround, Resolution
from portcullis.domain.entries import LISTED
from portcullis.domain.entry_life import StepNote, check_version
from portcullis.domain.errors import InvalidRequest, NotFound, VersionMissed
from portcullis.domain.roles import Role
from portcullis.ports import CaseView, Clock, LifeStore, RegistryStore, RightsStore, StoredEntry, SubjectSession
from portcullis.registry.case_texts import read_document, read_reference, read_references, read_why
from portcullis.registry.imports import known_list
from portcullis.registry.page_tokens import make_page_token, read_page_token

DEFAULT_PAGE: Final = 100
"""The cases of a page when none are asked for."""
MAX_PAGE: Final = 1000
"""The most cases of a page."""
SUBJECT: Final = "subject"
"""Who acts where a subject does: a case tells whose it is by its entry alone."""
LOOK: Final = "dispute"
"""What a look at the entry of a case is for."""

_ID_BYTES = 10
_TRIES = 3

RandomBytes = Callable[[int], bytes]
"""Gives so many unpredictable bytes."""
_Rule = Callable[[Case, float], rules.Changed]


def case_name(random_bytes: RandomBytes) -> str:
    """Make the id of a case: 16 characters of base 32."""
    return base64.b32encode(random_bytes(_ID_BYTES)).decode().lower()


class Disputes:
    """Implements `portcullis.ports.DisputeDesk`; every method blocks on the database. Safe for threads if the stores are.

    Args:
        registry: the policy, the entries and the keys.
        life: who has done what to an entry.
        rights: the cases.
        clock: wall time runs the clocks.
        random_bytes: makes the names of cases.
    """

    def __init__(
        self,
        registry: RegistryStore,
        life: LifeStore,
        rights: RightsStore,
        *,
        clock: Clock,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._registry = registry
        self._life = life
        self._rights = rights
        self._clock = clock
        self._random_bytes = random_bytes

    def open_dispute(
        self,
        *,
        list_name: str,
        case_reference: str,
        key: str,
        ground: DisputeGround,
        evidence: Sequence[str],
        by: SubjectSession | str,
    ) -> CaseView:
        """Open a case; the clocks of its list run from now. A subject gives ``case_reference``, everyone else ``key``.

        Raises:
            NotFound: no such list or entry, or none of this subject's.
            StepNotAllowed: the entry is not listed, or a dispute of it is open.
            InvalidRequest: a document's reference is none, or there are too many.
            RegistryUnavailable: the database can't be used.
        """
        references = read_references(evidence)
        actor = _actor(by)
        if isinstance(by, SubjectSession):
            entry = self._own_entry(by, list_name, case_reference)
            on = known_list(self._registry, entry.list)
        else:
            on = known_list(self._registry, list_name)
            entry = self._registry.entry(list_name, key)
        case, effect = rules.open_case(
            on,
            case_id=case_name(self._random_bytes),
            entry_id=entry.entry_id,
            kind=CaseKind.DISPUTE,
            ground=ground,
            evidence=references,
            actor=actor,
            now=self._clock.now(),
            earlier=self._rights.cases_of([entry.entry_id]),
        )
        kept = self._rights.open_case(case, effect, note=StepNote(actor=actor, why=f"dispute {case.case_id}"))
        return self._view(kept)

    def add_evidence(self, case_id: str, reference: str, *, by: SubjectSession | str) -> CaseView:
        """Add the reference of a document; one that is there already changes nothing.

        Raises:
            NotFound: no such case, or none of this subject's.
            InvalidRequest: it is no reference, or the case has as many as it can.
            StepNotAllowed: the case is closed, or was not decided in time.
            RegistryUnavailable: the database can't be used.
        """
        told, actor = read_reference(reference), _actor(by)
        if isinstance(by, SubjectSession):
            self._own_case(by, case_id)
        return self._change(
            case_id,
            lambda case, now: rules.add_evidence(case, told, actor=actor, now=now),
            note=StepNote(actor=actor, document=told),
        )

    def assign(self, case_id: str, reviewer: str, *, actor: str, expected_version: int) -> CaseView:
        """Name the reviewer, or another one.

        Raises:
            NotFound: no such case.
            SecondPersonRequired: they have put, proposed, imported or approved the entry.
            InvalidRequest: nobody of this name holds a reviewer's key that covers the list.
            StepNotAllowed: the case is closed, or was not decided in time.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used.
        """

        def step(case: Case, now: float) -> rules.Changed:
            self._check_reviews(reviewer, case.list)
            return rules.assign(case, reviewer, approved_by=self._approvers(case), actor=actor, now=now)

        return self._change(case_id, step, note=StepNote(actor=actor), expected_version=expected_version)

    def tell_source(self, case_id: str, *, document: str, actor: str) -> CaseView:
        """Note that the authority was told, with the reference of the letter.

        Raises:
            NotFound: no such case.
            StepNotAllowed: it was told already, or the case is closed or was not decided in time.
            InvalidRequest: the reference is too long or no plain text.
            RegistryUnavailable: the database can't be used.
        """
        told = read_document(document)
        return self._change(
            case_id,
            lambda case, now: rules.tell_source(case, document=told, actor=actor, now=now),
            note=StepNote(actor=actor, document=told),
        )

    def stay(self, case_id: str, *, why: str, actor: str, expected_version: int) -> CaseView:
        """Take the entry out of force until the case is decided.

        Raises:
            NotFound: no such case.
            SecondPersonRequired: the case has another reviewer.
            StepNotAllowed: it is stayed already, is closed or was not decided in time.
            InvalidRequest: the reason is missing, too long or no plain text.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used.
        """
        told = read_why(why)
        return self._change(
            case_id,
            lambda case, now: rules.stay(case, why=told, actor=actor, now=now),
            note=StepNote(actor=actor, why=told),
            expected_version=expected_version,
        )

    def lift(self, case_id: str, *, why: str, actor: str, expected_version: int) -> CaseView:
        """Put a stayed entry back in force.

        Raises:
            NotFound: no such case.
            SecondPersonRequired: the case has another reviewer, or the actor has approved the entry.
            StepNotAllowed: it is not stayed, is closed or was not decided in time.
            InvalidRequest: the reason is missing, too long or no plain text.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used.
        """
        told = read_why(why)
        return self._change(
            case_id,
            lambda case, now: rules.lift(case, why=told, approved_by=self._approvers(case), actor=actor, now=now),
            note=StepNote(actor=actor, why=told),
            expected_version=expected_version,
        )

    def extend(self, case_id: str, *, why: str, actor: str, expected_version: int) -> CaseView:
        """Put the deadline off, once.

        Raises:
            NotFound: no such case, or its list is in the policy no more.
            SecondPersonRequired: the actor is not the reviewer, or has approved the entry.
            StepNotAllowed: it was put off already, has come, or the list gives no extension.
            InvalidRequest: the reason is missing, too long or no plain text.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used.
        """
        told = read_why(why)

        def step(case: Case, now: float) -> rules.Changed:
            on = known_list(self._registry, case.list)
            return rules.extend(case, on, why=told, approved_by=self._approvers(case), actor=actor, now=now)

        return self._change(case_id, step, note=StepNote(actor=actor, why=told), expected_version=expected_version)

    def resolve(
        self, case_id: str, resolution: Resolution, *, why: str, document: str, actor: str, expected_version: int
    ) -> CaseView:
        """Decide the case; what it decides about the entry happens in the same transaction.

        Raises:
            NotFound: no such case.
            SecondPersonRequired: the actor is not its reviewer, or has approved the entry since.
            StepNotAllowed: it has no reviewer, is closed, or was not decided in time.
            InvalidRequest: the reason is missing, or a text is too long or not plain.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used.
        """
        told, letter = read_why(why), read_document(document)

        def step(case: Case, now: float) -> rules.Changed:
            approved_by = self._approvers(case)
            return rules.resolve(case, resolution, why=told, document=letter, approved_by=approved_by, actor=actor, now=now)

        note = StepNote(actor=actor, why=told, document=letter)
        return self._change(case_id, step, note=note, expected_version=expected_version)

    def list_of(self, case_id: str) -> str:
        """Name the list of a case's entry; no look, for nothing else is shown.

        Raises:
            NotFound: no such case.
            RegistryUnavailable: the database can't be used.
        """
        return self._rights.case(case_id).list

    def case(self, case_id: str, *, by: SubjectSession | str) -> CaseView:
        """Give a case, once the look at its entry is noted; a subject's own alone.

        Raises:
            NotFound: no such case, or none of this subject's.
            RegistryUnavailable: the database can't be used, or the look can't be noted.
        """
        found = self._own_case(by, case_id) if isinstance(by, SubjectSession) else self._rights.case(case_id)
        view = self._view(found)
        self._registry.note_looks(view.entry.list, [view.entry.key], actor=_actor(by), purpose=LOOK)
        return view

    def cases(
        self, *, list_name: str, state: CaseState, page_size: int, page_token: str, actor: str
    ) -> tuple[Sequence[CaseView], str]:
        """Give a page of cases, and the next page's token, "" on the last, once the looks are noted.

        Raises:
            NotFound: no such list.
            InvalidRequest: a page size outside 0 to 1,000, or a token that is not of this question.
            RegistryUnavailable: the database can't be used, or the looks can't be noted.
        """
        if list_name:
            known_list(self._registry, list_name)
        if not 0 <= page_size <= MAX_PAGE:
            raise InvalidRequest.at("page_size", f"must be 0 to {MAX_PAGE}")
        size, asked = page_size or DEFAULT_PAGE, f"cases/{state}/{list_name}"
        after = read_page_token(asked, page_token)
        # One more than asked for tells whether there is a next page.
        found = self._rights.cases(list_name=list_name, state=state, after=after, limit=size + 1)
        page = [self._view(case) for case in found[:size]]
        self._note_looks(page, actor)
        return page, make_page_token(asked, page[-1].case.case_id) if len(found) > size else ""

    def _change(self, case_id: str, rule: _Rule, *, note: StepNote, expected_version: int = 0) -> CaseView:
        tries = 1 if expected_version else _TRIES
        while True:
            tries -= 1
            case = self._rights.case(case_id)
            check_version(expected_version, case.version)
            after, effect = rule(case, self._clock.now())
            if after is case:
                return self._view(case)
            try:
                return self._view(self._rights.keep_case(after, effect, note=note))
            except VersionMissed:
                if not tries:
                    raise

    def _view(self, case: Case) -> CaseView:
        return CaseView(case, self._rights.entry_of(case.case_id))

    def _note_looks(self, views: Sequence[CaseView], actor: str) -> None:
        keys: defaultdict[str, set[str]] = defaultdict(set)
        for view in views:
            keys[view.entry.list].add(view.entry.key)
        for name, seen in keys.items():
            self._registry.note_looks(name, sorted(seen), actor=actor, purpose=LOOK)

    def _own_entry(self, session: SubjectSession, named: str, case_reference: str) -> StoredEntry:
        """Find an entry of a subject's by the name or title of its list; of several, one listed and not disputed yet."""
        lists = {named, *(each.name for each in self._registry.policy().lists if each.title == named)}
        own = [
            entry
            for entry in self._rights.entries_of(session.tokens)
            if entry.list in lists and entry.case_reference == case_reference
        ]
        if not own:
            raise NotFound(
                "case_reference: no entry of yours on this list has it; give both as the notice or your record shows them",
                metadata={"resource": "entry"},
            )
        cases = self._rights.cases_of([entry.entry_id for entry in own]) if len(own) > 1 else ()
        disputed = {each.entry_id for each in cases if each.kind is CaseKind.DISPUTE and each.state is CaseState.OPEN}
        return min(own, key=lambda entry: (entry.status not in LISTED, entry.entry_id in disputed, entry.entry_id))

    def _own_case(self, session: SubjectSession, case_id: str) -> Case:
        # Asked first, so that a case of somebody else's takes as long as one that is not there.
        own = {entry.entry_id for entry in self._rights.entries_of(session.tokens)}
        try:
            case = self._rights.case(case_id)
        except NotFound:
            raise _not_theirs() from None
        if case.kind is not CaseKind.DISPUTE or case.entry_id not in own:
            raise _not_theirs()
        return case

    def _approvers(self, case: Case) -> frozenset[str]:
        entry = self._rights.entry_of(case.case_id)
        return rules.approvers((past.step, past.actor, past.importer) for past in self._life.history(entry.list, entry.key))

    def _check_reviews(self, reviewer: str, list_name: str) -> None:
        keys = self._registry.keys(reviewer)
        covering = (key for key in keys if key.revoked_at is None and (not key.lists or list_name in key.lists))
        if not any(key.role == Role.REVIEWER for key in covering):
            raise InvalidRequest.at(
                "reviewer", "nobody of this name holds a reviewer's key for this list; name one who does, or have one made"
            )


def _actor(by: SubjectSession | str) -> str:
    return SUBJECT if isinstance(by, SubjectSession) else by


def _not_theirs() -> NotFound:
    return NotFound("case_id: no case of yours has it; look at your record", metadata={"resource": "case"})
