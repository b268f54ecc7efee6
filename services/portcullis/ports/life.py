"""The life of entries, as the registry's store keeps it (`portcullis.domain.entry_life`).

Each method that writes is one transaction and takes the next numbers of the change log. Any method blocks, and may raise
RegistryUnavailable: then nothing of it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.identifiers import Identifier
from portcullis.ports.registry import RegistryStore, StoredEntry


class PutOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a put.

    ``changed`` is False when the same entry, or the same proposal, stood already; ``pending`` is True when a second person
    must approve before anything takes effect.
    """

    entry: StoredEntry
    changed: bool
    pending: bool = False


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An entry or an amendment that waits for a second person; ``version`` is the entry's present one.

    ``proposed`` is the entry as it would stand if it were approved now, but under its present version. The identifiers
    are counted against those of what stands; a new entry adds all of its own.
    """

    list: str
    key: str
    amendment: bool
    proposer: str
    proposed_at: float
    version: int
    proposed: StoredEntry
    identifiers_added: int
    identifiers_removed: int


class PastStep(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an entry: which step made it, who took it, when (Unix seconds), why and on which document.

    ``step`` is a word of `portcullis.domain.entry_life.Step`, "import" for one that an import made, or "propose" for a put
    on a list of four eyes. ``seq`` is the number that it took in the change log. Of an import that was held ``actor`` is who
    approved it, and ``importer`` who had imported it.
    """

    version: int
    step: str
    status: EntryStatus
    at: float
    actor: str
    why: str
    document: str
    ground: str
    effective_until: int
    seq: int = 0
    importer: str = ""


class KnownIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who an entry is about. Its representation shows nothing."""

    identifiers: tuple[Identifier, ...]
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return "KnownIdentity(<hidden>)"


class EntryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Finds entries of one list; what is empty or 0 does not narrow it. Times are Unix seconds, exclusive.

    ``until_before`` is about the effective end: what has lapsed or is about to is found as well.
    """

    list: str
    key_prefix: str = ""
    case_reference_prefix: str = ""
    valid_from_before: int = 0
    until_before: int = 0


class Matching(msgspec.Struct, frozen=True, kw_only=True):
    """The entries that a step can be taken on: how many, the first ten, and a digest of exactly these versions.

    ``skipped`` counts those that the actor has proposed and so can't approve.
    """

    count: int
    samples: tuple[StoredEntry, ...]
    digest: str
    skipped: int


class ListSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a list is in force, and who has asked for the other state ("" for nobody), when (Unix seconds)."""

    list: str
    suspended: bool
    requested_by: str = ""
    requested_at: float = 0
    reason: str = ""


class LifeStore(Protocol):
    """What can happen to an entry of the registry, and to a list as a whole."""

    def put(self, entry: Entry, *, note: StepNote, four_eyes: bool, expected_version: int = 0) -> PutOutcome:
        """Add an entry, amend it, or list it again after it had left its list.

        With ``four_eyes`` nothing takes effect: a new entry, or one that had left its list, stands as proposed, and an
        amendment of one that is listed waits beside it, in the place of one that waited already. That it was proposed is a
        version of its own ("propose"), which changes nothing else; so whoever approves with ``expected_version`` approves
        what they have seen. Without, what waited beside the entry is given up. A stay and a dispute's deadline outlast an
        amendment. What stood already changes nothing: the same submission with the same end or lapse, whichever is first.
        What was proposed stays proposed, whatever ``four_eyes`` says, until somebody else has approved it.

        Raises:
            VersionMissed: ``expected_version`` is given and another one is present; 0 stands for whatever is there.
        """
        ...

    def step(self, list_name: str, key: str, step: Step, *, note: StepNote, expected_version: int = 0) -> StoredEntry:
        """Take a step other than put, renew and clear.

        ``approve`` and ``reject`` decide about a proposed entry, or about the amendment that waits beside a listed one; what
        waits is given up when its entry leaves the list. Anybody may reject. ``retract`` of a listed entry withdraws it
        first: two versions and two changes of the log in the one transaction (`portcullis.domain.entry_life.single_steps`).
        What a person has released, withdrawn or retracted is not brought back by any import until a person has listed it
        again (`portcullis.domain.entry_life.is_barred`).

        Raises:
            NotFound: no such entry.
            StepNotAllowed: the step can't be taken where the entry stands, or no proposal waits.
            SecondPersonRequired: the actor has proposed what is approved.
            VersionMissed: another version is present.
        """
        ...

    def proposals(self, list_name: str = "", *, key: str = "", limit: int = 1000) -> Sequence[Proposal]:
        """Give what waits for a second person, oldest first, of one list or of all; with ``key``, of such entries alone."""
        ...

    def history(self, list_name: str, key: str) -> Sequence[PastStep]:
        """Give every version of an entry in their order.

        Raises:
            NotFound: no such entry.
        """
        ...

    def identity(self, list_name: str, key: str, *, proposed: bool = False) -> KnownIdentity:
        """Give who an entry is about, or who what waits for a second person is about; the look has been noted before.

        Raises:
            NotFound: no such entry, or its identity was erased, or nothing of it waits.
        """
        ...

    def matching(self, step: Step, query: EntryQuery, *, actor: str) -> Matching:
        """Find the entries on which ``approve``, ``renew`` or ``release`` can be taken by this actor.

        To ``approve`` are proposed entries, and listed ones that an amendment waits beside; to ``renew`` those that lapse.
        """
        ...

    def bulk(self, step: Step, query: EntryQuery, *, digest: str, note: StepNote, lapses_at: int = 0) -> int:
        """Take a step on the entries that `matching` has found, all in one change of the log; gives how many.

        ``renew`` moves their lapse to ``lapses_at`` (Unix seconds).

        Raises:
            PlanChanged: they are others by now; nothing has changed.
        """
        ...

    def switch_list(self, list_name: str, *, suspend: bool, note: StepNote) -> ListSwitch:
        """Ask for a list to be suspended or resumed; the second person who asks for the same does it.

        One that stands so already stays as it is, and a request for the opposite is given up. A suspended list stands in
        the policies that the store gives out as ``suspended``, and so has no effect at any gateway.

        Raises:
            NotFound: the policy in force has no such list.
        """
        ...

    def list_switch(self, list_name: str) -> ListSwitch:
        """Say how a list stands."""
        ...


class EntryStore(RegistryStore, LifeStore, Protocol):
    """The registry and the life of its entries: one database."""
