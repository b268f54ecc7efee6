"""The timeline of a journal that was restored from a backup."""

import sqlalchemy as sa
from alembic import op

revision = "journal_4"
down_revision = "journal_3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the timeline: none, so that every place that is kept elsewhere stays good."""
    op.add_column("log_head", sa.Column("timeline", sa.Text(), nullable=False, server_default=""))
