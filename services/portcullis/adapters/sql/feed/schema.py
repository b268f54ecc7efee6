"""The tables of the feed, in the journal's database, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Table, Text

from portcullis.adapters.sql.journal.schema import journal_metadata
from portcullis.adapters.sql.naming import NUMBER

feed = Table(
    "feed",
    journal_metadata,
    # Positions are given under the lock of the head, so they become visible in their order and without gaps.
    Column("position", NUMBER, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("list", Text, nullable=False),
    Column("list_number", BigInteger, nullable=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("happened_at", Float, nullable=False),
    Column("until", BigInteger, nullable=False),
)

# One row: the feed's name, the positions that are kept, and how far the registry was taken over.
feed_head = Table(
    "feed_head",
    journal_metadata,
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("feed", Text, nullable=False),
    Column("oldest", BigInteger, nullable=False),
    Column("newest", BigInteger, nullable=False),
    Column("registry_seq", BigInteger, nullable=False),
    Column("registry_at", Float, nullable=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("ended_until", BigInteger, nullable=False),
    Column("ended_entry_id", BigInteger, nullable=False),
)
