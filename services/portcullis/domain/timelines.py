"""Timelines: what a journal goes by after it was restored from a backup.

A backup lacks what came after it, and the places of that are given out again, to other things. So whoever keeps a place
keeps the name of the log with it, and that name is another one from each restore on: the word, and the thing, are
PostgreSQL's. The part that is added is drawn and not counted, since a count would be restored as well: the second restore
of one backup would give out the first one's number again.

Example: the log ``portcullis/journal/5e1f`` had 900 entries when a backup was made, and 1,000 when its disk was lost.
Before, the entry 950 was known as that of ``portcullis/journal/5e1f``; the one that will have this number now is known as
that of ``portcullis/journal/5e1f@0c4d9a27``.
"""

from __future__ import annotations

from typing import Final

TIMELINE_BYTES: Final = 4
"""How many unpredictable bytes name a timeline: in hexadecimal, as long as the name of a feed."""


def log_of_timeline(origin: str, timeline: str) -> str:
    """Name a log as those know it who keep places in it: its origin, and the timeline where it was ever restored."""
    return f"{origin}@{timeline}" if timeline else origin
