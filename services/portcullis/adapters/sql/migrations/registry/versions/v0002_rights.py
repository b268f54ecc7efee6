"""The rights of listed persons: cases, settlements, redress numbers, codes and sessions of subjects."""

import sqlalchemy as sa
from alembic import op

revision = "registry_0002"
down_revision = "registry_0001"
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the cases first, then what refers to them."""
    op.create_index("ix_entries_list_id_case_reference", "entries", ["list_id", "case_reference"])
    _create_cases()
    _create_settlements()
    _create_redress_numbers()
    _create_subjects()
    _create_erased_tokens()


def _create_cases() -> None:
    op.create_table(
        "cases",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("entry_id", _number(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ground", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("tell_source_by", sa.Float(), nullable=False),
        sa.Column("source_told_at", sa.Float(), nullable=False),
        sa.Column("decide_by", sa.BigInteger(), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("stayed", sa.Boolean(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.Float(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name="pk_cases"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_cases_entry_id"),
    )
    op.create_index("ix_cases_entry_id", "cases", ["entry_id"])
    op.create_index("ix_cases_state_decide_by_case_id", "cases", ["state", "decide_by", "case_id"])
    still = sa.text("state = 'OPEN'")
    op.create_index("uq_cases_open", "cases", ["entry_id", "kind"], unique=True, sqlite_where=still, postgresql_where=still)
    op.create_table(
        "case_steps",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "number", name="pk_case_steps"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_case_steps_case_id"),
    )
    op.create_table(
        "case_evidence",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "number", name="pk_case_evidence"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_case_evidence_case_id"),
    )


def _create_settlements() -> None:
    op.create_table(
        "settlements",
        sa.Column("settlement_id", _number(), nullable=False),
        sa.Column("entry_id", _number(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("reported_at", sa.Float(), nullable=False),
        sa.Column("release_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("settlement_id", name="pk_settlements"),
        sa.UniqueConstraint("partner", "event_id", "entry_id", name="uq_settlements_partner_event_id_entry_id"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_settlements_entry_id"),
    )
    op.create_index("ix_settlements_entry_id", "settlements", ["entry_id"])
    still = sa.text("ended_at IS NULL")
    op.create_index("ix_settlements_waiting", "settlements", ["release_at"], sqlite_where=still, postgresql_where=still)
    op.create_table(
        "journals_read",
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", name="pk_journals_read"),
    )


def _create_redress_numbers() -> None:
    op.create_table(
        "redress_numbers",
        sa.Column("number_id", sa.Text(), nullable=False),
        sa.Column("entry_id", _number(), nullable=False),
        sa.Column("issued_by", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.Float(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("clearances", sa.LargeBinary(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("number_id", name="pk_redress_numbers"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_redress_numbers_entry_id"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name="fk_redress_numbers_case_id"),
    )
    op.create_index("ix_redress_numbers_entry_id", "redress_numbers", ["entry_id"])


def _create_subjects() -> None:
    op.create_table(
        "subject_codes",
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tokens", name="pk_subject_codes"),
    )
    op.create_table(
        "subject_sessions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_subject_sessions"),
    )


def _create_erased_tokens() -> None:
    op.create_table(
        "erased_tokens",
        sa.Column("seq", _number(), nullable=False),
        sa.Column("list_id", _number(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", "list_id", "token", name="pk_erased_tokens"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_erased_tokens_seq"),
        sa.ForeignKeyConstraint(["list_id"], ["lists.list_id"], name="fk_erased_tokens_list_id"),
    )
