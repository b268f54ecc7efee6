"""What was published when, for people who ask: one entry for each version, with what it changed of each list.

The publisher writes a line of JSON for each (`LOG_FILES`), and `portcullis snapshot log` reads them. None is part of what
is trusted. What is not known any more is None; the publisher knows everything when it writes.
"""

from __future__ import annotations

import msgspec

LOG_FILES = ("log.jsonl", "log.1.jsonl")
"""The names of the files in the publisher's folder; the second has the lines before those of the first."""


class ListChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a version changed of one list.

    Attributes:
        list: its name.
        kind: what came with it: base, delta, terms (nothing but terms), rework (nothing that changes an answer) or removed.
        records: how many tokens have a body of the list.
        changes: how many tokens the base or delta holds.
        bytes: how long it is.
        folded: how many deltas were folded to one.
        compacted: a new base of the same state was put in force.
    """

    list: str
    kind: str
    records: int | None = None
    changes: int = 0
    bytes: int = 0
    folded: int = 0
    compacted: bool = False


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version with the lists that changed in it. ``published_at`` is Unix seconds."""

    version: int
    published_at: float | None = None
    registry_seq: int | None = None
    lists: tuple[ListChange, ...]
