"""The tables of the registry and of the journal, as the newest migration leaves them.

Of a subject the registry keeps its tokens and one sealed blob; no identifier or name stands in a column in clear. An
entry's row is its present version; a version that is superseded is first copied to ``entry_versions``, so nothing is ever
overwritten. ``seq`` is the change of the log that made the version.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite numbers rows by itself only in a column whose type is INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

registry_metadata = MetaData(naming_convention=_NAMING)

change_log = Table(
    "change_log",
    registry_metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

policies = Table(
    "policies",
    registry_metadata,
    Column("version", _NUMBER, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=False),
)

lists = Table(
    "lists",
    registry_metadata,
    Column("list_id", _NUMBER, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("in_force", BigInteger, nullable=False),
)

# What many entries of a list have in common word for word, kept once under the digest of its text.
wordings = Table(
    "wordings",
    registry_metadata,
    Column("wording", LargeBinary, primary_key=True),
    Column("authority", Text, nullable=False),
    Column("legal_basis", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("redress", Text, nullable=False),
)


def _version_columns() -> tuple[Column[Any], ...]:
    return (
        Column("version", BigInteger, nullable=False),
        Column("status", Text, nullable=False),
        Column("subject_type", Text, nullable=False),
        Column("wording", ForeignKey("wordings.wording"), nullable=False),
        Column("case_reference", Text, nullable=False),
        Column("valid_from", BigInteger, nullable=False),
        Column("until", BigInteger, nullable=False),
        Column("measures", Text, nullable=False),
        Column("tokens", LargeBinary, nullable=False),
        Column("sealed", LargeBinary, nullable=False),
        Column("digest", LargeBinary, nullable=False),
        Column("seq", ForeignKey("change_log.seq"), nullable=False),
    )


VERSION_COLUMNS = tuple(column.name for column in _version_columns())
"""What an entry's present version and a superseded one both hold."""

entries = Table(
    "entries",
    registry_metadata,
    Column("entry_id", _NUMBER, primary_key=True),
    Column("list_id", ForeignKey("lists.list_id"), nullable=False),
    Column("key", Text, nullable=False),
    *_version_columns(),
    UniqueConstraint("list_id", "key"),
    Index(None, "list_id", "entry_id"),
    # A record of the replica has 32 bits for it.
    CheckConstraint("entry_id < 4294967296", name="entry_id_fits_a_record"),
    # A number is never given twice, not even after the last entry is gone.
    sqlite_autoincrement=True,
)

entry_versions = Table(
    "entry_versions",
    registry_metadata,
    Column("entry_id", ForeignKey("entries.entry_id"), nullable=False),
    *_version_columns(),
    PrimaryKeyConstraint("entry_id", "version"),
)

# An index that SQL can't derive by itself. It is written in the order of tokens, so a foreign key would look up an entry at
# random for each row, which takes longer than all the rest of an import.
entry_tokens = Table(
    "entry_tokens",
    registry_metadata,
    Column("token", LargeBinary, primary_key=True),
    Column("entry_id", _NUMBER, primary_key=True, autoincrement=False),
    # The table is its own index in the order of tokens.
    sqlite_with_rowid=False,
)

entry_looks = Table(
    "entry_looks",
    registry_metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("entry_id", ForeignKey("entries.entry_id"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("purpose", Text, nullable=False),
)

imports = Table(
    "imports",
    registry_metadata,
    Column("import_id", _NUMBER, primary_key=True),
    Column("list_id", ForeignKey("lists.list_id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("committed_at", Float, nullable=False),
    Column("mode", Text, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("amended", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
    Column("withdrawn", BigInteger, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=True),
)

api_keys = Table(
    "api_keys",
    registry_metadata,
    Column("key_id", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float, nullable=True),
    Column("seq", ForeignKey("change_log.seq"), nullable=False),
)

journal_metadata = MetaData(naming_convention=_NAMING)

decisions = Table(
    "decisions",
    journal_metadata,
    # Records are added at the end of the table, whatever their ids look like.
    Column("number", _NUMBER, primary_key=True),
    Column("decision_id", Text, nullable=False, unique=True),
    Column("record", LargeBinary, nullable=False),
)

looks = Table(
    "looks",
    journal_metadata,
    Column("number", _NUMBER, primary_key=True),
    Column("decision_id", Text, nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("purpose", Text, nullable=False),
)
