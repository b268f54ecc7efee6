"""The relay's streams on SQL: a place is on the disk before the next event leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from portcullis.adapters.sql.engines import DATABASE_ERRORS, open_engine, writing
from portcullis.adapters.sql.relay.schema import relay_streams
from portcullis.adapters.sql.relay.secrets import StreamSecrets
from portcullis.domain.errors import JournalUnavailable, NotFound
from portcullis.ports.relay import Stream

WRITE_WAIT_S: Final = 5.0
"""How long a write waits for other processes."""

_ENCODE: Final = msgspec.json.Encoder().encode
_DECODER: Final = msgspec.json.Decoder(Stream)
_STREAM: Final = select(relay_streams.c.stream, relay_streams.c.turn)


class SqlRelay:
    """Streams in the journal's database, migrated by `portcullis.adapters.sql.migrating.migrate_journal`.

    Implements `portcullis.ports.relay.RelayStore`; safe for threads, and for several processes on one database.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        seal_key: the host's seal key, 32 bytes.
        write_wait_s: how long a write waits for other processes, in seconds.

    Raises:
        SetupFault: the URL or the key can't be used.
    """

    def __init__(self, url: str, *, seal_key: bytes, write_wait_s: float = WRITE_WAIT_S) -> None:
        self._secrets = StreamSecrets(seal_key)
        self._engine = open_engine(url, write_wait_s=write_wait_s)

    def add(self, stream: Stream, *, token_digest: bytes = b"", secret: str = "") -> None:
        """Add a stream."""
        row = {
            "stream_id": stream.stream_id,
            "created_at": stream.created_at,
            "token_digest": token_digest or None,
            "secret": self._secrets.seal(stream.stream_id, secret),
            "stream": _ENCODE(stream),
            "turn": stream.turn,
            "lease_owner": "",
            "leased_until": 0.0,
        }
        with self._writing() as connection:
            connection.execute(insert(relay_streams).values(row))

    def streams(self) -> Sequence[Stream]:
        """Give all streams, the oldest first."""
        with self._reading() as connection:
            return all_streams(connection)

    def stream(self, stream_id: str) -> Stream:
        """Give one stream.

        Raises:
            NotFound: there is no such stream.
        """
        with self._reading() as connection:
            row = connection.execute(_STREAM.where(relay_streams.c.stream_id == stream_id)).first()
        if row is None:
            raise _unknown()
        return _stream(row)

    def by_token(self, token_digest: bytes) -> Stream | None:
        """Give the stream that a token was made for."""
        if not token_digest:
            return None
        with self._reading() as connection:
            row = connection.execute(_STREAM.where(relay_streams.c.token_digest == token_digest)).first()
        return _stream(row) if row is not None else None

    def secret(self, stream_id: str) -> str:
        """Give the authorization header of a stream, "" where it has none.

        Raises:
            NotFound: there is no such stream.
            SetupFault: it was sealed under another key.
        """
        wanted = select(relay_streams.c.secret).where(relay_streams.c.stream_id == stream_id)
        with self._reading() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            raise _unknown()
        return self._secrets.open(stream_id, bytes(row.secret) if row.secret is not None else None)

    def put(self, stream: Stream, *, secret: str | None = None) -> bool:
        """Write settings and place, if the turn is still the stream's."""
        sealed = {} if secret is None else {"secret": self._secrets.seal(stream.stream_id, secret)}
        with self._writing() as connection:
            return write_stream(connection, stream, **sealed)

    def lease(self, stream_id: str, owner: str, *, now: float, until: float) -> bool:
        """Take or prolong the lease of a stream."""
        free = or_(relay_streams.c.lease_owner == owner, relay_streams.c.leased_until <= now)
        take = (
            update(relay_streams)
            .where(relay_streams.c.stream_id == stream_id, free)
            .values(lease_owner=owner, leased_until=until)
        )
        with self._writing() as connection:
            return connection.execute(take).rowcount == 1

    def release(self, stream_id: str, owner: str) -> None:
        """Give the lease back, where it is held."""
        give = (
            update(relay_streams)
            .where(relay_streams.c.stream_id == stream_id, relay_streams.c.lease_owner == owner)
            .values(lease_owner="", leased_until=0.0)
        )
        with self._writing() as connection:
            connection.execute(give)

    def remove(self, stream_id: str) -> bool:
        """Remove a stream; False where there was none."""
        with self._writing() as connection:
            return connection.execute(delete(relay_streams).where(relay_streams.c.stream_id == stream_id)).rowcount == 1

    def close(self) -> None:
        """Give up the database."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _guarded(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _guarded(), writing(self._engine).begin() as connection:
            yield connection


def all_streams(connection: Connection) -> list[Stream]:
    """Give all streams, the oldest first."""
    wanted = _STREAM.order_by(relay_streams.c.created_at, relay_streams.c.stream_id)
    return [_stream(row) for row in connection.execute(wanted)]


def write_stream(connection: Connection, stream: Stream, **values: Any) -> bool:
    """Write a stream's settings and place, and other values of its row, if the turn is still the stream's."""
    change = (
        update(relay_streams)
        .where(relay_streams.c.stream_id == stream.stream_id, relay_streams.c.turn == stream.turn)
        .values(stream=_ENCODE(stream), turn=stream.turn + 1, **values)
    )
    return connection.execute(change).rowcount == 1


def _stream(row: Row[Any, Any]) -> Stream:
    try:
        return msgspec.structs.replace(_DECODER.decode(row.stream), turn=row.turn)
    except msgspec.MsgspecError:
        raise JournalUnavailable from None  # another release wrote it


def _unknown() -> NotFound:
    return NotFound("stream: there is none of this id; `portcullis stream list` shows them")


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS:
        # Not chained: a driver's message may quote a row.
        raise JournalUnavailable from None
