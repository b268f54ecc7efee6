"""The edition as a generation keeps it: in parts, so that a version writes and reads anew only what it changed.

The database ``about`` holds JSON under these keys:

    head      the version, and for each list what changes with its records; small, written with every version
    shared    actions, partners, credentials and revoked certificates
    list-N    what the records of list N refer to: its definition, legal table and measures; up to many megabytes

The head names each part with a stamp, a BLAKE2b digest of its bytes. A part with the stamp of the version before is not
read, and what was decoded of it is used again, the same objects: whoever compiled a policy sees at once that it stayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec

from portcullis.domain.editions import FORMAT, Credential, Edition, Legal, ListEdition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.policies import Action, Partner, Policy, RestrictedList
from portcullis.domain.token_keys import TokenKey

HEAD = "head"
_SHARED = "shared"
_STAMP_BYTES = 16

Get = Callable[[str], bytes | None]
Put = Callable[[str, bytes], object]


class _ListRow(msgspec.Struct, frozen=True, kw_only=True):
    """What of a list changes with its records, and the stamp of the rest."""

    number: int
    version: int
    records: int
    digest: str
    stalled_at: float | None
    stamp: str


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """``payload_bytes`` is how many bytes the tokens and their values have."""

    format: int
    version: int
    published_at: float
    registry_seq: int
    shared: str
    lists: tuple[_ListRow, ...]
    payload_bytes: int


class _Shared(msgspec.Struct, frozen=True):
    actions: tuple[Action, ...]
    partners: tuple[Partner, ...]
    credentials: tuple[Credential, ...]
    revoked: tuple[str, ...] = ()
    token_keys: tuple[TokenKey, ...] = ()


class _Terms(msgspec.Struct, frozen=True):
    name: str
    definition: RestrictedList
    legal: tuple[Legal, ...]
    measures: tuple[str, ...]


class _Part(NamedTuple):
    stamp: str
    value: _Shared | _Terms


class StoredEdition(NamedTuple):
    """An edition with the parts it is kept in, by key, and its payload in bytes."""

    edition: Edition
    parts: Mapping[str, _Part]
    payload_bytes: int


_Value = TypeVar("_Value", _Head, _Shared, _Terms)


def save_edition(put: Put, edition: Edition, payload_bytes: int, known: StoredEdition | None) -> StoredEdition:
    """Write an edition, in so far as it is another than ``known``, which is what is there.

    The part of a list that left stays, unnamed, until the generation is replaced.
    """
    wanted: dict[str, _Shared | _Terms] = {
        _SHARED: _Shared(
            edition.policy.actions, edition.policy.partners, edition.credentials, edition.revoked, edition.token_keys
        )
    }
    for each, definition in zip(edition.lists, edition.policy.lists, strict=True):
        wanted[_list_key(each.number)] = _Terms(each.name, definition, each.legal, each.measures)
    parts = {key: _saved(put, key, value, known.parts.get(key) if known else None) for key, value in wanted.items()}
    head = _Head(
        format=edition.format,
        version=edition.version,
        published_at=edition.published_at,
        registry_seq=edition.registry_seq,
        shared=parts[_SHARED].stamp,
        lists=tuple(_row(each, parts[_list_key(each.number)].stamp) for each in edition.lists),
        payload_bytes=payload_bytes,
    )
    put(HEAD, msgspec.json.encode(head))
    return StoredEdition(edition, parts, payload_bytes)


def load_edition(get: Get, known: StoredEdition | None) -> StoredEdition:
    """Read an edition; what it has in common with ``known`` is the same objects.

    Raises:
        SnapshotInvalid: there is none that can be read, or it is of another format.
    """
    head = _decoded(get(HEAD), _Head)
    if head.format != FORMAT:
        message = f"the replica has format {head.format}; this release reads {FORMAT}"
        raise SnapshotInvalid(message, refusal=Refusal.FORMAT)
    shared = _loaded(get, _SHARED, head.shared, _Shared, known)
    terms = [_loaded(get, _list_key(row.number), row.stamp, _Terms, known) for row in head.lists]
    edition = Edition(
        format=head.format,
        version=head.version,
        published_at=head.published_at,
        registry_seq=head.registry_seq,
        policy=_policy(shared, terms, known.edition.policy if known else None),
        lists=tuple(_list_edition(row, own) for row, own in zip(head.lists, terms, strict=True)),
        credentials=shared.credentials,
        revoked=shared.revoked,
        token_keys=shared.token_keys,
    )
    parts = {_SHARED: _Part(head.shared, shared)}
    parts |= {_list_key(row.number): _Part(row.stamp, own) for row, own in zip(head.lists, terms, strict=True)}
    return StoredEdition(edition, parts, head.payload_bytes)


def _list_key(number: int) -> str:
    return f"list-{number}"


def _saved(put: Put, key: str, value: _Shared | _Terms, known: _Part | None) -> _Part:
    if known is not None and known.value == value:
        return known
    data = msgspec.json.encode(value)
    put(key, data)
    return _Part(_stamp(data), value)


def _row(each: ListEdition, stamp: str) -> _ListRow:
    return _ListRow(
        number=each.number,
        version=each.version,
        records=each.records,
        digest=each.digest,
        stalled_at=each.stalled_at,
        stamp=stamp,
    )


def _loaded(get: Get, key: str, stamp: str, kind: type[_Value], known: StoredEdition | None) -> _Value:
    part = known.parts.get(key) if known else None
    if part is not None and part.stamp == stamp and isinstance(part.value, kind):
        return part.value
    data = get(key)
    if data is None or _stamp(data) != stamp:
        raise SnapshotInvalid("a part of the replica's edition is missing or damaged")
    return _decoded(data, kind)


def _decoded(data: bytes | None, kind: type[_Value]) -> _Value:
    try:
        return msgspec.json.decode(data or b"", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Not chained: the fault may carry the bytes.
        raise SnapshotInvalid("the replica's edition can't be read") from None


def _policy(shared: _Shared, terms: list[_Terms], known: Policy | None) -> Policy:
    policy = Policy(actions=shared.actions, lists=tuple(own.definition for own in terms), partners=shared.partners)
    return known if known == policy else policy


def _list_edition(row: _ListRow, own: _Terms) -> ListEdition:
    return ListEdition(
        name=own.name,
        number=row.number,
        legal=own.legal,
        measures=own.measures,
        version=row.version,
        records=row.records,
        digest=row.digest,
        stalled_at=row.stalled_at,
    )


def _stamp(data: bytes) -> str:
    return blake2b(data, digest_size=_STAMP_BYTES).hexdigest()
