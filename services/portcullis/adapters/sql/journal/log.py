"""The log itself: appending under the lock of its head, and reading what is stored of the tree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, bindparam, select, text, update

from portcullis.adapters.journal_entries import JournalSecrets
from portcullis.adapters.sql.engines import writing
from portcullis.adapters.sql.journal.guard import guarded
from portcullis.adapters.sql.journal.rows import Insertion
from portcullis.adapters.sql.journal.schema import checkpoints, log, log_head, log_tiles
from portcullis.domain.errors import JournalUnavailable, SetupFault
from portcullis.domain.merkle import Frontier, leaf_hashes
from portcullis.domain.timelines import log_of_timeline
from portcullis.ports import LogHead, StoredCheckpoint

PAGE_ROWS: Final = 1_000
"""How many rows are held at once by what reads the whole log."""

_ORIGIN_BYTES: Final = 16
_HEAD_ID: Final = 1
_LOG: Final = Insertion(log)
_TILES: Final = Insertion(log_tiles)

# Asked at every commit, and so given to the driver as they are. On SQLite a writing transaction has the lock already.
_LOCK = "SELECT seal_check, size, frontier, erased FROM log_head"
_MOVE = {"sqlite": "UPDATE log_head SET size = ?, frontier = ?"}
_LOCK_ELSEWHERE = f"{_LOCK} FOR UPDATE"
_MOVE_ELSEWHERE = "UPDATE log_head SET size = %s, frontier = %s"
_LEAVES = (
    select(log.c.leaf_hash)
    .where(log.c.sequence >= bindparam("begin"), log.c.sequence < bindparam("end"))
    .order_by(log.c.sequence)
)
_TILE_HASHES = (
    select(log_tiles.c.hash)
    .where(
        log_tiles.c.level == bindparam("level"),
        log_tiles.c.number >= bindparam("begin"),
        log_tiles.c.number < bindparam("end"),
    )
    .order_by(log_tiles.c.number)
)
_BEGIN = text(
    "INSERT INTO log_head (id, origin, seal_check, size, frontier, erased)"
    " VALUES (:id, :origin, :seal_check, 0, :frontier, 0)"
    " ON CONFLICT DO NOTHING"
)
_KEEP = text(
    "INSERT INTO checkpoints (size, root, signed_at, note) VALUES (:size, :root, :signed_at, :note) ON CONFLICT DO NOTHING"
)


class LogTail:
    """The end of the log, which nobody else can append to until this transaction ends (`lock_tail`)."""

    def __init__(self, connection: Connection, frontier: Frontier, erased: int) -> None:
        self._connection = connection
        self._frontier = frontier
        self.erased = erased
        """How many entries there were right after the last erasure: what was read of keys under another number is stale."""

    @property
    def size(self) -> int:
        """The sequence of the next entry."""
        return self._frontier.size

    def append(self, entries: Sequence[bytes]) -> Sequence[bytes]:
        """Append entries from `size` on; gives their leaf hashes."""
        begin = self.size
        hashes = leaf_hashes(entries)
        tiles = self._frontier.extend(hashes)
        _LOG.put(self._connection, list(zip(range(begin, self.size), hashes, entries, strict=True)))
        _TILES.put(self._connection, tiles)
        move = _MOVE.get(self._connection.dialect.name, _MOVE_ELSEWHERE)
        self._connection.exec_driver_sql(move, (self.size, self._frontier.to_bytes()))
        return hashes

    def note_erasure(self) -> None:
        """Tell every process that a key was destroyed in this transaction, whose last entry says so."""
        self.erased = self.size
        self._connection.execute(update(log_head).values(erased=self.erased))


def lock_tail(connection: Connection, secrets: JournalSecrets) -> LogTail:
    """Lock the end of the log for this writing transaction; a log that is none yet is begun.

    Raises:
        JournalUnavailable: the head is missing or damaged.
        SetupFault: the log was begun with another seal key.
    """
    head = _lock_head(connection)
    if head is None:
        _begin_log(connection, secrets)
        # Where another process began it at the same time, its head is the one that counts.
        head = _lock_head(connection)
    if head is None:
        raise JournalUnavailable
    seal_check, size, frontier, erased = head
    if seal_check != secrets.check:
        raise SetupFault(
            "the journal was written with another record key; restore keys/record.key from its backup, or look at"
            " PORTCULLIS_JOURNAL_URL"
        )
    try:
        return LogTail(connection, Frontier.from_bytes(size, frontier), erased)
    except ValueError:
        raise JournalUnavailable from None


def _lock_head(connection: Connection) -> Sequence[Any] | None:
    """Give (seal_check, size, frontier, erased) of the head, locked; None where there is none."""
    if connection.dialect.name != "sqlite":
        return connection.exec_driver_sql(_LOCK_ELSEWHERE).first()
    database = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    head: tuple[Any, ...] | None = database.execute(_LOCK).fetchone()
    return head


def _begin_log(connection: Connection, secrets: JournalSecrets) -> None:
    if connection.execute(select(log.c.sequence).limit(1)).first() is not None:
        # A head was removed: a second log must not grow over the first.
        raise JournalUnavailable
    origin = f"portcullis/journal/{secrets.draw(_ORIGIN_BYTES).hex()}"
    head = {"id": _HEAD_ID, "origin": origin, "seal_check": secrets.check, "frontier": b""}
    connection.execute(_BEGIN, head)


class SqlLog:
    """The stored log and its checkpoints, in transactions of their own."""

    def __init__(self, engine: Engine, secrets: JournalSecrets) -> None:
        self._engine = engine
        self._secrets = secrets

    def origin(self) -> str:
        """Give the log's own name."""
        wanted = select(log_head.c.origin)
        with guarded(), self._engine.begin() as connection:
            found = connection.scalar(wanted)
        if found is None:
            with guarded(), writing(self._engine).begin() as connection:
                lock_tail(connection, self._secrets)
                found = connection.scalar(wanted)
        return str(found)

    def timeline(self) -> str:
        """Name the log as those know it who keep places in it."""
        wanted = select(log_head.c.origin, log_head.c.timeline)
        with guarded(), self._engine.begin() as connection:
            head = connection.execute(wanted).first()
        # A log that is not begun yet was never restored.
        return log_of_timeline(head.origin, head.timeline) if head else self.origin()

    def size(self) -> int:
        """Give how many entries the log has."""
        with guarded(), self._engine.begin() as connection:
            return connection.scalar(select(log_head.c.size)) or 0

    def head(self) -> LogHead | None:
        """Give the head as it is stored; None where it is missing, as it is before the first entry."""
        with guarded(), self._engine.begin() as connection:
            row = connection.execute(select(log_head.c.size, log_head.c.frontier)).first()
        return LogHead(row.size, row.frontier) if row else None

    def leaf_hashes(self, begin: int, end: int) -> Sequence[bytes]:
        """Give the leaf hashes in [begin, end) as they are stored; fewer where the log is shorter or has a gap."""
        with guarded(), self._engine.begin() as connection:
            return connection.scalars(_LEAVES, {"begin": begin, "end": end}).all()

    def tile_hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """Give the hashes of whole subtrees of 256 ** level leaves, of the numbers in [begin, end); ``level`` from 1."""
        with guarded(), self._engine.begin() as connection:
            return connection.scalars(_TILE_HASHES, {"level": level, "begin": begin, "end": end}).all()

    def entries(self, begin: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Give (sequence, stored leaf hash, entry) from a sequence on, ascending, a page of them at a time."""
        while page := self._page(begin):
            yield from page
            begin = page[-1][0] + 1

    def _page(self, begin: int) -> list[tuple[int, bytes, bytes]]:
        wanted = (
            select(log.c.sequence, log.c.leaf_hash, log.c.entry)
            .where(log.c.sequence >= begin)
            .order_by(log.c.sequence)
            .limit(PAGE_ROWS)
        )
        with guarded(), self._engine.begin() as connection:
            return [(row.sequence, row.leaf_hash, row.entry) for row in connection.execute(wanted)]

    def checkpoint(self, size: int = 0) -> StoredCheckpoint | None:
        """Give the checkpoint of a size, 0 for the newest; None where none was signed."""
        wanted = select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)
        if size:
            wanted = wanted.where(checkpoints.c.size == size)
        with guarded(), self._engine.begin() as connection:
            row = connection.execute(wanted).first()
        return StoredCheckpoint(size=row.size, root=row.root, signed_at=row.signed_at, note=row.note) if row else None

    def checkpoints_from(self, size: int) -> Iterator[StoredCheckpoint]:
        """Give the checkpoints from a size on, ascending, a page of them at a time."""
        while True:
            wanted = select(checkpoints).where(checkpoints.c.size >= size).order_by(checkpoints.c.size).limit(PAGE_ROWS)
            with guarded(), self._engine.begin() as connection:
                page = connection.execute(wanted).all()
            if not page:
                return
            for row in page:
                yield StoredCheckpoint(size=row.size, root=row.root, signed_at=row.signed_at, note=row.note)
            size = page[-1].size + 1

    def keep_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint; one of the same size stays as it is."""
        row = {
            "size": checkpoint.size,
            "root": checkpoint.root,
            "signed_at": checkpoint.signed_at,
            "note": checkpoint.note,
        }
        with guarded(), writing(self._engine).begin() as connection:
            connection.execute(_KEEP, row)
