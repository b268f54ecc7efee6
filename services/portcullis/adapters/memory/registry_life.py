"""The life of the entries of a registry in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec

from portcullis.adapters.memory.registry_ledger import Amendment, Ledger
from portcullis.adapters.memory.registry_versions import Version, says_the_same
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import (
    Step,
    StepNote,
    check_second_person,
    check_version,
    is_barred,
    legal_steps,
    next_status,
    only_bars,
    single_steps,
)
from portcullis.domain.errors import NotFound, PlanChanged
from portcullis.domain.identifiers import count_changes
from portcullis.domain.lapses import later_lapse
from portcullis.ports import EntryQuery, KnownIdentity, Matching, PastStep, Proposal, PutOutcome, StoredEntry

_SAMPLES = 10
_IMPORTED = {"import-approve": "import"}


class MemoryLife:
    """Takes the steps of single entries and of many, as `portcullis.ports.LifeStore` says; holds the ledger's lock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def put(self, entry: Entry, *, note: StepNote, four_eyes: bool, expected_version: int) -> PutOutcome:
        """Add, amend or propose an entry."""
        with self._ledger.lock:
            known = self._ledger.lists[entry.list].get(entry.key)
            check_version(expected_version, known.number if known else 0)
            same = self._stood_already(known, entry, four_eyes=four_eyes)
            if same is not None:
                return same
            if known is not None and known.listed and four_eyes:
                return self._propose_amendment(known, entry, note)
            return self._list(known, entry, note, four_eyes=four_eyes)

    def step(self, list_name: str, key: str, step: Step, *, note: StepNote, expected_version: int) -> StoredEntry:
        """Take a step, or the two that it is made of."""
        with self._ledger.lock:
            held = self._ledger.find(list_name, key)
            check_version(expected_version, held.number)
            for each in single_steps(held.status, step):
                held = self._take(held, each, note)
            return self._ledger.stored(held)

    def proposals(self, list_name: str, *, key: str, limit: int) -> Sequence[Proposal]:
        """Give what waits for a second person, oldest first."""
        with self._ledger.lock:
            lists = [self._ledger.lists[list_name]] if list_name else list(self._ledger.lists.values())
            asked = (held for each in lists for held in each.values() if key in {"", held.entry.key})
            found = ((self._proposed_at(held), held) for held in asked)
            oldest = sorted((seq, held) for seq, held in found if seq is not None)
            return [self._proposal(seq, held) for seq, held in oldest[:limit]]

    def history(self, list_name: str, key: str) -> Sequence[PastStep]:
        """Give every version of an entry in their order."""
        with self._ledger.lock:
            return [self._past_step(each) for each in reversed([*_versions(self._ledger.find(list_name, key))])]

    def identity(self, list_name: str, key: str, *, proposed: bool) -> KnownIdentity:
        """Give who an entry is about, or what waits."""
        with self._ledger.lock:
            held = self._ledger.find(list_name, key)
            if proposed and self._proposed_at(held) is None:
                raise NotFound("nothing of this entry waits for a second person", metadata={"resource": "proposal"})
            entry = self._as_proposed(held) if proposed else held.entry
            return KnownIdentity(identifiers=entry.identifiers, names=entry.names)

    def matching(self, step: Step, query: EntryQuery, *, actor: str) -> Matching:
        """Find the entries on which a step can be taken."""
        with self._ledger.lock:
            found, skipped = self._matching(step, query, actor)
            samples = tuple(self._ledger.stored(each) for each in found[:_SAMPLES])
            return Matching(count=len(found), samples=samples, digest=_digest(step, found), skipped=skipped)

    def bulk(self, step: Step, query: EntryQuery, *, digest: str, note: StepNote, lapses_at: int) -> int:
        """Take a step on many entries, in one change of the log."""
        with self._ledger.lock:
            found, _ = self._matching(step, query, note.actor)
            if _digest(step, found) != digest:
                raise PlanChanged
            seq = self._ledger.write(step, query.list, note) if found else 0
            for held in found:
                self._add_next(held, step, seq, lapses_at=lapses_at)
            return len(found)

    def _stood_already(self, known: Version | None, entry: Entry, *, four_eyes: bool) -> PutOutcome | None:
        """Say that a put changes nothing; None where it does."""
        if known is None:
            return None
        proposed = known.status is EntryStatus.PROPOSED
        if (proposed or known.listed) and says_the_same(known.entry, entry):
            return PutOutcome(entry=self._ledger.stored(known), changed=False, pending=proposed)
        waiting = self._ledger.waiting.get(known.name)
        if four_eyes and waiting is not None and says_the_same(waiting.entry, entry):
            return PutOutcome(entry=self._ledger.stored(known), changed=False, pending=True)
        return None

    def _propose_amendment(self, known: Version, entry: Entry, note: StepNote) -> PutOutcome:
        seq = self._ledger.write("propose", _subject(entry), note)
        self._ledger.waiting[known.name] = Amendment(entry, seq)
        version = self._ledger.add(known.entry, known.status, seq)
        return PutOutcome(entry=self._ledger.stored(version), changed=True, pending=True)

    def _list(self, known: Version | None, entry: Entry, note: StepNote, *, four_eyes: bool) -> PutOutcome:
        status = next_status(known.status, Step.PUT) if known else EntryStatus.IN_FORCE
        if four_eyes:
            status = EntryStatus.PROPOSED
        proposed = status is EntryStatus.PROPOSED
        seq = self._ledger.write("propose" if proposed else Step.PUT, _subject(entry), note)
        self._ledger.waiting.pop((entry.list, entry.key), None)
        barred = is_barred(Step.PUT, status, before=known is not None and known.barred)
        version = self._ledger.add(entry, status, seq, barred=barred)
        return PutOutcome(entry=self._ledger.stored(version), changed=True, pending=proposed)

    def _take(self, held: Version, step: Step, note: StepNote) -> Version:
        if only_bars(step, held.status, barred=held.barred):
            seq = self._ledger.write(step, _subject(held.entry), note)
            return self._ledger.add(held.entry, held.status, seq, barred=True)
        proposed_at = self._proposed_at(held)
        next_status(held.status, step, amendment=held.name in self._ledger.waiting)
        if step is Step.APPROVE and proposed_at is not None:
            check_second_person(note.actor, self._ledger.line(proposed_at).note.actor)
        return self._add_next(held, step, self._ledger.write(step, _subject(held.entry), note))

    def _add_next(self, held: Version, step: Step, seq: int, *, lapses_at: int = 0) -> Version:
        """Add the version that a legal step makes."""
        waiting = self._ledger.waiting.get(held.name)
        after = next_status(held.status, step, amendment=waiting is not None)
        entry = held.entry
        if step is Step.RENEW:
            entry = msgspec.structs.replace(entry, lapses_at=lapses_at)
        if waiting is not None and step in {Step.APPROVE, Step.REJECT}:
            if step is Step.APPROVE:
                entry = self._as_proposed(held)
            del self._ledger.waiting[held.name]
        return self._ledger.add(entry, after, seq, barred=is_barred(step, after, before=held.barred))

    def _as_proposed(self, held: Version) -> Entry:
        """Give what an entry would say if what waits were approved."""
        waiting = self._ledger.waiting.get(held.name)
        if waiting is None:
            return held.entry
        lapses_at = later_lapse(waiting.entry.lapses_at, held.entry.lapses_at)
        return msgspec.structs.replace(waiting.entry, lapses_at=lapses_at)

    def _matching(self, step: Step, query: EntryQuery, actor: str) -> tuple[list[Version], int]:
        """Give the entries in the order of their numbers, and how many are left out since the actor proposed them."""
        found, skipped = [], 0
        for held in self._ledger.lists[query.list].values():
            if not self._can_be_taken(held, step) or not _fits(held, query):
                continue
            if step is Step.APPROVE and self._proposer(held).casefold() == actor.casefold():
                skipped += 1
            else:
                found.append(held)
        return found, skipped

    def _can_be_taken(self, held: Version, step: Step) -> bool:
        if step is Step.RENEW and not held.entry.lapses_at:
            return False
        return step in legal_steps(held.status, amendment=held.name in self._ledger.waiting)

    def _proposed_at(self, held: Version) -> int | None:
        """Give the change that proposed what waits; None where nothing does."""
        waiting = self._ledger.waiting.get(held.name)
        if waiting is not None:
            return waiting.seq
        return held.seq if held.status is EntryStatus.PROPOSED else None

    def _proposer(self, held: Version) -> str:
        seq = self._proposed_at(held)
        return self._ledger.line(seq).note.actor if seq else ""

    def _proposal(self, seq: int, held: Version) -> Proposal:
        line = self._ledger.line(seq)
        entry = self._as_proposed(held)
        status = next_status(held.status, Step.APPROVE, amendment=held.listed)
        proposed = self._ledger.stored(held._replace(entry=entry, status=status))
        added, removed = count_changes(held.entry.identifiers if held.listed else (), entry.identifiers)
        return Proposal(
            list=held.entry.list,
            key=held.entry.key,
            amendment=held.listed,
            proposer=line.note.actor,
            proposed_at=line.at,
            version=held.number,
            proposed=msgspec.structs.replace(proposed, pending=False),
            identifiers_added=added,
            identifiers_removed=removed,
        )

    def _past_step(self, held: Version) -> PastStep:
        line = self._ledger.line(held.seq)
        return PastStep(
            version=held.number,
            step=_IMPORTED.get(line.change, line.change),
            status=held.status,
            at=line.at,
            actor=line.note.actor,
            why=line.note.why,
            document=line.note.document,
            ground=line.note.ground,
            effective_until=held.ends,
            seq=held.seq,
        )


def _versions(held: Version) -> Iterator[Version]:
    """Give the versions of an entry, the present one first."""
    version: Version | None = held
    while version is not None:
        yield version
        version = version.earlier


def _subject(entry: Entry) -> str:
    return f"{entry.list}/{entry.key}"


def _fits(held: Version, query: EntryQuery) -> bool:
    entry = held.entry
    return (
        entry.key.startswith(query.key_prefix)
        and entry.case_reference.startswith(query.case_reference_prefix)
        and (not query.valid_from_before or entry.valid_from < query.valid_from_before)
        and (not query.until_before or held.ends < query.until_before)
    )


def _digest(step: Step, found: Sequence[Version]) -> str:
    """Name exactly these versions, and the step."""
    digest = blake2b(step.encode(), digest_size=16, person=b"bulk-plan")
    for held in found:
        digest.update(held.entry_id.to_bytes(8, "big") + held.number.to_bytes(8, "big"))
    return digest.hexdigest()
