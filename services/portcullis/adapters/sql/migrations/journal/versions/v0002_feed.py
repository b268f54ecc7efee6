"""The feed of changes."""

import sqlalchemy as sa
from alembic import op

revision = "journal_2"
down_revision = "journal_1"
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the feed and its head."""
    op.create_table(
        "feed",
        sa.Column("position", _number(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("list", sa.Text(), nullable=False),
        sa.Column("list_number", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("happened_at", sa.Float(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_feed"),
    )
    op.create_table(
        "feed_head",
        sa.Column("number", _number(), autoincrement=False, nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("oldest", sa.BigInteger(), nullable=False),
        sa.Column("newest", sa.BigInteger(), nullable=False),
        sa.Column("registry_seq", sa.BigInteger(), nullable=False),
        sa.Column("registry_at", sa.Float(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("ended_until", sa.BigInteger(), nullable=False),
        sa.Column("ended_entry_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_feed_head"),
    )
