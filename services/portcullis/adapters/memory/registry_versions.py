"""The versions of the entries of a registry in memory, and the changes that made them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from portcullis.domain.entries import LISTED, Entry, EntryStatus
from portcullis.domain.entry_life import StepNote, effective_until
from portcullis.domain.tokens import Tokeniser


class Change(NamedTuple):
    """One line of the change log; its number is its place, counted from 1. ``at`` is Unix seconds."""

    at: float
    change: str
    subject: str
    note: StepNote


class Version(NamedTuple):
    """One version of an entry; ``seq`` is the change that made it, ``earlier`` the version before it.

    A ``barred`` entry was taken off its list by a person, and is left alone by imports.
    """

    entry_id: int
    number: int
    status: EntryStatus
    entry: Entry
    seq: int
    earlier: Version | None = None
    barred: bool = False

    @property
    def name(self) -> tuple[str, str]:
        """The list and the key."""
        return self.entry.list, self.entry.key

    @property
    def listed(self) -> bool:
        """Whether it was on its list while it was the present one, stayed or not."""
        return self.status in LISTED

    @property
    def ends(self) -> int:
        """When it stops to bind if nobody acts any more (Unix seconds)."""
        return end_of(self.entry)

    def as_of(self, seq: int) -> Version | None:
        """Give the version that was the present one after a change of the log."""
        version: Version | None = self
        while version is not None and version.seq > seq:
            version = version.earlier
        return version


def end_of(entry: Entry) -> int:
    """Give when an entry stops to bind as its authority has stated and reaffirmed it (Unix seconds)."""
    return effective_until(entry.until, entry.lapses_at, 0)


def says_the_same(one: Entry, other: Entry) -> bool:
    """Say whether two submissions are one: alike in all but a lapse that comes after the end."""
    return one == other or _without_idle_lapse(one) == _without_idle_lapse(other)


def reaffirms(one: Entry, other: Entry) -> bool:
    """Say whether two submissions are alike in all but their lapse."""
    return one == msgspec.structs.replace(other, lapses_at=one.lapses_at)


def _without_idle_lapse(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, lapses_at=end_of(entry))


def tokens_of(entry: Entry, tokeniser: Tokeniser) -> set[bytes]:
    """Give the tokens that an entry is found by."""
    return {token for identifier in entry.identifiers for token in tokeniser.index_tokens(identifier)}
