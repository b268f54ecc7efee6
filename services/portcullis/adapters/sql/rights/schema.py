"""The tables of listed persons' rights, in the registry's database, as the newest migration leaves them.

No identifier stands here, and nothing that a subject or a person mistaken for one could use is kept as it was given: codes
and sessions stand as digests, redress numbers only as the keyed tokens that they count under.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from portcullis.adapters.sql.naming import NUMBER
from portcullis.adapters.sql.registry.schema import entries, registry_metadata

# A partner names an entry by its case reference, among millions of them.
Index(None, entries.c.list_id, entries.c.case_reference)

cases = Table(
    "cases",
    registry_metadata,
    Column("case_id", Text, primary_key=True),
    Column("entry_id", ForeignKey("entries.entry_id"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("ground", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("tell_source_by", Float, nullable=False),
    Column("source_told_at", Float, nullable=False),
    Column("decide_by", BigInteger, nullable=False),
    Column("extended", Boolean, nullable=False),
    Column("stayed", Boolean, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("resolution", Text, nullable=True),
    Column("closed_at", Float, nullable=False),
    Column("version", BigInteger, nullable=False),
    # What is to be decided next.
    Index(None, "state", "decide_by", "case_id"),
    # An entry has one open case of a kind at most.
    Index(
        "uq_cases_open",
        "entry_id",
        "kind",
        unique=True,
        sqlite_where=text("state = 'OPEN'"),
        postgresql_where=text("state = 'OPEN'"),
    ),
)

case_steps = Table(
    "case_steps",
    registry_metadata,
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("step", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("case_id", "number"),
)

case_evidence = Table(
    "case_evidence",
    registry_metadata,
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", Float, nullable=False),
    PrimaryKeyConstraint("case_id", "number"),
)

# An event that lets an entry wait for its release. ``version`` is the entry's when it was noted: the wait is over once a
# later version has left the list. ``ended_at`` is set when that was seen, or the entry was released, or somebody objected.
settlements = Table(
    "settlements",
    registry_metadata,
    Column("settlement_id", NUMBER, primary_key=True),
    Column("entry_id", ForeignKey("entries.entry_id"), nullable=False, index=True),
    Column("version", BigInteger, nullable=False),
    Column("partner", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("reported_at", Float, nullable=False),
    Column("release_at", Float, nullable=False),
    Column("ended_at", Float, nullable=True),
    UniqueConstraint("partner", "event_id", "entry_id"),
    Index(
        "ix_settlements_waiting",
        "release_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# Before which sequence of a journal, named by its timeline, its events were taken over.
journals_read = Table(
    "journals_read",
    registry_metadata,
    Column("journal", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

redress_numbers = Table(
    "redress_numbers",
    registry_metadata,
    Column("number_id", Text, primary_key=True),
    Column("entry_id", ForeignKey("entries.entry_id"), nullable=False, index=True),
    Column("issued_by", Text, nullable=False),
    Column("issued_at", Float, nullable=False),
    Column("case_id", ForeignKey("cases.case_id"), nullable=True),
    Column("clearances", LargeBinary, nullable=False),
    # The newest token key that the clearances were made with; they were made with the one in use then, too.
    Column("token_epoch", BigInteger, nullable=False, server_default="1"),
    Column("revoked_at", Float, nullable=True),
)

# The holder of an identifier, told by its tokens in ascending order, has one code at most.
subject_codes = Table(
    "subject_codes",
    registry_metadata,
    Column("tokens", LargeBinary, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("tries", BigInteger, nullable=False),
)

subject_sessions = Table(
    "subject_sessions",
    registry_metadata,
    Column("digest", Text, primary_key=True),
    Column("handle", Text, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("expires_at", Float, nullable=False),
)

# Tokens that erased entries stood under, without saying whose: whoever follows the index from before the erasure still has
# to look under them. ``seq`` is the erasure's change.
erased_tokens = Table(
    "erased_tokens",
    registry_metadata,
    Column("seq", ForeignKey("change_log.seq"), nullable=False),
    Column("list_id", ForeignKey("lists.list_id"), nullable=False),
    Column("token", LargeBinary, nullable=False),
    PrimaryKeyConstraint("seq", "list_id", "token"),
)
