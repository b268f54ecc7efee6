"""Imports: rows are staged off to one side, then merged by a handful of statements in one transaction.

The staging tables are temporary ones of the import's own connection. They hold no writer up, no other connection sees
them, and they go with the connection, however it ends: a crashed import leaves nothing behind.

The merge compares digests: a staged row whose key is new is added, one whose digest differs amends, an equal one changes
nothing. A withdrawn entry that comes again is back in force under its old number and counts as added, so that the count
in force always grows by ``added - withdrawn``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.schema import CreateTable

from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.registry_database import RegistryDatabase, guarded, next_change
from portcullis.adapters.sql.registry_entries import (
    archive,
    count_by,
    forget_tokens,
    index_tokens,
    list_number,
    withdraw,
)
from portcullis.adapters.sql.rows import EntryWriter, wording_row
from portcullis.adapters.sql.schema import entries, imports, wordings
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.ports import ImportCounts

_IN_FORCE: Final = EntryStatus.IN_FORCE.value
_CACHE_KIB: Final = 65_536
_WORDINGS_HELD: Final = 65_536

_staging = MetaData()

_rows = Table(
    "import_rows",
    _staging,
    Column("row_no", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("subject_type", Text, nullable=False),
    Column("wording", LargeBinary, nullable=False),
    Column("case_reference", Text, nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("measures", Text, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    prefixes=["TEMPORARY"],
)
_by_key = Index("import_rows_by_key", _rows.c.key, _rows.c.row_no)

_wordings = Table(
    "import_wordings",
    _staging,
    *(Column(column.name, column.type, nullable=False) for column in wordings.c),
    prefixes=["TEMPORARY"],
)

_changes = Table(
    "import_changes",
    _staging,
    Column("row_no", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, nullable=True),
    Column("was_in_force", Boolean, nullable=False),
    Column("retoken", Boolean, nullable=False),
    prefixes=["TEMPORARY"],
)

_kept = Table("import_kept", _staging, Column("key", Text, nullable=False), prefixes=["TEMPORARY"])

_gone = Table(
    "import_gone",
    _staging,
    Column("entry_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    prefixes=["TEMPORARY"],
)

_CONTENT: Final = (
    "subject_type",
    "wording",
    "case_reference",
    "valid_from",
    "until",
    "measures",
    "tokens",
    "sealed",
    "digest",
)


class SqlImport:
    """One import under way, on a connection of its own."""

    def __init__(
        self, database: RegistryDatabase, connection: Connection, writer: EntryWriter, *, list_name: str, actor: str
    ) -> None:
        self._database = database
        self._connection = connection
        self._writer = writer
        self._list_name = list_name
        self._actor = actor
        self._started_at = database.now()
        self._staged = 0
        self._wordings: set[bytes] = set()
        with guarded(), connection.begin():
            _prepare(connection, on_sqlite=database.on_sqlite)

    def stage(self, entries: Sequence[Entry]) -> None:
        """Stage rows, in memory for as long as this call lasts. A key that comes again replaces the earlier row.

        Raises:
            RegistryUnavailable: there is no room for them.
        """
        if not entries:
            return
        rows = [self._writer.row(entry) | {"row_no": self._staged + place} for place, entry in enumerate(entries)]
        words = {row["wording"]: entry for row, entry in zip(rows, entries, strict=True)}
        fresh = [wording_row(entry) for wording, entry in words.items() if wording not in self._wordings]
        with guarded(), self._connection.begin():
            insert_many(self._connection, _rows, rows)
            insert_many(self._connection, _wordings, fresh)
        self._staged += len(rows)
        if len(self._wordings) > _WORDINGS_HELD:
            self._wordings.clear()
        self._wordings.update(words)

    def keep(self, keys: Sequence[str]) -> None:
        """Let a full commit leave the entries of these keys as they are: their rows were bad, not gone.

        Raises:
            RegistryUnavailable: there is no room for them.
        """
        if keys:
            with guarded(), self._connection.begin():
                self._connection.execute(insert(_kept), [{"key": key} for key in keys])

    def commit(self, *, full: bool) -> ImportCounts:
        """Merge what was staged in one transaction, as `portcullis.ports.ImportSession` says. An import commits once.

        Raises:
            RegistryUnavailable: nothing of the import has taken effect.
        """
        connection = self._connection
        with guarded(), connection.begin():
            _settle_staging(connection, on_sqlite=self._database.on_sqlite)
        with self._database.writing_in(connection):
            list_id = list_number(connection, self._list_name)
            counts = _compare(connection, list_id, full=full)
            seq = self._merge(list_id, counts) if counts.added or counts.amended or counts.withdrawn else None
            self._note(list_id, counts, full=full, seq=seq)
        return counts

    def _merge(self, list_id: int, counts: ImportCounts) -> int:
        connection = self._connection
        seq = next_change(connection, at=self._database.now(), actor=self._actor, change="import", subject=self._list_name)
        _keep_wordings(connection)
        _amend(connection, seq=seq)
        _add(connection, list_id, seq=seq)
        withdraw(connection, select(_gone.c.entry_id), seq=seq)
        count_by(connection, list_id, counts.added - counts.withdrawn)
        return seq

    def _note(self, list_id: int, counts: ImportCounts, *, full: bool, seq: int | None) -> None:
        self._connection.execute(
            insert(imports).values(
                list_id=list_id,
                actor=self._actor,
                started_at=self._started_at,
                committed_at=self._database.now(),
                mode="full" if full else "additive",
                added=counts.added,
                amended=counts.amended,
                unchanged=counts.unchanged,
                withdrawn=counts.withdrawn,
                seq=seq,
            )
        )


def _prepare(connection: Connection, *, on_sqlite: bool) -> None:
    if on_sqlite:
        for schema in ("main", "temp"):
            connection.exec_driver_sql(f"PRAGMA {schema}.cache_size = -{_CACHE_KIB}")
    for table in (_rows, _wordings, _kept, _changes, _gone):
        # The index on the keys is made once all rows are there: sorting once is cheaper than keeping order.
        connection.execute(CreateTable(table))


def _settle_staging(connection: Connection, *, on_sqlite: bool) -> None:
    """Leave the last row of each key."""
    _by_key.create(connection)
    later = _rows.alias("later")
    connection.execute(delete(_rows).where(exists().where(later.c.key == _rows.c.key, later.c.row_no > _rows.c.row_no)))
    if not on_sqlite:
        connection.execute(text("ANALYZE import_rows"))


def _compare(connection: Connection, list_id: int, *, full: bool) -> ImportCounts:
    """Note which staged rows change something, and in a full import which entries are gone."""
    rows, known = _rows, entries
    in_force = func.coalesce(known.c.status == _IN_FORCE, literal(False))  # noqa: FBT003 - SQL's
    connection.execute(
        insert(_changes).from_select(
            ("row_no", "entry_id", "was_in_force", "retoken"),
            select(
                rows.c.row_no,
                known.c.entry_id,
                in_force,
                or_(known.c.entry_id.is_(None), known.c.tokens != rows.c.tokens),
            )
            .select_from(rows)
            .outerjoin(known, and_(known.c.list_id == list_id, known.c.key == rows.c.key))
            .where(or_(known.c.entry_id.is_(None), known.c.digest != rows.c.digest, known.c.status != _IN_FORCE)),
        )
    )
    if full:
        staged = exists().where(rows.c.key == known.c.key)
        kept = exists().where(_kept.c.key == known.c.key)
        missing = select(known.c.entry_id).where(known.c.list_id == list_id, known.c.status == _IN_FORCE, ~staged, ~kept)
        connection.execute(insert(_gone).from_select(("entry_id",), missing))
    return _counts(connection)


def _counts(connection: Connection) -> ImportCounts:
    def count(table: Table, *conditions: Any) -> int:
        return connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

    total, changed = count(_rows), count(_changes)
    amended = count(_changes, _changes.c.was_in_force)
    return ImportCounts(added=changed - amended, amended=amended, unchanged=total - changed, withdrawn=count(_gone))


def _keep_wordings(connection: Connection) -> None:
    names = tuple(column.name for column in wordings.c)
    new = select(_wordings).distinct().where(~exists().where(wordings.c.wording == _wordings.c.wording))
    connection.execute(insert(wordings).from_select(names, new))


def _amend(connection: Connection, *, seq: int) -> None:
    """Write the changed rows of known entries, with their history and their tokens."""
    known = select(_changes.c.entry_id).where(_changes.c.entry_id.is_not(None))
    retokened = known.where(_changes.c.retoken)
    archive(connection, known)
    forget_tokens(connection, retokened)
    connection.execute(
        update(entries)
        .where(entries.c.entry_id == _changes.c.entry_id, _rows.c.row_no == _changes.c.row_no)
        .values({name: _rows.c[name] for name in _CONTENT})
        .values(version=entries.c.version + 1, status=_IN_FORCE, seq=seq)
    )
    index_tokens(connection, retokened)


def _add(connection: Connection, list_id: int, *, seq: int) -> None:
    """Write the rows of new keys; the write lock makes their numbers the highest."""
    before = connection.scalar(select(func.coalesce(func.max(entries.c.entry_id), 0)))
    added = (
        select(literal(list_id), _rows.c.key, literal(1), literal(_IN_FORCE), literal(seq))
        .add_columns(*(_rows.c[name] for name in _CONTENT))
        .join(_changes, _changes.c.row_no == _rows.c.row_no)
        .where(_changes.c.entry_id.is_(None))
        .order_by(_rows.c.row_no)
    )
    connection.execute(insert(entries).from_select(("list_id", "key", "version", "status", "seq", *_CONTENT), added))
    index_tokens(connection, select(entries.c.entry_id).where(entries.c.entry_id > before))
