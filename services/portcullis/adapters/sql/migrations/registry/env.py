"""Alembic's way in: run the migrations on the connection that `portcullis.adapters.sql.migrating` has opened."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table=context.config.attributes["version_table"]
)
with context.begin_transaction():
    context.run_migrations()
