"""The desks: what the operators' services and commands ask of the registry, and what an import reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from portcullis.domain.entries import EntryDraft
from portcullis.domain.policies import RestrictedList
from portcullis.ports.registry import (
    ApiKey,
    HeldImport,
    ImportCounts,
    ImportOutcome,
    RevokedCertificate,
    Shrinkage,
    StoredEntry,
)


class RowFault(msgspec.Struct, frozen=True):
    """Why one row of an import was left out: where it stands, the faulty field, and the fault without its value."""

    file: str
    line: int
    field: str
    reason: str


class ImportReport(msgspec.Struct, kw_only=True):
    """What an import did. ``labels`` counts the identifiers by the source's own name for them, such as "Cedula No.".

    ``faults`` holds the first 100 bad rows, ``rejected`` counts all of them. ``dropped`` counts identifiers of good rows
    that were left out of matching, by reason. ``without_identifier`` counts entries that nothing can match.
    ``committed`` is False when a strict import met a bad row, and while the import is ``held``. ``withheld`` is True
    when a full import withdrew nothing because a bad row did not say whose it was, or no row was good.

    ``import_id`` is the registry's number of it, None when a strict import met a bad row. When it is ``held`` for a second
    operator, nothing has changed, ``counts`` says what it would do and ``shrinkage`` what it would take away. ``voided`` is
    the held import of the list that it has made void.
    """

    list_name: str
    rows: int = 0
    rejected: int = 0
    counts: ImportCounts = msgspec.field(default_factory=ImportCounts)
    identifiers: dict[str, int] = msgspec.field(default_factory=dict)
    labels: dict[str, int] = msgspec.field(default_factory=dict)
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    without_identifier: int = 0
    faults: list[RowFault] = msgspec.field(default_factory=list)
    committed: bool = True
    withheld: bool = False
    import_id: int | None = None
    held: bool = False
    shrinkage: Shrinkage | None = None
    voided: int | None = None


class ImportStream(Protocol):
    """An import whose rows arrive over the wire: ``feed`` as they come, then ``finish`` once. One thread at a time."""

    def feed(self, drafts: Sequence[EntryDraft]) -> None:
        """Check and stage rows; a bad row is counted and reported by its place in the stream, from 1."""
        ...

    def finish(self) -> ImportReport:
        """Put the good rows in force in one transaction, or none of a strict import with a bad row, or hold them all.

        Raises:
            InvalidRequest: a full import of no rows, which would withdraw the whole list.
        """
        ...


class ListSummary(msgspec.Struct, frozen=True):
    """One list and how many of its entries are in force."""

    list: RestrictedList
    in_force: int


class RegistryDesk(Protocol):
    """What the operators' service asks of the registry, but for the steps of entries (`portcullis.ports.LifeDesk`).

    Every method blocks on the database and may raise RegistryUnavailable.
    """

    def get_entry(self, list_name: str, key: str, *, actor: str, purpose: str) -> StoredEntry:
        """Give one entry without its identifiers; the look is durable before that. ``purpose`` "" means operator inquiry.

        Raises:
            NotFound: no such list or entry; nothing is noted.
            InvalidRequest: ``purpose`` is longer than 128 characters or no plain text.
        """
        ...

    def list_entries(
        self, list_name: str, *, page_size: int, page_token: str, actor: str, purpose: str
    ) -> tuple[Sequence[StoredEntry], str]:
        """Give a page in the order of entry_id, and the next page's token, "" on the last. ``page_size`` 0 means 100.

        A look at each entry of the page is durable before that; ``purpose`` "" means operator inquiry.

        Raises:
            NotFound: no such list.
            InvalidRequest: a page size outside 0 to 1,000, a token that is not of this list, or a ``purpose`` that is
                longer than 128 characters or no plain text.
        """
        ...

    def get_list(self, name: str) -> ListSummary:
        """Give one list.

        Raises:
            NotFound: no such list.
        """
        ...

    def list_lists(self) -> Sequence[ListSummary]:
        """Give every list in the order of their names."""
        ...

    def open_import(self, list_name: str, *, full: bool, strict: bool, actor: str) -> AbstractContextManager[ImportStream]:
        """Open an import; leaving it without ``finish`` takes nothing.

        Raises:
            NotFound: no such list.
        """
        ...


class HeldImportDesk(Protocol):
    """What the operators' service and commands ask about imports that the guard of a list holds.

    Every method blocks on the database and may raise RegistryUnavailable; then nothing has changed.
    """

    def held(self) -> Sequence[HeldImport]:
        """Give the imports that wait for a second operator, in the order in which they were held."""
        ...

    def approve(self, import_id: int, *, actor: str, purpose: str) -> ImportOutcome:
        """Put a held import in force, worked out against the registry as it is now.

        Raises:
            NotFound: there was no such import.
            SecondOperatorRequired: the actor has imported it.
            ImportNotHeld: it is not held any more, or the rules of its list have changed.
            InvalidRequest: ``purpose`` is longer than 128 characters or no plain text.
        """
        ...

    def reject(self, import_id: int, *, actor: str, purpose: str) -> HeldImport:
        """Give a held import up for good; nothing of it ever takes effect.

        Raises:
            NotFound: there was no such import.
            ImportNotHeld: it is not held any more.
            InvalidRequest: ``purpose`` is longer than 128 characters or no plain text.
        """
        ...


class ApiKeyDesk(Protocol):
    """What the operators' service asks about API keys.

    Every method blocks on the database and may raise RegistryUnavailable.
    """

    def create(
        self,
        holder: str,
        role: str,
        note: str,
        *,
        actor: str,
        lists: Sequence[str] = (),
        expires_at: float | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; the text beside it is the key itself, which is given once and stored nowhere.

        ``lists`` are what it is good for, none for every list; a partner's agreements say that instead. It ends by itself at
        ``expires_at`` (Unix seconds), where given.

        Raises:
            InvalidRequest: a role that no key may have, a holder that is no partner of the policy (role partner) or no
                person's name (another role), a note of more than 128 characters, lists that the policy does not have, or an
                end that is past or more than ten years away.
        """
        ...

    def rotate(self, key_id: str, *, overlap_s: float, actor: str, expires_at: float | None = None) -> tuple[ApiKey, str]:
        """Make a key's successor, for the same holder, role and lists; gives it with its text, as `create` does.

        The key itself ends by itself after ``overlap_s`` seconds, unless it ends sooner anyway. Where no end is given, the
        successor lives as long as the key was made for.

        Raises:
            NotFound: no such key.
            StepNotAllowed: it has ended, or has a successor.
            InvalidRequest: an overlap or an end that can't be.
        """
        ...

    def revoke_certificate(self, certificate: str, note: str, *, actor: str) -> str:
        """Refuse a caller's certificate, by its serial number or its key's digest; gateways do with the next snapshot.

        Gives what it is refused by. Again is no fault.

        Raises:
            InvalidRequest: it is neither, or the note can't be.
        """
        ...

    def revoked_certificates(self) -> Sequence[RevokedCertificate]:
        """Give the certificates that are refused, in the order of their revocation."""
        ...

    def lists_of(self, holder: str, key_id: str) -> Sequence[str]:
        """Say which lists a key in force is good for; none for every list.

        Raises:
            Unauthenticated: no such key of this holder is in force.
        """
        ...

    def approver(self, key: str) -> str:
        """Name the person whose key this is, where it may approve imports.

        Raises:
            InvalidRequest: it is no key in force of a role that may.
        """
        ...

    def revoke(self, key_id: str, *, actor: str) -> None:
        """End a key; gateways refuse it with the next snapshot. Again is no fault.

        Raises:
            NotFound: no such key.
        """
        ...

    def list(self, holder: str | None = None) -> Sequence[ApiKey]:
        """Give the keys in the order of their making, of one holder or of all."""
        ...
