"""The tables of the journal, as the newest migration leaves them.

``log`` is what the Merkle tree is built over, and says everything. ``log_tiles`` and ``log_head`` follow from it by hashing;
``decisions``, ``decision_reasons`` and ``events`` are its clear facts once more, to find them by. ``decision_handles`` finds
the decisions of a person, and ``subject_keys`` lets them be read: both are outside the log, so that a person can be erased.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

from portcullis.adapters.sql.naming import NAMING, NUMBER

journal_metadata = MetaData(naming_convention=NAMING)

log_head = Table(
    "log_head",
    journal_metadata,
    # One row, which whoever appends locks first: the order of commits is that of sequences.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("origin", Text, nullable=False),
    Column("seal_check", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    # How many entries there were right after the last erasure, 0 before the first: what a process remembers of decisions
    # and their keys is as old as this.
    Column("erased", BigInteger, nullable=False),
    # Which timeline this is (portcullis.domain.timelines): "" until the journal is first restored from a backup.
    Column("timeline", Text, nullable=False, server_default=""),
)

log = Table(
    "log",
    journal_metadata,
    Column("sequence", NUMBER, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("entry", LargeBinary, nullable=False),
)

log_tiles = Table(
    "log_tiles",
    journal_metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoints",
    journal_metadata,
    Column("size", NUMBER, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("signed_at", Float, nullable=False),
    Column("note", Text, nullable=False),
)

decisions = Table(
    "decisions",
    journal_metadata,
    Column("sequence", NUMBER, primary_key=True, autoincrement=False),
    Column("decision_id", Text, nullable=False, unique=True),
    Column("partner", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("decided_at", Float, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("degraded", Boolean, nullable=False),
    Column("snapshot_version", BigInteger, nullable=False),
    Column("key_id", Text, nullable=False),
)

decision_reasons = Table(
    "decision_reasons",
    journal_metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    # A list may give several reasons of one decision.
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("list", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Column("effect", Text, nullable=False),
    Column("shadow", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

decision_handles = Table(
    "decision_handles",
    journal_metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("handle", Text, primary_key=True),
    sqlite_with_rowid=False,
)
Index(None, decision_handles.c.handle)

events = Table(
    "events",
    journal_metadata,
    Column("sequence", NUMBER, primary_key=True, autoincrement=False),
    Column("partner", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("list", Text, nullable=False),
    Column("decision_sequence", BigInteger, nullable=True),
    Column("occurred_at_ms", BigInteger, nullable=False),
    Column("recorded_at_ms", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
Index(None, events.c.partner, events.c.event_id, unique=True)

subject_keys = Table(
    "subject_keys",
    journal_metadata,
    Column("handle", Text, primary_key=True),
    Column("key_id", Text, nullable=False, unique=True),
    Column("wrapped", LargeBinary, nullable=False),
    # With a row id, unlike the others: handles are random, and rows kept in their order would have every commit write a
    # page for each new key.
)

looks = Table(
    "looks",
    journal_metadata,
    Column("number", NUMBER, primary_key=True),
    Column("decision_id", Text, nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("purpose", Text, nullable=False),
)
