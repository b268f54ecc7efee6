"""Between an entry and its row: what is sealed, what is tokenised, and what tells two versions apart."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from portcullis.adapters.sql.sealing import Sealer
from portcullis.domain.entries import Entry, EntryStatus, SubjectType
from portcullis.domain.entry_life import effective_until
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import KeyWrapper, KnownIdentity, StoredEntry

_DIGEST_BYTES = 16
_ENCODE = msgspec.msgpack.Encoder().encode


class EntryWriter:
    """Makes rows of entries, with the two secrets of the registry.

    An entry's digest is keyed and covers all of it but its lapse, the identifiers by their tokens: equal digests mean that
    its authority says the same of it, and a digest tells nothing to whoever steals the database.

    Args:
        seal_key: 32 bytes, the key of the digests.
        tokeniser: makes the tokens that entries are found by.
        keys: wraps the keys that identities are sealed under.
    """

    def __init__(self, seal_key: bytes, tokeniser: Tokeniser, keys: KeyWrapper) -> None:
        self._sealer = Sealer(keys)
        self._tokeniser = tokeniser
        digest_key = hashlib.blake2b(key=seal_key, digest_size=32, person=b"digest-key").digest()
        self._digest = hashlib.blake2b(key=digest_key, digest_size=_DIGEST_BYTES, person=b"entry-digest")

    def row(self, entry: Entry) -> dict[str, Any]:
        """Give the columns that describe the entry: `portcullis.adapters.sql.schema.CONTENT_COLUMNS` and the key.

        ``until`` is its end unless a dispute ends it before.
        """
        tokens = self._tokens(entry)
        wording = wording_of(entry)
        return {
            "key": entry.key,
            "subject_type": entry.subject_type.value,
            "wording": wording,
            "case_reference": entry.case_reference,
            "valid_from": entry.valid_from,
            "until": effective_until(entry.until, entry.lapses_at, 0),
            "stated_until": entry.until,
            "lapses_at": entry.lapses_at,
            "measures": _write_measures(entry.measures),
            "tokens": tokens,
            "sealed": self._sealer.seal(
                KnownIdentity(identifiers=entry.identifiers, names=entry.names), list_name=entry.list, key=entry.key
            ),
            "digest": self._content_digest(entry, wording, tokens),
        }

    def identity(self, sealed: bytes, *, list_name: str, key: str) -> KnownIdentity:
        """Open what was sealed of an entry.

        Raises:
            RegistryUnavailable: it was sealed under another key, for another entry, or is damaged.
        """
        return self._sealer.open(sealed, list_name=list_name, key=key)

    def _tokens(self, entry: Entry) -> bytes:
        # Two spellings of one document have one token, and an index holds an entry under a token once.
        found = dict.fromkeys(
            token for identifier in entry.identifiers for token in self._tokeniser.index_tokens(identifier)
        )
        return b"".join(found)

    def _content_digest(self, entry: Entry, wording: bytes, tokens: bytes) -> bytes:
        digest = self._digest.copy()
        digest.update(
            _ENCODE(
                (
                    entry.list,
                    entry.key,
                    entry.subject_type.value,
                    tokens,
                    entry.names,
                    wording,
                    entry.case_reference,
                    entry.valid_from,
                    entry.until,
                    entry.measures,
                )
            )
        )
        return digest.digest()


def wording_of(entry: Entry) -> bytes:
    """Name the entry's wording by the digest of its text."""
    text = _ENCODE((entry.authority, entry.legal_basis, entry.purpose, entry.redress))
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, person=b"wording").digest()


def wording_row(entry: Entry) -> dict[str, Any]:
    """Give the row of the entry's wording."""
    return {
        "wording": wording_of(entry),
        "authority": entry.authority,
        "legal_basis": entry.legal_basis,
        "purpose": entry.purpose,
        "redress": entry.redress,
    }


def _write_measures(measures: tuple[str, ...]) -> str:
    return msgspec.json.encode(measures).decode() if measures else ""


def read_measures(column: str) -> tuple[str, ...]:
    """Read the column of measures; empty means all of the list's."""
    return msgspec.json.decode(column, type=tuple[str, ...]) if column else ()


def stored_entry(row: Any) -> StoredEntry:
    """Make an entry without its subject from a row of `portcullis.adapters.sql.registry_entries.ENTRY_WITH_WORDS`."""
    return StoredEntry(
        list=row.name,
        key=row.key,
        entry_id=row.entry_id,
        version=row.version,
        status=EntryStatus(row.status),
        subject_type=SubjectType(row.subject_type),
        authority=row.authority,
        legal_basis=row.legal_basis,
        case_reference=row.case_reference,
        purpose=row.purpose,
        valid_from=row.valid_from,
        until=row.stated_until,
        redress=row.redress,
        measures=read_measures(row.measures),
        effective_until=row.until,
        lapses_at=row.lapses_at,
        decide_by=row.decide_by,
        pending=row.pending,
    )
