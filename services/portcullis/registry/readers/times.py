"""Times as authorities write them: a date, or an RFC 3339 time with its offset."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

HOW_TO_WRITE = "must be a date such as 2091-05-01 or an RFC 3339 time such as 2091-05-01T08:00:00Z"
"""What to tell the writer of a time that can't be read."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d))?", re.ASCII)


@lru_cache(maxsize=8192)
def unix_seconds(text: str) -> int:
    """Read a time; a date alone is its first second in UTC, and a fraction of a second is cut off.

    Raises:
        ValueError: the text is neither form, or no such day or time exists.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(HOW_TO_WRITE)
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() // 1)


def optional_unix_seconds(text: str) -> int | None:
    """Read a time that may be left out: "" gives None.

    Raises:
        ValueError: as `unix_seconds`.
    """
    return unix_seconds(text) if text else None
