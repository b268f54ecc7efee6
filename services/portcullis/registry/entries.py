"""The desk at which operators put in, withdraw and look up entries: the service behind `RegistryService`.

It applies the rules of `portcullis.domain.entry_rules` to what comes in, and gives entries out without their identifiers.
Who sees an entry, when and why is on the disk before the entry is given. A page token names the last entry of a page and
the list it is of; it is no secret and opens nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from portcullis.domain.entries import EntryDraft
from portcullis.domain.entry_rules import IndexTokens, admit_entry, is_plain_text
from portcullis.domain.errors import InvalidRequest
from portcullis.domain.policies import RestrictedList
from portcullis.ports import ImportStream, ListSummary, RegistryStore, StoredEntry
from portcullis.registry.imports import DraftStream, Importer, known_list
from portcullis.registry.purposes import read_purpose

DEFAULT_PAGE = 100
"""The entries of a page when none are asked for."""
MAX_PAGE = 1000
"""The most entries of a page."""
MAX_REASON = 256
"""The most characters of a reason to withdraw."""
DEFAULT_PURPOSE = "operator inquiry"
"""What a look is for when nothing else is said."""

_ID_BYTES = 8
_LIST_BYTES = 4
_BAD_TOKEN = "not a token of this list; give the last answer's next_page_token, or none for the first page"  # noqa: S105


class EntryDesk:
    """Implements `portcullis.ports.RegistryDesk`; every method blocks on the database. Safe for threads if the store is."""

    def __init__(self, store: RegistryStore, importer: Importer, *, index_tokens: IndexTokens) -> None:
        self._store = store
        self._importer = importer
        self._index_tokens = index_tokens

    def put_entry(self, list_name: str, draft: EntryDraft, *, actor: str) -> tuple[StoredEntry, bool]:
        """Add an entry or amend the one of the same key; False when the same entry stood already.

        Raises:
            NotFound: no such list.
            EntryRejected: the entry breaks a rule; names each faulty field.
            RegistryUnavailable: the database can't be used.
        """
        on = known_list(self._store, list_name)
        entry, _ = admit_entry(draft, on, index_tokens=self._index_tokens)
        return self._store.put_entry(entry, actor=actor)

    def withdraw_entry(self, list_name: str, key: str, *, reason: str, actor: str) -> StoredEntry:
        """Take an entry out of force.

        Raises:
            NotFound: no such list or entry.
            InvalidRequest: the reason is missing, too long or no plain text.
            RegistryUnavailable: the database can't be used.
        """
        known_list(self._store, list_name)
        told = reason.strip()
        if not 1 <= len(told) <= MAX_REASON or not is_plain_text(told):
            raise InvalidRequest.at("reason", f"must be plain text of 1 to {MAX_REASON} characters, without personal data")
        return self._store.withdraw_entry(list_name, key, reason=told, actor=actor)

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
        return page, _page_token(list_name, page[-1].entry_id) if len(found) > size else ""

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


def _page_token(list_name: str, after_id: int) -> str:
    return base64.urlsafe_b64encode(_list_mark(list_name) + after_id.to_bytes(_ID_BYTES, "big")).decode().rstrip("=")


def _read_token(list_name: str, token: str) -> int:
    if not token:
        return 0
    try:
        data = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidRequest.at("page_token", _BAD_TOKEN) from None
    after_id = int.from_bytes(data[_LIST_BYTES:], "big")
    if data[:_LIST_BYTES] != _list_mark(list_name) or len(data) != _LIST_BYTES + _ID_BYTES or after_id >= 2**63:
        raise InvalidRequest.at("page_token", _BAD_TOKEN)
    return after_id


def _list_mark(list_name: str) -> bytes:
    return blake2b(list_name.encode(), digest_size=_LIST_BYTES, person=b"page-token").digest()
