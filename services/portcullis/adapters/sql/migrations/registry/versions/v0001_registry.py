"""The registry's first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "registry_0001"
down_revision = None
branch_labels = None
depends_on = None


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the log first, then what refers to it."""
    _create_log_and_policies()
    _create_lists_and_wordings()
    _create_entries()
    _create_entry_amendments()
    _create_entry_looks()
    _create_imports()
    _create_held_imports()
    _create_list_switches()
    _create_credentials()


def _create_log_and_policies() -> None:
    op.create_table(
        "change_log",
        sa.Column("seq", _number(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_change_log"),
    )
    op.create_table(
        "policies",
        sa.Column("version", _number(), autoincrement=False, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("seq", _number(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_policies"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_policies_seq"),
    )


def _create_lists_and_wordings() -> None:
    op.create_table(
        "lists",
        sa.Column("list_id", _number(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("in_force", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", name="pk_lists"),
        sa.UniqueConstraint("name", name="uq_lists_name"),
        sa.CheckConstraint("list_id < 65536", name="ck_lists_list_id_fits_a_segment"),
    )
    op.create_table(
        "wordings",
        sa.Column("wording", sa.LargeBinary(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("redress", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("wording", name="pk_wordings"),
    )


def _version_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        *_content_columns(),
        sa.Column("decide_by", sa.BigInteger(), nullable=False),
        sa.Column("clearances", sa.LargeBinary(), nullable=False),
        sa.Column("barred", sa.Boolean(), nullable=False),
        sa.Column("seq", _number(), nullable=False),
    ]


def _content_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("subject_type", sa.Text(), nullable=False),
        sa.Column("wording", sa.LargeBinary(), nullable=False),
        sa.Column("case_reference", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("stated_until", sa.BigInteger(), nullable=False),
        sa.Column("lapses_at", sa.BigInteger(), nullable=False),
        sa.Column("measures", sa.Text(), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
    ]


def _create_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("entry_id", _number(), nullable=False),
        sa.Column("list_id", _number(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        *_version_columns(),
        sa.PrimaryKeyConstraint("entry_id", name="pk_entries"),
        sa.UniqueConstraint("list_id", "key", name="uq_entries_list_id_key"),
        sa.ForeignKeyConstraint(["list_id"], ["lists.list_id"], name="fk_entries_list_id"),
        sa.ForeignKeyConstraint(["wording"], ["wordings.wording"], name="fk_entries_wording"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_entries_seq"),
        sa.CheckConstraint("entry_id < 4294967296", name="ck_entries_entry_id_fits_a_record"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_entries_list_id_entry_id", "entries", ["list_id", "entry_id"])
    op.create_index("ix_entries_seq", "entries", ["seq"])
    op.create_index("ix_entries_until", "entries", ["until"])
    proposed = sa.text("status = 'proposed'")
    op.create_index(
        "ix_entries_proposed",
        "entries",
        ["list_id", "entry_id"],
        sqlite_where=proposed,
        postgresql_where=proposed,
    )
    op.create_index(
        "ix_entries_barred",
        "entries",
        ["list_id", "key"],
        sqlite_where=sa.text("barred = 1"),
        postgresql_where=sa.text("barred"),
    )
    op.create_table(
        "entry_versions",
        sa.Column("entry_id", _number(), nullable=False),
        *_version_columns(),
        sa.PrimaryKeyConstraint("entry_id", "version", name="pk_entry_versions"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_entry_versions_entry_id"),
        sa.ForeignKeyConstraint(["wording"], ["wordings.wording"], name="fk_entry_versions_wording"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_entry_versions_seq"),
    )
    op.create_table(
        "entry_tokens",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("entry_id", _number(), nullable=False),
        sa.PrimaryKeyConstraint("token", "entry_id", name="pk_entry_tokens"),
        sqlite_with_rowid=False,
    )


def _create_entry_amendments() -> None:
    op.create_table(
        "entry_amendments",
        sa.Column("entry_id", _number(), autoincrement=False, nullable=False),
        *_content_columns(),
        sa.Column("proposer", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.Float(), nullable=False),
        sa.Column("seq", _number(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_entry_amendments"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_entry_amendments_entry_id"),
        sa.ForeignKeyConstraint(["wording"], ["wordings.wording"], name="fk_entry_amendments_wording"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_entry_amendments_seq"),
    )


def _create_entry_looks() -> None:
    op.create_table(
        "entry_looks",
        sa.Column("number", _number(), nullable=False),
        sa.Column("entry_id", _number(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_entry_looks"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_entry_looks_entry_id"),
    )
    op.create_index("ix_entry_looks_entry_id", "entry_looks", ["entry_id"])


def _create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("import_id", _number(), nullable=False),
        sa.Column("list_id", _number(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("committed_at", sa.Float(), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("amended", sa.BigInteger(), nullable=False),
        sa.Column("unchanged", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.Column("superseded", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.Column("in_force", sa.BigInteger(), nullable=False),
        sa.Column("guard", sa.BigInteger(), nullable=False),
        sa.Column("policy_version", sa.BigInteger(), nullable=False),
        sa.Column("held_seq", _number(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.Float(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("seq", _number(), nullable=True),
        sa.PrimaryKeyConstraint("import_id", name="pk_imports"),
        sa.ForeignKeyConstraint(["list_id"], ["lists.list_id"], name="fk_imports_list_id"),
        sa.ForeignKeyConstraint(["held_seq"], ["change_log.seq"], name="fk_imports_held_seq"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_imports_seq"),
    )
    held = sa.text("state = 'held'")
    op.create_index("uq_imports_held", "imports", ["list_id"], unique=True, sqlite_where=held, postgresql_where=held)


def _create_held_imports() -> None:
    op.create_table(
        "held_rows",
        sa.Column("import_id", _number(), nullable=False),
        sa.Column("row_no", _number(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        *_content_columns(),
        sa.PrimaryKeyConstraint("import_id", "row_no", name="pk_held_rows"),
        sa.ForeignKeyConstraint(["import_id"], ["imports.import_id"], name="fk_held_rows_import_id"),
        sa.ForeignKeyConstraint(["wording"], ["wordings.wording"], name="fk_held_rows_wording"),
    )
    op.create_table(
        "held_withdrawals",
        sa.Column("import_id", _number(), nullable=False),
        sa.Column("entry_id", _number(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("import_id", "entry_id", name="pk_held_withdrawals"),
        sa.ForeignKeyConstraint(["import_id"], ["imports.import_id"], name="fk_held_withdrawals_import_id"),
        sa.ForeignKeyConstraint(["entry_id"], ["entries.entry_id"], name="fk_held_withdrawals_entry_id"),
        sqlite_with_rowid=False,
    )


def _create_list_switches() -> None:
    op.create_table(
        "list_switches",
        sa.Column("number", _number(), nullable=False),
        sa.Column("list_id", _number(), nullable=False),
        sa.Column("suspend", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.Float(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_seq", _number(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_seq", _number(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_list_switches"),
        sa.ForeignKeyConstraint(["list_id"], ["lists.list_id"], name="fk_list_switches_list_id"),
        sa.ForeignKeyConstraint(["requested_seq"], ["change_log.seq"], name="fk_list_switches_requested_seq"),
        sa.ForeignKeyConstraint(["decided_seq"], ["change_log.seq"], name="fk_list_switches_decided_seq"),
    )
    asked = sa.text("state = 'requested'")
    op.create_index(
        "uq_list_switches_requested",
        "list_switches",
        ["list_id"],
        unique=True,
        sqlite_where=asked,
        postgresql_where=asked,
    )


def _create_credentials() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("lists", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("successor", sa.Text(), nullable=False),
        sa.Column("seq", _number(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_api_keys_seq"),
    )
    op.create_table(
        "revoked_certificates",
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=False),
        sa.Column("seq", _number(), nullable=False),
        sa.PrimaryKeyConstraint("mark", name="pk_revoked_certificates"),
        sa.ForeignKeyConstraint(["seq"], ["change_log.seq"], name="fk_revoked_certificates_seq"),
    )
