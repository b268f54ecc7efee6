"""Keys by epoch: which key each version's tokens were made with, what entries stood under before, partners' feed keys."""

import sqlalchemy as sa
from alembic import op

revision = "registry_0003"
down_revision = "registry_0002"
branch_labels = None
depends_on = None

_WITH_TOKENS = ("entries", "entry_versions", "entry_amendments", "held_rows", "redress_numbers")


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Say of all that is there that it was made with the first key; a default does so without writing a row."""
    for table in _WITH_TOKENS:
        op.add_column(table, sa.Column("token_epoch", sa.BigInteger(), nullable=False, server_default="1"))
    op.create_table(
        "token_keys",
        sa.Column("epoch", _number(), nullable=False, autoincrement=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("left_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("epoch", name="pk_token_keys"),
    )
    op.create_table(
        "former_tokens",
        sa.Column("entry_id", _number(), nullable=False, autoincrement=False),
        sa.Column("token_epoch", _number(), nullable=False, autoincrement=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.Column("seq", _number(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "token_epoch", name="pk_former_tokens"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_former_tokens_entry_id"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_former_tokens_seq"),
    )
    op.create_index("ix_former_tokens_seq", "former_tokens", ["seq"])
    op.create_table(
        "feed_keys",
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("partner", name="pk_feed_keys"),
    )
