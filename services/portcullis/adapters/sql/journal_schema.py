"""The tables of the journal, as the newest migration leaves them. A gateway loads these alone."""

from __future__ import annotations

from sqlalchemy import Column, Float, LargeBinary, MetaData, Table, Text

from portcullis.adapters.sql.naming import NAMING, NUMBER

journal_metadata = MetaData(naming_convention=NAMING)

decisions = Table(
    "decisions",
    journal_metadata,
    # Records are added at the end of the table, whatever their ids look like.
    Column("number", NUMBER, primary_key=True),
    Column("decision_id", Text, nullable=False, unique=True),
    Column("record", LargeBinary, nullable=False),
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
