"""The tables of the relay, in the journal's database, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, LargeBinary, Table, Text

from portcullis.adapters.sql.journal.schema import journal_metadata

relay_streams = Table(
    "relay_streams",
    journal_metadata,
    Column("stream_id", Text, primary_key=True),
    Column("created_at", Float, nullable=False),
    # SHA-256 of the token that its receiver shows; NULL where it has none.
    Column("token_digest", LargeBinary, unique=True),
    # The authorization header that is sent to it, sealed (portcullis.adapters.sql.relay.secrets).
    Column("secret", LargeBinary),
    # portcullis.ports.relay.Stream in JSON.
    Column("stream", LargeBinary, nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("lease_owner", Text, nullable=False),
    Column("leased_until", Float, nullable=False),
)
