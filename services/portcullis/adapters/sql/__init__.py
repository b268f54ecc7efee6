"""SQL: the registry and the journal, on SQLite or PostgreSQL."""
