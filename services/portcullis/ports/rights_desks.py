"""The desks behind the steps of entries and the rights of subjects: what RegistryService, RedressService and commands ask.

Every method blocks on the registry's database, some on the journal's, and may raise RegistryUnavailable or
JournalUnavailable: then nothing has changed. Who may ask is settled before (`portcullis.domain.roles`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from portcullis.domain.disputes import Case, CaseState, DisputeGround, Resolution
from portcullis.domain.entries import EntryDraft, GivenIdentifier
from portcullis.domain.entry_life import Step, StepNote
from portcullis.ports.journal import StoredDecision
from portcullis.ports.life import EntryQuery, KnownIdentity, ListSwitch, Matching, PastStep, Proposal, PutOutcome
from portcullis.ports.registry import StoredEntry
from portcullis.ports.rights import Removed, SubjectSession, WaitingRelease


class LifeDesk(Protocol):
    """The steps of entries and of whole lists. Any method may raise NotFound and InvalidRequest besides what it says."""

    def put_entry(self, list_name: str, draft: EntryDraft, *, note: StepNote, expected_version: int) -> PutOutcome:
        """Add, amend or propose an entry, as its list says.

        Raises:
            EntryRejected: the entry breaks a rule; names each faulty field.
            VersionMissed: another version is present.
        """
        ...

    def add_identifiers(
        self, list_name: str, key: str, given: Sequence[GivenIdentifier], *, note: StepNote, expected_version: int
    ) -> PutOutcome:
        """Amend an entry by numbers of its subject.

        Raises:
            EntryRejected, StepNotAllowed, VersionMissed: as `put_entry` and `portcullis.domain.entry_life` say.
        """
        ...

    def step(self, list_name: str, key: str, step: Step, *, note: StepNote, expected_version: int) -> StoredEntry:
        """Take a step that needs nothing else: approve, reject or release. An approval says which version was looked at.

        Raises:
            StepNotAllowed, SecondPersonRequired, VersionMissed: as `portcullis.ports.life.LifeStore.step` says.
        """
        ...

    def withdraw(self, list_name: str, key: str, *, note: StepNote, expected_version: int, in_error: bool) -> StoredEntry:
        """Take an entry out of force, and say of one that should never have been there that it is so. Again is no fault."""
        ...

    def proposals(self, list_name: str, *, actor: str) -> Sequence[Proposal]:
        """Give what waits for a second person, "" for every list, once the looks are noted."""
        ...

    def reveal(
        self, list_name: str, key: str, *, actor: str, purpose: str, proposed: bool = False
    ) -> tuple[StoredEntry, KnownIdentity]:
        """Give an entry and who it is about, once the look is noted; ``purpose`` is required.

        ``proposed`` asks for what waits for a second person, instead of what stands.
        """
        ...

    def history(self, list_name: str, key: str, *, actor: str, purpose: str) -> Sequence[PastStep]:
        """Give every version of an entry, once the look is noted."""
        ...

    def plan(self, step: Step, query: EntryQuery, *, actor: str) -> Matching:
        """Say what a step would do to every entry that a query finds; a look at each sample is noted."""
        ...

    def run(self, step: Step, query: EntryQuery, *, digest: str, note: StepNote) -> int:
        """Take a step that was planned; gives how many entries changed.

        Raises:
            PlanChanged: they are others by now.
        """
        ...

    def switch_list(self, list_name: str, *, suspend: bool, note: StepNote) -> ListSwitch:
        """Ask for a list to be suspended or resumed; the second person who asks does it."""
        ...

    def list_switch(self, list_name: str) -> ListSwitch:
        """Say how a list stands."""
        ...


class CaseView(msgspec.Struct, frozen=True):
    """A case and the entry that it is about."""

    case: Case
    entry: StoredEntry


class DisputeDesk(Protocol):
    """Cases, from the objection to the decision. ``by`` is a subject's session, or the name of whoever acts."""

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
        """Open a case; the clocks of its list run from now.

        Raises:
            NotFound: no such entry, or none of this subject's.
            StepNotAllowed: the entry is not listed, or a dispute of it is open.
        """
        ...

    def add_evidence(self, case_id: str, reference: str, *, by: SubjectSession | str) -> CaseView:
        """Add the reference of a document."""
        ...

    def assign(self, case_id: str, reviewer: str, *, actor: str, expected_version: int) -> CaseView:
        """Name the reviewer.

        Raises:
            SecondPersonRequired: they have proposed, imported or approved the entry.
            InvalidRequest: nobody of this name holds a reviewer's key.
        """
        ...

    def tell_source(self, case_id: str, *, document: str, actor: str) -> CaseView:
        """Note that the authority was told."""
        ...

    def stay(self, case_id: str, *, why: str, actor: str, expected_version: int) -> CaseView:
        """Take the entry out of force until the case is decided."""
        ...

    def lift(self, case_id: str, *, why: str, actor: str, expected_version: int) -> CaseView:
        """Put a stayed entry back in force."""
        ...

    def extend(self, case_id: str, *, why: str, actor: str, expected_version: int) -> CaseView:
        """Put the deadline off, once."""
        ...

    def resolve(
        self, case_id: str, resolution: Resolution, *, why: str, document: str, actor: str, expected_version: int
    ) -> CaseView:
        """Decide the case.

        Raises:
            SecondPersonRequired: the actor is not its reviewer.
        """
        ...

    def list_of(self, case_id: str) -> str:
        """Name the list of a case's entry, to say whether a key covers it; no look, for nothing else is shown.

        Raises:
            NotFound: no such case.
        """
        ...

    def case(self, case_id: str, *, by: SubjectSession | str) -> CaseView:
        """Give a case; a subject's own alone. The look at the entry is noted."""
        ...

    def cases(
        self, *, list_name: str, state: CaseState, page_size: int, page_token: str, actor: str
    ) -> tuple[Sequence[CaseView], str]:
        """Give a page of cases, and the next page's token. The looks at the entries are noted."""
        ...


class SubjectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept about a subject: ``record`` for programs, ``text`` in plain words in the language ``locale``."""

    record: Mapping[str, object]
    text: str
    locale: str


class SubjectErasure(NamedTuple):
    """What an erasure did.

    Attributes:
        entries: ended entries that name nobody any more.
        keys: keys of records that are gone: of decisions, and of what partners reported about an ended entry.
        kept: entries that still stand; while there are any, the keys of decisions stay.
        left: records that mention the identifier and are sealed under another of the person's, so that they can be read.
    """

    entries: int
    keys: int
    kept: int
    left: int


class SubjectDesk(Protocol):
    """Who a subject is, and what they may see."""

    def issue_code(self, identifier: GivenIdentifier, *, actor: str) -> tuple[str, float]:
        """Make a code for the holder of an identifier; gives it and when it ends (Unix seconds)."""
        ...

    def begin_session(self, identifier: GivenIdentifier, proof: str) -> tuple[str, float]:
        """Exchange a proof for a session; gives its credential and when it ends.

        Raises:
            Unauthenticated: the proof does not hold.
        """
        ...

    def session(self, credential: str) -> SubjectSession:
        """Give the session of a credential.

        Raises:
            Unauthenticated: there is none, or it has ended.
        """
        ...

    def record(self, session: SubjectSession, *, locale: str) -> SubjectRecord:
        """Give everything about the subject of a session."""
        ...

    def issue_number(
        self,
        list_name: str,
        key: str,
        *,
        mistaken: GivenIdentifier,
        own: GivenIdentifier,
        case_id: str,
        why: str,
        actor: str,
    ) -> tuple[str, str]:
        """Clear a person who is mistaken for the subject of an entry; gives the redress number and its id.

        Raises:
            InvalidRequest: ``mistaken`` does not find the entry, or ``own`` does.
            StepNotAllowed: the entry is not listed.
        """
        ...

    def revoke_number(self, number_id: str, *, why: str, actor: str) -> None:
        """End a redress number."""
        ...

    def list_of_number(self, number_id: str) -> str:
        """Name the list of the entry that a redress number is about, to say whether a key covers it.

        Raises:
            NotFound: no such number.
        """
        ...

    def erase(self, identifier: GivenIdentifier, *, why: str, actor: str) -> SubjectErasure:
        """Destroy what tells who somebody is."""
        ...


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions that an entry had a part in at one partner, in the order of their time."""

    partner: str
    decisions: tuple[StoredDecision, ...]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A release certificate's signed text, "" while ``waiting_for`` names hosts that may still hold the entry."""

    text: str
    waiting_for: tuple[str, ...] = ()


class AftermathDesk(Protocol):
    """What follows when an entry ends: releases that wait, the harm it did, the proof that it is gone, what is kept."""

    def settlements(self, list_name: str) -> Sequence[WaitingRelease]:
        """Give the releases that wait."""
        ...

    def object_to(self, list_name: str, key: str, *, note: StepNote) -> None:
        """Stop a release."""
        ...

    def impact(self, list_name: str, key: str, *, actor: str, purpose: str) -> Sequence[Impact]:
        """Give the decisions that an entry has caused, partner by partner; the look is noted."""
        ...

    def certificate(self, list_name: str, key: str) -> Certificate:
        """Certify that every gateway has dropped an entry.

        Raises:
            StepNotAllowed: the entry is still listed.
        """
        ...

    def retain(self, *, actor: str, dry_run: bool) -> Sequence[Removed]:
        """Remove what is no longer kept, and report what that was."""
        ...
