"""The desk at which operators look up lists and entries, and import: one of those behind `RegistryService`.

It gives entries out without their identifiers. Who sees an entry, when and why is on the disk before the entry is given. The
steps of entries are `portcullis.registry.life`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from portcullis.domain.errors import InvalidRequest
from portcullis.domain.policies import RestrictedList
from portcullis.ports import ImportStream, ListSummary, RegistryStore, StoredEntry
from portcullis.registry.imports import DraftStream, Importer, known_list
from portcullis.registry.page_tokens import make_page_token, read_page_token
from portcullis.registry.purposes import read_purpose

DEFAULT_PAGE = 100
"""The entries of a page when none are asked for."""
MAX_PAGE = 1000
"""The most entries of a page."""
DEFAULT_PURPOSE = "operator inquiry"
"""What a look is for when nothing else is said."""

_LAST_ID = 2**63 - 1


class EntryDesk:
    """Implements `portcullis.ports.RegistryDesk`; every method blocks on the database. Safe for threads if the store is."""

    def __init__(self, store: RegistryStore, importer: Importer) -> None:
        self._store = store
        self._importer = importer

    def get_entry(self, list_name: str, key: str, *, actor: str, purpose: str) -> StoredEntry:
        """Give one entry without its identifiers, once the look at it is noted.

        Raises:
            NotFound: no such list or entry; nothing is noted.
            InvalidRequest: the purpose is too long or no plain text.
            RegistryUnavailable: the database can't be used, or the look can't be noted.
        """
        known_list(self._store, list_name)
        told = read_purpose(purpose, default=DEFAULT_PURPOSE)
        found = self._store.entry(list_name, key)
        self._store.note_looks(list_name, [key], actor=actor, purpose=told)
        return found

    def list_entries(
        self, list_name: str, *, page_size: int, page_token: str, actor: str, purpose: str
    ) -> tuple[Sequence[StoredEntry], str]:
        """Give a page in the order of entry_id, and the next page's token, "" on the last, once the looks are noted.

        Raises:
            NotFound: no such list.
            InvalidRequest: a page size outside 0 to 1,000, a token that is not of this list, or a purpose that is too
                long or no plain text.
            RegistryUnavailable: the database can't be used, or the looks can't be noted.
        """
        known_list(self._store, list_name)
        told = read_purpose(purpose, default=DEFAULT_PURPOSE)
        if not 0 <= page_size <= MAX_PAGE:
            raise InvalidRequest.at("page_size", f"must be 0 to {MAX_PAGE}")
        size = page_size or DEFAULT_PAGE
        # One more than asked for tells whether there is a next page.
        found = self._store.entries(list_name, after_id=_read_token(list_name, page_token), limit=size + 1)
        page = found[:size]
        if page:
            self._store.note_looks(list_name, [entry.key for entry in page], actor=actor, purpose=told)
        return page, make_page_token(list_name, str(page[-1].entry_id)) if len(found) > size else ""

    def get_list(self, name: str) -> ListSummary:
        """Give one list and how many of its entries are in force.

        Raises:
            NotFound: no such list.
            RegistryUnavailable: the database can't be used.
        """
        return self._summary(known_list(self._store, name))

    def list_lists(self) -> Sequence[ListSummary]:
        """Give every list in the order of their names.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        return [self._summary(each) for each in sorted(self._store.policy().lists, key=lambda each: each.name)]

    @contextmanager
    def open_import(self, list_name: str, *, full: bool, strict: bool, actor: str) -> Iterator[ImportStream]:
        """Open an import; leaving it without ``finish`` takes nothing.

        Raises:
            NotFound: no such list.
            RegistryUnavailable: the database can't be used.
        """
        with self._importer.open(list_name, full=full, strict=strict, actor=actor) as run:
            yield DraftStream(run)

    def _summary(self, each: RestrictedList) -> ListSummary:
        return ListSummary(each, self._store.count_in_force(each.name))


def _read_token(list_name: str, token: str) -> int:
    last = read_page_token(list_name, token) or "0"
    # Its length first: int() gives up on thousands of digits with an error of its own.
    if not (last.isascii() and last.isdecimal() and len(last) <= len(str(_LAST_ID))) or int(last) > _LAST_ID:
        raise InvalidRequest.at("page_token", "names no entry; give the last answer's next_page_token, or none")
    return int(last)
