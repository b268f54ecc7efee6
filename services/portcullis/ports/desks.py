"""The desks: what the operators' services and commands ask of the registry, and what an import reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from portcullis.domain.entries import EntryDraft
from portcullis.domain.policies import RestrictedList
from portcullis.ports.registry import ApiKey, ImportCounts, StoredEntry


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
    ``committed`` is False when a strict import met a bad row. ``withheld`` is True when a full import withdrew nothing
    because a bad row did not say whose it was, or no row was good.
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


class ImportStream(Protocol):
    """An import whose rows arrive over the wire: ``feed`` as they come, then ``finish`` once. One thread at a time."""

    def feed(self, drafts: Sequence[EntryDraft]) -> None:
        """Check and stage rows; a bad row is counted and reported by its place in the stream, from 1."""
        ...

    def finish(self) -> ImportReport:
        """Put the good rows in force in one transaction, or none of a strict import with a bad row.

        Raises:
            InvalidRequest: a full import of no rows, which would withdraw the whole list.
        """
        ...


class ListSummary(msgspec.Struct, frozen=True):
    """One list and how many of its entries are in force."""

    list: RestrictedList
    in_force: int


class RegistryDesk(Protocol):
    """What the operators' service asks of the registry.

    Every method blocks on the database and may raise RegistryUnavailable.
    """

    def put_entry(self, list_name: str, draft: EntryDraft, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add an entry or amend the one of the same key; False when the same entry stood already.

        Raises:
            NotFound: no such list.
            EntryRejected: the entry breaks a rule; names each faulty field.
        """
        ...

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: ``reason`` is not 1 to 256 characters.
        """
        ...

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


class ApiKeyDesk(Protocol):
    """What the operators' service asks about API keys.

    Every method blocks on the database and may raise RegistryUnavailable.
    """

    def create(self, holder: str, role: str, note: str, *, actor: str) -> tuple[ApiKey, str]:
        """Make a key; the text beside it is the key itself, which is given once and stored nowhere.

        Raises:
            InvalidRequest: a role that is neither partner nor operator, a holder that is no partner of the policy (role
                partner) or is empty (role operator), or a note of more than 128 characters.
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
