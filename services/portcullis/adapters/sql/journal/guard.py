"""What goes wrong with the journal's database, in the journal's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portcullis.adapters.sql.engines import DATABASE_ERRORS
from portcullis.domain.errors import JournalUnavailable


@contextmanager
def guarded() -> Iterator[None]:
    """Turn the database's errors into JournalUnavailable."""
    try:
        yield
    except DATABASE_ERRORS:
        # Not chained: a driver's message may quote what was to be written.
        raise JournalUnavailable from None
