"""Imports of a registry in memory: what one would change, and those that are held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import msgspec

from portcullis.adapters.memory.registry_ledger import Ledger
from portcullis.adapters.memory.registry_policies import MemoryPolicies
from portcullis.adapters.memory.registry_versions import Version, end_of, reaffirms, says_the_same
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import StepNote
from portcullis.domain.guards import ImportState, check_approver, check_held, check_rules, guard_of, least_guard_of
from portcullis.domain.policies import RestrictedList
from portcullis.ports import Clock, HeldImport, ImportCounts, ImportOutcome, Shrinkage

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


class MemoryImport:
    """One import under way."""

    def __init__(self, imports: MemoryImports, list_name: str, actor: str) -> None:
        self._imports = imports
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
        return self._imports.merge(self._list_name, self._staged, full=full, kept=self._kept, actor=self._actor)


class MemoryImports:
    """The imports of a registry in memory: puts them in force, or holds them."""

    def __init__(self, ledger: Ledger, policies: MemoryPolicies, *, tokens_of: TokensOf, clock: Clock) -> None:
        self._ledger = ledger
        self._policies = policies
        self._tokens_of = tokens_of
        self._clock = clock
        self._states: list[ImportState] = []
        self._held: dict[int, Held] = {}

    def merge(
        self, list_name: str, staged: Mapping[str, Entry], *, full: bool, kept: AbstractSet[str], actor: str
    ) -> ImportOutcome:
        """Put the entries of an import in force all at once, or hold them; see `portcullis.ports.ImportSession`."""
        with self._ledger.lock:
            now, on, present = self._clock.now(), self._policies.present.list_named(list_name), self._ledger.lists[list_name]
            changes = compare(staged, present, full=full, kept=kept)
            taken = shrinkage(changes, present, on, tokens_of=self._tokens_of, now=now)
            voided = self._void(list_name, actor)
            self._states.append(ImportState.APPLIED)
            import_id = len(self._states)
            by_two = on is not None and on.four_eyes and says_more(changes, present, now=now)
            if taken.lost > taken.guard or by_two:
                told = told_as_held(import_id, list_name, changes, taken, full=full, actor=actor, at=now)
                self._hold(told, changes, on)
                return ImportOutcome(import_id=import_id, counts=changes.counts, held=taken, voided=voided)
            if changes.put or changes.withdrawn:
                self._apply(changes, self._ledger.write("import", list_name, StepNote(actor=actor)))
            return ImportOutcome(import_id=import_id, counts=changes.counts, voided=voided)

    def held(self) -> Sequence[HeldImport]:
        """Give the imports that wait for a second operator, in the order in which they were held."""
        with self._ledger.lock:
            return [held.told for held in self._held.values()]

    def approve(self, import_id: int, *, actor: str, purpose: str) -> ImportOutcome:
        """Put a held import in force; see `portcullis.ports.RegistryStore`."""
        with self._ledger.lock:
            held = self._find(import_id)
            check_approver(held.told.importer, actor)
            check_rules(import_id, held.on, self._policies.present.list_named(held.told.list))
            changes = compare_again(held, self._ledger.lists[held.told.list])
            self._apply(changes, self._settle(held, ImportState.APPLIED, "import-approve", actor, purpose))
            return ImportOutcome(import_id=import_id, counts=changes.counts)

    def reject(self, import_id: int, *, actor: str, purpose: str) -> HeldImport:
        """Give a held import up for good; see `portcullis.ports.RegistryStore`."""
        with self._ledger.lock:
            held = self._find(import_id)
            self._settle(held, ImportState.REJECTED, "import-reject", actor, purpose)
            return held.told

    def _apply(self, changes: Changes, seq: int) -> None:
        for entry in changes.put:
            known = self._ledger.lists[entry.list].get(entry.key)
            self._ledger.add(entry, EntryStatus.STAYED if _is_stayed(known) else EntryStatus.IN_FORCE, seq)
        for version in changes.withdrawn:
            self._ledger.add(version.entry, EntryStatus.WITHDRAWN, seq)

    def _hold(self, told: HeldImport, changes: Changes, on: RestrictedList | None) -> None:
        taken, import_id = told.shrinkage, told.import_id
        self._states[import_id - 1] = ImportState.HELD
        why = f"adds {told.counts.added} and amends {told.counts.amended} entries, which takes a second person"
        if taken.lost > taken.guard:
            why = f"takes away {taken.lost} of {taken.in_force} entries, {taken.guard} may go at once"
        note = StepNote(actor=told.importer, why=f"import {import_id}: {why}")
        seq = self._ledger.write("import-hold", told.list, note)
        self._held[import_id] = Held(told, changes, seq, on)

    def _find(self, import_id: int) -> Held:
        check_held(import_id, self._states[import_id - 1] if 0 < import_id <= len(self._states) else None)
        return self._held[import_id]

    def _void(self, list_name: str, actor: str) -> int | None:
        """End the held import of a list that a newer one replaces."""
        held = next((each for each in self._held.values() if each.told.list == list_name), None)
        if held is None:
            return None
        self._settle(held, ImportState.VOID, "import-void", actor, "")
        return held.told.import_id

    def _settle(self, held: Held, state: ImportState, change: str, actor: str, purpose: str) -> int:
        import_id = held.told.import_id
        self._states[import_id - 1] = state
        del self._held[import_id]
        why = f"import {import_id} of {held.told.importer}" + (f": {purpose}" if purpose else "")
        return self._ledger.write(change, held.told.list, StepNote(actor=actor, why=why))


def compare(staged: Mapping[str, Entry], present: Mapping[str, Version], *, full: bool, kept: AbstractSet[str]) -> Changes:
    """Work out what staged rows change of a list; both by key. What a person took off is left alone."""
    put, counts = [], ImportCounts()
    for key, entry in staged.items():
        known = present.get(key)
        if known is not None and known.barred:
            counts.superseded += 1
        elif known is not None and known.listed and says_the_same(known.entry, entry):
            counts.unchanged += 1
        else:
            put.append(entry)
            _count(counts, known)
    gone = [each for key, each in present.items() if full and each.listed and key not in staged and key not in kept]
    counts.withdrawn = len(gone)
    return Changes(put, gone, counts)


def says_more(changes: Changes, present: Mapping[str, Version], *, now: float) -> bool:
    """Say whether an import does more to a list's entries than to reaffirm those that bind."""
    binding = {key: each.entry for key, each in present.items() if each.listed and each.ends > now}
    return any(entry.key not in binding or not reaffirms(entry, binding[entry.key]) for entry in changes.put)


def compare_again(held: Held, present: Mapping[str, Version]) -> Changes:
    """Work out what a held import still changes: what has changed since it was held stays."""
    before = held.changes.counts
    put = [entry for entry in held.changes.put if entry.key not in present or present[entry.key].seq <= held.seq]
    gone = [each for each in held.changes.withdrawn if present[each.entry.key].seq <= held.seq]
    counts = ImportCounts(unchanged=before.unchanged, withdrawn=len(gone))
    for entry in put:
        _count(counts, present.get(entry.key))
    changed_since = len(held.changes.put) + len(held.changes.withdrawn) - len(put) - len(gone)
    counts.superseded = before.superseded + changed_since
    return Changes(put, gone, counts)


def _is_stayed(known: Version | None) -> bool:
    """Say whether an entry is stayed, or was when the import before this one left it out."""
    if known is not None and known.status is EntryStatus.WITHDRAWN:
        known = known.earlier
    return known is not None and known.status is EntryStatus.STAYED


def _count(counts: ImportCounts, known: Version | None) -> None:
    if known is not None and known.listed:
        counts.amended += 1
    else:
        counts.added += 1


def shrinkage(
    changes: Changes, present: Mapping[str, Version], on: RestrictedList | None, *, tokens_of: TokensOf, now: float
) -> Shrinkage:
    """Say what an import takes away. The entries in force are counted only where the guard depends on them, else 0."""
    binding = {key: each for key, each in present.items() if each.listed and each.ends > now}
    lost = sum(each.ends > now for each in changes.withdrawn)
    amended = [(binding[entry.key].entry, entry) for entry in changes.put if entry.key in binding]
    lost += sum(_loses(before, after, tokens_of=tokens_of, now=now) for before, after in amended)
    in_force = len(binding) if lost > least_guard_of(on) else 0
    return Shrinkage(lost=lost, in_force=in_force, guard=guard_of(on, in_force))


def _loses(before: Entry, after: Entry, *, tokens_of: TokensOf, now: float) -> bool:
    """Say whether an amendment takes an entry away that has not ended (`portcullis.domain.guards`)."""
    unrecognisable = bool(before.identifiers) and tokens_of(before).isdisjoint(tokens_of(after))
    return unrecognisable or end_of(after) <= now or before.valid_from <= now < after.valid_from


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
