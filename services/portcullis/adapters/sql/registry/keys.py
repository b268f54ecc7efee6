"""The API keys of the registry, kept as digests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from portcullis.adapters.sql.registry.database import next_change
from portcullis.adapters.sql.registry.schema import api_keys
from portcullis.domain.errors import InvalidRequest, NotFound
from portcullis.ports import ApiKey


def all_keys(connection: Connection, holder: str | None) -> Sequence[ApiKey]:
    """Give the keys in the order of their making, of one holder or of all."""
    wanted = select(api_keys).order_by(api_keys.c.seq)
    if holder is not None:
        wanted = wanted.where(api_keys.c.holder == holder)
    return [_api_key(row) for row in connection.execute(wanted)]


def add_key(connection: Connection, key: ApiKey, digest: str, *, actor: str, at: float) -> None:
    """Keep a new key's digest; the connection holds the write lock.

    Raises:
        InvalidRequest: a key of this id or digest is there already.
    """
    same = select(api_keys.c.key_id).where((api_keys.c.key_id == key.key_id) | (api_keys.c.digest == digest))
    if connection.scalar(same) is not None:
        raise InvalidRequest.at("key_id", "a key of this id is there already; make another")
    _insert(connection, key, digest, seq=next_change(connection, at=at, actor=actor, change="key-add", subject=key.key_id))


def _insert(connection: Connection, key: ApiKey, digest: str, *, seq: int) -> None:
    connection.execute(
        insert(api_keys).values(
            key_id=key.key_id,
            holder=key.holder,
            role=key.role,
            note=key.note,
            lists=write_lists(key.lists),
            digest=digest,
            created_at=key.created_at,
            revoked_at=key.revoked_at,
            expires_at=key.expires_at,
            successor=key.successor,
            seq=seq,
        )
    )


def revoke_key(connection: Connection, key_id: str, *, revoked_at: float, actor: str, at: float) -> None:
    """Revoke a key; one that is revoked already keeps its date, and nothing is logged. The connection holds the write lock.

    Raises:
        NotFound: no such key.
    """
    if _known(connection, key_id).revoked_at is None:
        next_change(connection, at=at, actor=actor, change="key-revoke", subject=key_id)
        connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(revoked_at=revoked_at))


def rotate_key(
    connection: Connection, key_id: str, successor: ApiKey, digest: str, *, ends_at: float, actor: str, at: float
) -> None:
    """Keep a successor's digest and let the key before it end by itself; the connection holds the write lock.

    Raises:
        NotFound: no such key.
        StepNotAllowed: it has ended, or has a successor.
    """
    _known(connection, key_id).demand_rotatable(successor.created_at)
    add_key(connection, successor, digest, actor=actor, at=at)
    next_change(connection, at=at, actor=actor, change="key-rotate", subject=key_id)
    own = api_keys.c.key_id == key_id
    connection.execute(update(api_keys).where(own).values(expires_at=ends_at, successor=successor.key_id))


def _known(connection: Connection, key_id: str) -> ApiKey:
    row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
    if row is None:
        raise NotFound("no key has this id; list the keys to see theirs")
    return _api_key(row)


def write_lists(names: tuple[str, ...]) -> str:
    """Write the column of the lists that a key is good for."""
    return msgspec.json.encode(names).decode() if names else ""


def read_lists(column: str) -> tuple[str, ...]:
    """Read the column of the lists that a key is good for; empty means every list."""
    return msgspec.json.decode(column, type=tuple[str, ...]) if column else ()


def _api_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        holder=row.holder,
        role=row.role,
        note=row.note,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        lists=read_lists(row.lists),
        expires_at=row.expires_at,
        successor=row.successor,
    )
