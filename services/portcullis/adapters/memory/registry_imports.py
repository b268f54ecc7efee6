"""Imports of a registry in memory: what one would change, and those that are held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

import msgspec

from portcullis.adapters.memory.registry_view import Version
from portcullis.domain.entries import Entry
from portcullis.domain.guards import guard_of, least_guard_of
from portcullis.domain.policies import RestrictedList
from portcullis.ports import HeldImport, ImportCounts, ImportOutcome, Shrinkage

TokensOf = Callable[[Entry], AbstractSet[bytes]]
"""The tokens that an entry is found by."""


class Changes(NamedTuple):
    """What an import changes: the entries that it adds or amends, and the versions that it withdraws."""

    put: Sequence[Entry]
    withdrawn: Sequence[Version]
    counts: ImportCounts


class Held(NamedTuple):
    """A held import with what it would change; ``seq`` is the change that held it, ``on`` its list as it was then."""

    told: HeldImport
    changes: Changes
    seq: int
    on: RestrictedList | None


class Merging(Protocol):
    """What an import needs of its registry."""

    def merge(
        self, list_name: str, staged: Mapping[str, Entry], *, full: bool, kept: AbstractSet[str], actor: str
    ) -> ImportOutcome:
        """Put entries in force all at once, or hold them."""
        ...


class MemoryImport:
    """One import under way."""

    def __init__(self, registry: Merging, list_name: str, actor: str) -> None:
        self._registry = registry
        self._list_name = list_name
        self._actor = actor
        self._staged: dict[str, Entry] = {}
        self._kept: set[str] = set()

    def stage(self, entries: Sequence[Entry]) -> None:
        """Stage rows. A key that comes again replaces the earlier row."""
        self._staged.update((entry.key, entry) for entry in entries)

    def keep(self, keys: Sequence[str]) -> None:
        """Let a full commit leave the entries of these keys as they are."""
        self._kept.update(keys)

    def commit(self, *, full: bool) -> ImportOutcome:
        """Put the staged rows in force, or hold them; ``full`` withdraws what was neither staged nor kept."""
        return self._registry.merge(self._list_name, self._staged, full=full, kept=self._kept, actor=self._actor)


def compare(staged: Mapping[str, Entry], present: Mapping[str, Version], *, full: bool, kept: AbstractSet[str]) -> Changes:
    """Work out what staged rows change of a list; both by key."""
    put, counts = [], ImportCounts()
    for key, entry in staged.items():
        known = present.get(key)
        if known is not None and known.in_force and known.entry == entry:
            counts.unchanged += 1
        else:
            put.append(entry)
            _count(counts, known)
    gone = [each for key, each in present.items() if full and each.in_force and key not in staged and key not in kept]
    counts.withdrawn = len(gone)
    return Changes(put, gone, counts)


def compare_again(held: Held, present: Mapping[str, Version]) -> Changes:
    """Work out what a held import still changes: what has changed since it was held stays."""
    counts = ImportCounts(unchanged=held.changes.counts.unchanged)
    put = [entry for entry in held.changes.put if entry.key not in present or present[entry.key].seq <= held.seq]
    for entry in put:
        _count(counts, present.get(entry.key))
    gone = [each for each in held.changes.withdrawn if present[each.entry.key].seq <= held.seq]
    counts.withdrawn = len(gone)
    counts.superseded = len(held.changes.put) + len(held.changes.withdrawn) - len(put) - len(gone)
    return Changes(put, gone, counts)


def _count(counts: ImportCounts, known: Version | None) -> None:
    if known is not None and known.in_force:
        counts.amended += 1
    else:
        counts.added += 1


def shrinkage(
    changes: Changes, present: Mapping[str, Version], on: RestrictedList | None, *, tokens_of: TokensOf, now: float
) -> Shrinkage:
    """Say what an import takes away. The entries in force are counted only where the guard depends on them, else 0."""
    binding = {key: each for key, each in present.items() if each.in_force and each.entry.until > now}
    lost = sum(each.entry.until > now for each in changes.withdrawn)
    amended = [(binding[entry.key].entry, entry) for entry in changes.put if entry.key in binding]
    lost += sum(_loses(before, after, tokens_of=tokens_of, now=now) for before, after in amended)
    in_force = len(binding) if lost > least_guard_of(on) else 0
    return Shrinkage(lost=lost, in_force=in_force, guard=guard_of(on, in_force))


def _loses(before: Entry, after: Entry, *, tokens_of: TokensOf, now: float) -> bool:
    """Say whether an amendment takes an entry away that has not ended (`portcullis.domain.guards`)."""
    unrecognisable = bool(before.identifiers) and tokens_of(before).isdisjoint(tokens_of(after))
    return unrecognisable or after.until <= now or before.valid_from <= now < after.valid_from


def told_as_held(
    import_id: int, list_name: str, changes: Changes, taken: Shrinkage, *, full: bool, actor: str, at: float
) -> HeldImport:
    """Describe an import that is held."""
    return HeldImport(
        import_id=import_id,
        list=list_name,
        full=full,
        importer=actor,
        held_at=at,
        counts=msgspec.structs.replace(changes.counts),
        shrinkage=taken,
    )
