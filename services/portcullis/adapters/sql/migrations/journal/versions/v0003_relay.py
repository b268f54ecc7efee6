"""Streams to other systems."""

import sqlalchemy as sa
from alembic import op

revision = "journal_3"
down_revision = "journal_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the relay's table."""
    op.create_table(
        "relay_streams",
        sa.Column("stream_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("stream", sa.LargeBinary(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=False),
        sa.Column("leased_until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", name="pk_relay_streams"),
        sa.UniqueConstraint("token_digest", name="uq_relay_streams_token_digest"),
    )
