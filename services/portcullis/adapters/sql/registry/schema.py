"""The tables of the registry, as the newest migration leaves them.

Of a subject the registry keeps its tokens and one sealed blob; no identifier or name stands in a column in clear. An
entry's row is its present version; a version that is superseded is first copied to ``entry_versions``, so nothing is ever
overwritten. ``seq`` is the change of the log that made the version.

Of a version, ``until`` is when it stops to bind if nobody acts any more: the least of ``stated_until``, which its authority
has given, of ``lapses_at`` and of ``decide_by`` (0 where there is none; `portcullis.domain.entry_life.effective_until`). So
whatever asks by the clock asks ``until`` alone. ``tokens`` are those of its identifiers and after them the ``clearances``
of its redress numbers; ``token_epoch`` says which key those of the identifiers were made with. A ``barred`` entry was taken
off by a person, and no import brings it back.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from portcullis.adapters.sql.naming import NAMING, NUMBER

registry_metadata = MetaData(naming_convention=NAMING)

change_log = Table(
    "change_log",
    registry_metadata,
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("ground", Text, nullable=False),
)

policies = Table(
    "policies",
    registry_metadata,
    Column("version", NUMBER, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=False),
)

lists = Table(
    "lists",
    registry_metadata,
    Column("list_id", NUMBER, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("in_force", BigInteger, nullable=False),
    # A segment of the replica has 16 bits for it. Lists are never deleted, so a number is never given to another.
    CheckConstraint("list_id < 65536", name="list_id_fits_a_segment"),
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


def _content_columns() -> tuple[Column[Any], ...]:
    return (
        Column("subject_type", Text, nullable=False),
        Column("wording", ForeignKey("wordings.wording"), nullable=False),
        Column("case_reference", Text, nullable=False),
        Column("valid_from", BigInteger, nullable=False),
        Column("until", BigInteger, nullable=False),
        Column("stated_until", BigInteger, nullable=False),
        Column("lapses_at", BigInteger, nullable=False),
        Column("measures", Text, nullable=False),
        Column("tokens", LargeBinary, nullable=False),
        Column("token_epoch", BigInteger, nullable=False, server_default="1"),
        Column("sealed", LargeBinary, nullable=False),
        Column("digest", LargeBinary, nullable=False),
    )


def _version_columns() -> tuple[Column[Any], ...]:
    return (
        Column("version", BigInteger, nullable=False),
        Column("status", Text, nullable=False),
        *_content_columns(),
        Column("decide_by", BigInteger, nullable=False),
        Column("clearances", LargeBinary, nullable=False),
        Column("barred", Boolean, nullable=False),
        Column("seq", ForeignKey("change_log.seq"), nullable=False),
    )


CONTENT_COLUMNS = tuple(column.name for column in _content_columns())
"""What an entry's submission says: all of a version but its number, status and change, and what disputes have led to."""

VERSION_COLUMNS = tuple(column.name for column in _version_columns())
"""What an entry's present version and a superseded one both hold."""

entries = Table(
    "entries",
    registry_metadata,
    Column("entry_id", NUMBER, primary_key=True),
    Column("list_id", ForeignKey("lists.list_id"), nullable=False),
    Column("key", Text, nullable=False),
    *_version_columns(),
    UniqueConstraint("list_id", "key"),
    Index(None, "list_id", "entry_id"),
    # What has changed, and what has ended, since the publisher last looked.
    Index(None, "seq"),
    Index(None, "until"),
    # The few that wait for a second person, and those that no import brings back.
    Index(
        "ix_entries_proposed",
        "list_id",
        "entry_id",
        sqlite_where=text("status = 'proposed'"),
        postgresql_where=text("status = 'proposed'"),
    ),
    Index(
        "ix_entries_barred",
        "list_id",
        "key",
        sqlite_where=text("barred = 1"),
        postgresql_where=text("barred"),
    ),
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

# An amendment that waits for a second person beside its entry; ``seq`` is the change that proposed it.
entry_amendments = Table(
    "entry_amendments",
    registry_metadata,
    Column("entry_id", NUMBER, ForeignKey("entries.entry_id"), primary_key=True, autoincrement=False),
    *_content_columns(),
    Column("proposer", Text, nullable=False),
    Column("proposed_at", Float, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=False),
)

# An index that SQL can't derive by itself. It is written in the order of tokens, so a foreign key would look up an entry at
# random for each row, which takes longer than all the rest of an import.
entry_tokens = Table(
    "entry_tokens",
    registry_metadata,
    Column("token", LargeBinary, primary_key=True),
    Column("entry_id", NUMBER, primary_key=True, autoincrement=False),
    # The table is its own index in the order of tokens.
    sqlite_with_rowid=False,
)

# The token keys that entries stand, stood or will stand under (`portcullis.domain.token_keys`), never the keys themselves.
# ``state`` is in-use (one at most), leaving or left; ``left_at`` is when the last entry had come over from it.
token_keys = Table(
    "token_keys",
    registry_metadata,
    Column("epoch", NUMBER, primary_key=True, autoincrement=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("left_at", Float, nullable=True),
)

# What an entry stood under before its tokens were renewed with another key, as change ``seq`` of the log; kept as long as
# the key is. Whoever follows the index from before looks under it, and so does whoever looks for old decisions.
former_tokens = Table(
    "former_tokens",
    registry_metadata,
    Column("entry_id", NUMBER, ForeignKey("entries.entry_id"), primary_key=True, autoincrement=False),
    Column("token_epoch", NUMBER, primary_key=True, autoincrement=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=False, index=True),
)

# The epoch of a partner's key for its names; 1 where there is none (`portcullis.domain.subjects`).
feed_keys = Table(
    "feed_keys",
    registry_metadata,
    Column("partner", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("since", Float, nullable=False),
)

entry_looks = Table(
    "entry_looks",
    registry_metadata,
    Column("number", NUMBER, primary_key=True),
    Column("entry_id", ForeignKey("entries.entry_id"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("purpose", Text, nullable=False),
)

# An import is applied at once, or held for a second operator: then it stands here as held until it is applied, rejected or
# void. What was decided, by whom and when stays beside who imported it. ``seq`` is the change that ended it, ``held_seq``
# the one that held it, ``policy_version`` the policy that its rows were admitted under. ``lost`` of ``in_force`` entries it
# takes away, ``guard`` may go; 0 ``in_force`` where so few are lost that the others were not counted.
imports = Table(
    "imports",
    registry_metadata,
    Column("import_id", NUMBER, primary_key=True),
    Column("list_id", ForeignKey("lists.list_id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("committed_at", Float, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("amended", BigInteger, nullable=False),
    Column("unchanged", BigInteger, nullable=False),
    Column("withdrawn", BigInteger, nullable=False),
    Column("superseded", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("in_force", BigInteger, nullable=False),
    Column("guard", BigInteger, nullable=False),
    Column("policy_version", BigInteger, nullable=False),
    Column("held_seq", ForeignKey("change_log.seq"), nullable=True),
    Column("decided_by", Text, nullable=True),
    Column("decided_at", Float, nullable=True),
    Column("purpose", Text, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=True),
    # A list has one held import at most: a newer import of it makes the earlier one void.
    Index(
        "uq_imports_held",
        "list_id",
        unique=True,
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
)

# The rows of a held import that would change something, sealed as they will be in ``entries``.
held_rows = Table(
    "held_rows",
    registry_metadata,
    Column("import_id", ForeignKey("imports.import_id"), primary_key=True),
    Column("row_no", NUMBER, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    *_content_columns(),
)

# The entries that a held full import would withdraw.
held_withdrawals = Table(
    "held_withdrawals",
    registry_metadata,
    Column("import_id", ForeignKey("imports.import_id"), primary_key=True),
    Column("entry_id", NUMBER, ForeignKey("entries.entry_id"), primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# Each time that somebody asked for a list to be suspended or resumed: ``state`` is requested, done or void, ``decided_by``
# who did it or gave it up with change ``decided_seq``. The last one done says how the list stands.
list_switches = Table(
    "list_switches",
    registry_metadata,
    Column("number", NUMBER, primary_key=True),
    Column("list_id", ForeignKey("lists.list_id"), nullable=False),
    Column("suspend", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_seq", ForeignKey("change_log.seq"), nullable=False),
    Column("decided_by", Text, nullable=True),
    Column("decided_seq", ForeignKey("change_log.seq"), nullable=True),
    Index(
        "uq_list_switches_requested",
        "list_id",
        unique=True,
        sqlite_where=text("state = 'requested'"),
        postgresql_where=text("state = 'requested'"),
    ),
)

# ``lists`` is a JSON array of the lists that the key is good for; empty for every list. ``successor`` is the id of the key
# that was made in its place; empty for none.
api_keys = Table(
    "api_keys",
    registry_metadata,
    Column("key_id", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("lists", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float, nullable=True),
    Column("expires_at", Float, nullable=True),
    Column("successor", Text, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=False),
)

# ``mark`` is a certificate's serial number, or the digest of its key (`portcullis.domain.caller_certificates`).
revoked_certificates = Table(
    "revoked_certificates",
    registry_metadata,
    Column("mark", Text, primary_key=True),
    Column("note", Text, nullable=False),
    Column("revoked_at", Float, nullable=False),
    Column("seq", ForeignKey("change_log.seq"), nullable=False),
)
