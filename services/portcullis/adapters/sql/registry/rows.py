"""Between an entry and its row: what is sealed, what is tokenised, and what tells two versions apart."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from portcullis.adapters.sql.registry.sealing import Sealer
from portcullis.adapters.sql.registry.token_columns import joined
from portcullis.domain.entries import Entry, EntryStatus, SubjectType
from portcullis.domain.entry_life import effective_until
from portcullis.domain.errors import SetupFault
from portcullis.domain.identifiers import Identifier
from portcullis.domain.token_keys import FIRST_EPOCH, TokenKeys, key_file_name
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import KeyWrapper, KnownIdentity, StoredEntry
from portcullis.ports.token_keys import KeyState, KnownTokenKey

_DIGEST_BYTES = 16
_ENCODE = msgspec.msgpack.Encoder().encode


class EntryWriter:
    """Makes rows of entries, with the two secrets of the registry.

    An entry's digest is keyed and covers all of it but its lapse: equal digests mean that its authority says the same of it,
    whichever token key is in use, and a digest tells nothing to whoever steals the database.

    Args:
        seal_key: 32 bytes, the key of the digests.
        token_keys: make the tokens that entries are found by, with the first of them until told otherwise (`write_with`).
        keys: wraps the keys that identities are sealed under.
    """

    def __init__(self, seal_key: bytes, token_keys: TokenKeys, keys: KeyWrapper) -> None:
        self._sealer = Sealer(keys)
        self._token_keys = token_keys
        self._tokeniser: Tokeniser | None = None
        self._others: tuple[Tokeniser, ...] = ()
        digest_key = hashlib.blake2b(key=seal_key, digest_size=32, person=b"digest-key").digest()
        self._digest = hashlib.blake2b(key=digest_key, digest_size=_DIGEST_BYTES, person=b"entry-digest")

    def write_with(self, noted: Sequence[KnownTokenKey]) -> None:
        """Make tokens with the key in use of those that the registry has noted.

        Raises:
            SetupFault: the key is not here, or another is.
        """
        present = next((each for each in noted if each.state is KeyState.IN_USE), None)
        epoch = present.epoch if present else FIRST_EPOCH
        if self._tokeniser is None or self._tokeniser.epoch != epoch:
            self._tokeniser = self.tokeniser(epoch, present.fingerprint if present else "")
        left = {each.epoch for each in noted if each.state is KeyState.LEFT}
        self._others = tuple(each for each in self._token_keys.held() if each.epoch != epoch and each.epoch not in left)

    def tokeniser(self, epoch: int, fingerprint: str = "") -> Tokeniser:
        """Give the key of an epoch, which has this fingerprint where one is given.

        Raises:
            SetupFault: it is not here, or another is.
        """
        found, name = self._token_keys.of_epoch(epoch), key_file_name(epoch)
        if found is None:
            raise SetupFault(
                f"the registry needs the token key of epoch {epoch}, which is not here; "
                f"copy {name} from another host of the registry, or from its backup"
            )
        if fingerprint and found.fingerprint != fingerprint:
            raise SetupFault(
                f"the key file {name} is another than the one that the registry stands under, whose fingerprint is "
                f"{fingerprint}; restore it from its backup"
            )
        return found

    def row(self, entry: Entry) -> dict[str, Any]:
        """Give the columns that describe the entry: `portcullis.adapters.sql.registry.schema.CONTENT_COLUMNS` and the key.

        ``until`` is its end unless a dispute ends it before.
        """
        tokeniser = self._tokeniser or self.tokeniser(FIRST_EPOCH)
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
            "tokens": tokens_of(entry.identifiers, tokeniser),
            "token_epoch": tokeniser.epoch,
            "sealed": self._sealer.seal(
                KnownIdentity(identifiers=entry.identifiers, names=entry.names), list_name=entry.list, key=entry.key
            ),
            "digest": self._content_digest(entry, wording),
        }

    def other_tokens(self, entry: Entry) -> bytes:
        """Give the tokens that the entry may stand under, or have stood under, by other keys than the one in use."""
        return b"".join(tokens_of(entry.identifiers, each) for each in self._others)

    def rewrapped(self, sealed: bytes) -> bytes | None:
        """Give what was sealed of an entry with its data key wrapped under the key in use; None where it is already.

        Raises:
            ValueError: it is damaged, or wrapped under a key that is not here.
        """
        return self._sealer.rewrapped(sealed)

    def demand_held(self, wrapped: Collection[bytes]) -> None:
        """Demand that what was sealed under these wrapped data keys (`wrapped_key`) can be opened, before it is written.

        A seal key is retired under the write lock (`portcullis.adapters.sql.registry.rewrapping.retire`). So whoever demands
        this with the lock held writes nothing that is sealed under a key that is gone, and what it writes is seen there.

        Raises:
            RegistryUnavailable: a seal key was retired since.
        """
        self._sealer.demand_held(wrapped)

    def identity(self, sealed: bytes, *, list_name: str, key: str) -> KnownIdentity:
        """Open what was sealed of an entry.

        Raises:
            RegistryUnavailable: it was sealed under another key, for another entry, or is damaged.
        """
        return self._sealer.open(sealed, list_name=list_name, key=key)

    def _content_digest(self, entry: Entry, wording: bytes) -> bytes:
        digest = self._digest.copy()
        digest.update(
            _ENCODE(
                (
                    entry.list,
                    entry.key,
                    entry.subject_type.value,
                    tuple(dict.fromkeys((each.kind, each.country, each.value) for each in entry.identifiers)),
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


def tokens_of(identifiers: Iterable[Identifier], tokeniser: Tokeniser) -> bytes:
    """Give the tokens of identifiers under one key, one after another, each of them once."""
    # Two spellings of one document have one token, and an index holds an entry under a token once.
    return joined(token for identifier in identifiers for token in tokeniser.index_tokens(identifier))


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
    """Make an entry without its subject from a row of `portcullis.adapters.sql.registry.entries.ENTRY_WITH_WORDS`."""
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
