"""Migrations: what leads a database from one release's schema to the next. A shipped one is never edited."""
