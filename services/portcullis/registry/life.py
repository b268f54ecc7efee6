"""The desk at which people take the steps of entries and of whole lists (`portcullis.domain.entry_life`).

It applies the rules of `portcullis.domain.entry_rules` to what comes in, says when it lapses (`portcullis.domain.lapses`),
and reads what is said with each step. Who sees whom an entry is about, or what became of it, is on the disk before it is
given.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from portcullis.domain.entries import LISTED, Entry, EntryDraft, EntryStatus, GivenIdentifier
from portcullis.domain.entry_life import (
    BULK_STEPS,
    ReleaseGround,
    Step,
    StepNote,
    check_version,
    legal_steps,
)
from portcullis.domain.entry_rules import IndexTokens, admit_entry
from portcullis.domain.errors import InvalidRequest, NotFound, StepNotAllowed
from portcullis.domain.lapses import lapses_at, with_lapse
from portcullis.domain.policies import RestrictedList
from portcullis.ports import (
    Clock,
    EntryQuery,
    EntryStore,
    KnownIdentity,
    ListSwitch,
    Matching,
    PastStep,
    Proposal,
    PutOutcome,
    StoredEntry,
)
from portcullis.registry.entries import DEFAULT_PURPOSE
from portcullis.registry.imports import known_list
from portcullis.registry.notes import read_note
from portcullis.registry.purposes import read_purpose

ADDING_PURPOSE = "adding identifiers"
"""What the look at an entry is for whose identifiers are compared with others."""
PROPOSALS_PURPOSE = "reading proposals"
"""What the looks at entries are for that wait for a second person."""
PLAN_PURPOSE = "planning a step on many entries"
"""What the looks at a plan's samples are for."""
RELEASE_GROUNDS = (ReleaseGround.PERFORMED, ReleaseGround.PAID, ReleaseGround.OVERTURNED, ReleaseGround.TERM_OVER)
"""The grounds that a person may release on; the others happen by themselves."""

_SINGLE_STEPS = (Step.APPROVE, Step.REJECT, Step.RELEASE)
_ADD = "add-identifiers"


class EntryLife:
    """Implements `portcullis.ports.LifeDesk`; every method blocks on the database. Safe for threads if the store is.

    Args:
        store: the registry.
        index_tokens: the registry's `portcullis.domain.tokens.Tokeniser.index_tokens`.
        clock: says when entries lapse.
    """

    def __init__(self, store: EntryStore, *, index_tokens: IndexTokens, clock: Clock) -> None:
        self._store = store
        self._index_tokens = index_tokens
        self._clock = clock

    def put_entry(self, list_name: str, draft: EntryDraft, *, note: StepNote, expected_version: int) -> PutOutcome:
        """Add, amend or propose an entry, as its list says.

        Raises:
            NotFound: no such list.
            InvalidRequest: what is said with it is too long or no plain text.
            EntryRejected: the entry breaks a rule; names each faulty field.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used.
        """
        on = known_list(self._store, list_name)
        told = read_note(note, required=False)
        entry = with_lapse(self._admit(draft, on), on, self._clock.now())
        return self._store.put(entry, note=told, four_eyes=on.four_eyes, expected_version=expected_version)

    def add_identifiers(
        self, list_name: str, key: str, given: Sequence[GivenIdentifier], *, note: StepNote, expected_version: int
    ) -> PutOutcome:
        """Amend an entry by numbers of its subject; nothing changes when it has all of them.

        The look is noted before, since the answer tells whether the entry had them. Nothing else of the entry changes, its
        lapse neither: whoever finds a number does not reaffirm the case.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: no identifier, or what is said with it is too long or no plain text.
            EntryRejected: an identifier can't be what its kind says or would name another subject, or the entry could not
                be submitted as it stands.
            StepNotAllowed: the entry has left its list, or an amendment of it waits to be decided.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used, or the look can't be noted.
        """
        on = known_list(self._store, list_name)
        told = read_note(note, required=False)
        if not given:
            raise InvalidRequest.at("identifiers", "missing; give at least one that was found")
        stored = self._store.entry(list_name, key)
        check_version(expected_version, stored.version)
        _check_amendable(stored)
        self._store.note_looks(list_name, [key], actor=note.actor, purpose=ADDING_PURPOSE)
        known = self._store.identity(list_name, key)
        amended = _with_identifiers(self._admit(_draft(stored, given, known), on), stored, known)
        if amended.identifiers == known.identifiers:
            return PutOutcome(entry=stored, changed=False, pending=stored.status is EntryStatus.PROPOSED)
        # Whoever changes the entry meanwhile makes it another than the one whose identity was read.
        return self._store.put(amended, note=told, four_eyes=on.four_eyes, expected_version=stored.version)

    def step(self, list_name: str, key: str, step: Step, *, note: StepNote, expected_version: int) -> StoredEntry:
        """Take a step that needs nothing else: approve, reject or release.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: another step, a release without a ground that a person may state, or what is said with it is
                missing, too long or no plain text; an approval may say nothing, but has to name the version that was
                looked at, or another proposal could have taken its place meanwhile.
            StepNotAllowed, SecondPersonRequired, VersionMissed: as `portcullis.ports.life.LifeStore.step` says.
            RegistryUnavailable: the database can't be used.
        """
        known_list(self._store, list_name)
        _check_step(step, _SINGLE_STEPS)
        told = _read_step_note(step, note)
        if step is Step.APPROVE and not expected_version:
            raise InvalidRequest.at(
                "expected_version", "give the version that you have looked at, as ListProposals gives it"
            )
        return self._store.step(list_name, key, step, note=told, expected_version=expected_version)

    def withdraw(self, list_name: str, key: str, *, note: StepNote, expected_version: int, in_error: bool) -> StoredEntry:
        """Take an entry out of force, and say of one that should never have been there that it is so. Again is no fault.

        Of one that an import has withdrawn it sees to it that no import brings it back.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: the reason is missing, or what is said is too long or no plain text.
            StepNotAllowed: it is proposed or was rejected, or was released and not in error.
            VersionMissed: another version is present.
            RegistryUnavailable: the database can't be used.
        """
        known_list(self._store, list_name)
        told = read_note(note, required=True, field="reason")
        stored = self._store.entry(list_name, key)
        if stored.status is EntryStatus.IN_ERROR:
            return stored
        if stored.status is EntryStatus.WITHDRAWN and not in_error:
            return self._withdraw_again(stored, told)
        step = Step.RETRACT if in_error else Step.WITHDRAW
        return self._store.step(list_name, key, step, note=told, expected_version=expected_version)

    def _withdraw_again(self, stored: StoredEntry, note: StepNote) -> StoredEntry:
        try:
            return self._store.step(stored.list, stored.key, Step.WITHDRAW, note=note, expected_version=stored.version)
        except StepNotAllowed:
            # A person has withdrawn it already.
            return stored

    def proposals(self, list_name: str, *, actor: str) -> Sequence[Proposal]:
        """Give what waits for a second person, "" for every list, once the looks are noted.

        Raises:
            NotFound: no such list.
            RegistryUnavailable: the database can't be used, or the looks can't be noted.
        """
        if list_name:
            known_list(self._store, list_name)
        found = self._store.proposals(list_name)
        for name in dict.fromkeys(each.list for each in found):
            keys = [each.key for each in found if each.list == name]
            self._store.note_looks(name, keys, actor=actor, purpose=PROPOSALS_PURPOSE)
        return found

    def reveal(
        self, list_name: str, key: str, *, actor: str, purpose: str, proposed: bool = False
    ) -> tuple[StoredEntry, KnownIdentity]:
        """Give an entry and who it is about, once the look is noted; with ``proposed``, as what waits would have it.

        Raises:
            NotFound: no such list or entry, or its identity was erased, or nothing of it waits.
            InvalidRequest: the purpose is missing, too long or no plain text.
            RegistryUnavailable: the database can't be used, or the look can't be noted.
        """
        known_list(self._store, list_name)
        told = read_purpose(purpose)
        if not told:
            raise InvalidRequest.at("purpose", "missing; say why you look, as the subject may later read it")
        # The version is read before the identity: who approves that version has not been shown an older proposal's.
        stored = self._proposed(list_name, key) if proposed else self._store.entry(list_name, key)
        self._store.note_looks(list_name, [key], actor=actor, purpose=told)
        return stored, self._store.identity(list_name, key, proposed=proposed)

    def _proposed(self, list_name: str, key: str) -> StoredEntry:
        waiting = self._store.proposals(list_name, key=key) if key else ()
        if not waiting:
            raise NotFound("nothing waits for a second person under this key", metadata={"resource": "proposal"})
        return waiting[0].proposed

    def history(self, list_name: str, key: str, *, actor: str, purpose: str) -> Sequence[PastStep]:
        """Give every version of an entry, once the look is noted; no purpose means operator inquiry.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: the purpose is too long or no plain text.
            RegistryUnavailable: the database can't be used, or the look can't be noted.
        """
        known_list(self._store, list_name)
        told = read_purpose(purpose, default=DEFAULT_PURPOSE)
        self._store.note_looks(list_name, [key], actor=actor, purpose=told)
        return self._store.history(list_name, key)

    def plan(self, step: Step, query: EntryQuery, *, actor: str) -> Matching:
        """Say what a step would do to every entry that a query finds, once the looks at the samples are noted.

        Raises:
            NotFound: no such list.
            InvalidRequest: another step than approve, renew or release, or a renewal where nothing lapses.
            RegistryUnavailable: the database can't be used, or the looks can't be noted.
        """
        _check_bulk(step, known_list(self._store, query.list))
        found = self._store.matching(step, query, actor=actor)
        if found.samples:
            keys = [each.key for each in found.samples]
            self._store.note_looks(query.list, keys, actor=actor, purpose=PLAN_PURPOSE)
        return found

    def run(self, step: Step, query: EntryQuery, *, digest: str, note: StepNote) -> int:
        """Take a step that was planned; gives how many entries changed.

        Raises:
            NotFound: no such list.
            InvalidRequest: as `plan`; or a release without a ground that a person may state; or the reason is missing, or
                what is said is too long or no plain text.
            PlanChanged: they are others by now.
            RegistryUnavailable: the database can't be used; nothing has changed.
        """
        on = known_list(self._store, query.list)
        _check_bulk(step, on)
        told = _read_step_note(step, note, required=True)
        renewed = lapses_at(on, self._clock.now()) if step is Step.RENEW else 0
        return self._store.bulk(step, query, digest=digest, note=told, lapses_at=renewed)

    def switch_list(self, list_name: str, *, suspend: bool, note: StepNote) -> ListSwitch:
        """Ask for a list to be suspended or resumed; the second person who asks does it.

        Raises:
            NotFound: no such list.
            InvalidRequest: the reason is missing, too long or no plain text.
            RegistryUnavailable: the database can't be used.
        """
        known_list(self._store, list_name)
        return self._store.switch_list(list_name, suspend=suspend, note=read_note(note, required=True, field="reason"))

    def list_switch(self, list_name: str) -> ListSwitch:
        """Say how a list stands.

        Raises:
            NotFound: no such list.
            RegistryUnavailable: the database can't be used.
        """
        known_list(self._store, list_name)
        return self._store.list_switch(list_name)

    def _admit(self, draft: EntryDraft, on: RestrictedList) -> Entry:
        return admit_entry(draft, on, index_tokens=self._index_tokens).entry


def _check_step(step: Step, allowed: Sequence[Step]) -> None:
    if step not in allowed:
        raise InvalidRequest.at("step", f"must be {', '.join(allowed[:-1])} or {allowed[-1]}")


def _check_bulk(step: Step, on: RestrictedList) -> None:
    _check_step(step, BULK_STEPS)
    if step is Step.RENEW and not on.lapse_s:
        raise InvalidRequest.at("step", "entries of this list do not lapse, so there is nothing to renew; amend their ends")


def _read_step_note(step: Step, note: StepNote, *, required: bool = False) -> StepNote:
    if step is Step.RELEASE and note.ground not in RELEASE_GROUNDS:
        raise InvalidRequest.at("ground", f"say why it ends: {', '.join(RELEASE_GROUNDS)}")
    if step is not Step.RELEASE and note.ground:
        raise InvalidRequest.at("ground", "only a release has one; leave it out")
    return read_note(note, required=required or step is not Step.APPROVE)


def _check_amendable(stored: StoredEntry) -> None:
    if stored.pending:
        status = f"{stored.status} with an amendment that waits"
        raise StepNotAllowed(_ADD, status, (Step.APPROVE, Step.REJECT))
    if stored.status not in {*LISTED, EntryStatus.PROPOSED}:
        raise StepNotAllowed(_ADD, stored.status, legal_steps(stored.status))


def _draft(stored: StoredEntry, given: Sequence[GivenIdentifier], known: KnownIdentity) -> EntryDraft:
    """Submit an entry again with further identifiers; those come first, so that a fault names them by their place."""
    had = (GivenIdentifier(each.kind, each.value, each.country) for each in known.identifiers)
    return EntryDraft(
        subject_type=stored.subject_type,
        identifiers=(*given, *had),
        names=known.names,
        key=stored.key,
        legal_basis=stored.legal_basis,
        case_reference=stored.case_reference,
        purpose=stored.purpose,
        valid_from=stored.valid_from,
        until=stored.until,
        redress=stored.redress,
        measures=stored.measures,
    )


def _with_identifiers(admitted: Entry, stored: StoredEntry, known: KnownIdentity) -> Entry:
    """Give an entry as it stands with the identifiers that are new."""
    new = tuple(each for each in admitted.identifiers if each not in known.identifiers)
    return msgspec.structs.replace(
        admitted,
        identifiers=(*known.identifiers, *new),
        names=known.names,
        authority=stored.authority,
        lapses_at=stored.lapses_at,
    )
