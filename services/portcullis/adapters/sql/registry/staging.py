"""Where the rows of an import wait: temporary tables of its own connection.

They hold no writer up, no other connection sees them, and they go with the connection, however it ends: a crashed import
leaves nothing behind.
"""

from __future__ import annotations

from typing import Final

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
    delete,
    exists,
    text,
)
from sqlalchemy.schema import CreateTable

from portcullis.adapters.sql.registry.schema import wordings

_CACHE_KIB: Final = 65_536
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

_staging = MetaData()

staged_rows = Table(
    "import_rows",
    _staging,
    Column("row_no", _NUMBER, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("subject_type", Text, nullable=False),
    Column("wording", LargeBinary, nullable=False),
    Column("case_reference", Text, nullable=False),
    Column("valid_from", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("stated_until", BigInteger, nullable=False),
    Column("lapses_at", BigInteger, nullable=False),
    Column("measures", Text, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("token_epoch", BigInteger, nullable=False),
    # What a known entry may stand under while token keys change; empty otherwise.
    Column("other_tokens", LargeBinary, nullable=False, default=b""),
    Column("sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    prefixes=["TEMPORARY"],
)
_by_key = Index("import_rows_by_key", staged_rows.c.key, staged_rows.c.row_no)

staged_wordings = Table(
    "import_wordings",
    _staging,
    *(Column(column.name, column.type, nullable=False) for column in wordings.c),
    prefixes=["TEMPORARY"],
)

kept_keys = Table("import_kept", _staging, Column("key", Text, nullable=False), prefixes=["TEMPORARY"])

# What the comparison finds. An entry that ``was_listed`` is amended, another added; one that is ``reaffirmed`` binds on as
# it did, and only lapses at another time. ``lost`` marks one that the import takes away, as `portcullis.domain.guards` has
# it.
changes = Table(
    "import_changes",
    _staging,
    Column("row_no", _NUMBER, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, nullable=True),
    Column("was_listed", Boolean, nullable=False),
    Column("reaffirmed", Boolean, nullable=False),
    Column("retoken", Boolean, nullable=False),
    Column("lost", Boolean, nullable=False),
    prefixes=["TEMPORARY"],
)

withdrawals = Table(
    "import_withdrawals",
    _staging,
    Column("entry_id", _NUMBER, primary_key=True, autoincrement=False),
    Column("lost", Boolean, nullable=False),
    prefixes=["TEMPORARY"],
)


def make_staging(connection: Connection) -> None:
    """Make the tables, on a connection that goes when the import ends."""
    if connection.dialect.name == "sqlite":
        for schema in ("main", "temp"):
            connection.exec_driver_sql(f"PRAGMA {schema}.cache_size = -{_CACHE_KIB}")
    for table in (staged_rows, staged_wordings, kept_keys, changes, withdrawals):
        # The index on the keys is made once all rows are there: sorting once is cheaper than keeping order.
        connection.execute(CreateTable(table))


def settle_staging(connection: Connection) -> None:
    """Leave the last row of each key."""
    _by_key.create(connection)
    later = staged_rows.alias("later")
    doubled = exists().where(later.c.key == staged_rows.c.key, later.c.row_no > staged_rows.c.row_no)
    connection.execute(delete(staged_rows).where(doubled))
    if connection.dialect.name != "sqlite":
        connection.execute(text("ANALYZE import_rows"))
