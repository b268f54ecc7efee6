"""Revising: from one reading of the registry, what the next version is, with its new targets written but nothing signed.

The rules:

1. A list of the policy that may leave the registry is published, under its stable number. One that is removed, or becomes
   AUTHORITY_ONLY, leaves the head, and its targets go out of force.
2. A list that stands is led on by a delta, by new terms, by both, or not touched at all; a new one begins with a base.
3. A list whose terms are full is compiled anew, with terms begun afresh. If they are full at once again, its entries that
   find no room are left out, and that is tried again with the first change of each day.
4. A list that can't be compiled or signed stays as it stands and is marked with the time since when. It is tried again
   after 5 s, and later on each minute, and at once when its key is here again; other lists never wait for it. One that
   never stood is left out.
5. What a list that was behind has missed is read again from its own last reading. After a restart that is not known, and
   the list begins with a base again. So does each list where the registry has forgotten what entries stood under before
   they came over to another token key.
6. What reworks have made of a list is put in with whatever the version is for.

Example: of three lists, one has an entry withdrawn, one a measure reworded, and the key of the third is not at hand while
it has changes. The revision has a delta of one token for the first, terms for the second, and for the third the state
published before, marked as stalled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import structlog

from portcullis.domain.documents import Documents, ListDocuments
from portcullis.domain.editions import FORMAT
from portcullis.domain.history import ListChange
from portcullis.domain.manifests import HEAD_TARGET, Head, HeadList, manifest_target
from portcullis.domain.policies import Disclosure, Policy, RestrictedList
from portcullis.domain.token_keys import TokenKey
from portcullis.ports import Clock, RegistryView, ReplicaWriter, SnapshotRepository
from portcullis.publisher.counts import PublisherCounts
from portcullis.publisher.drafts import put_document
from portcullis.publisher.lists import ListCompilation, Reading
from portcullis.publisher.passes import Beat, Included, compile_bases, compile_changes, give_up
from portcullis.publisher.reworks import Reworks
from portcullis.publisher.stalls import Stall, Stalls

FULL_AGAIN_S = 86_400.0
"""How long a list whose terms are full, although they were begun afresh, is led on without a base."""

_log = structlog.get_logger("portcullis.publisher")


class Revision(NamedTuple):
    """What the next version is; ``changed`` is false where nothing of it is other than what stands."""

    standing: Documents
    notes: tuple[ListChange, ...]
    stalls: Stalls
    changed: bool


class Reviser:
    """Makes revisions.

    Args:
        repository: takes the new targets.
        mirror: holds the bodies of what stands.
        reworks: what is done of them is put in.
        clock: for when to try a list again.
        counts: where entries that were left out are counted.
        signing_fault: says why a list can't be signed here and now; "" where it can.
        beat: called now and then.
    """

    def __init__(
        self,
        *,
        repository: SnapshotRepository,
        mirror: ReplicaWriter,
        reworks: Reworks,
        clock: Clock,
        counts: PublisherCounts,
        signing_fault: Callable[[str], str],
        beat: Beat,
    ) -> None:
        self._repository = repository
        self._mirror = mirror
        self._reworks = reworks
        self._clock = clock
        self._counts = counts
        self._signing_fault = signing_fault
        self._beat = beat
        self._full: dict[str, float] = {}

    def revise(self, view: RegistryView, stood: Documents | None, stalls: Stalls, version: int) -> Revision:
        """Make the revision that leads from what stood to this reading of the registry; its head is not written yet.

        Raises:
            RegistryUnavailable: the registry went away meanwhile.
            LeaseLost: another publishes now.
            OSError: the disk refused.
        """
        work = _Work(view, stood, stalls, Reading(version, view.now), self._clock.monotonic())
        again = {name for name, since in self._full.items() if work.now >= since + FULL_AGAIN_S}
        work.anew |= (again | self._reworks.broken) & work.lists.keys()
        self._put_reworks_in(work)
        self._lead_on(work)
        self._begin_anew(work)
        standing = work.standing()
        return Revision(standing, tuple(work.notes.values()), work.stalls, _differs(standing, stood))

    def put_down(self, revision: Revision, stood: Documents | None) -> None:
        """Write the documents of a revision: its head, and the manifests that are others than what stood.

        Raises:
            OSError: the disk refused.
        """
        for name, (manifest, _) in revision.standing.lists.items():
            before = stood.lists.get(name) if stood else None
            if before is None or before.manifest != manifest:
                put_document(self._repository, manifest_target(name), manifest)
        put_document(self._repository, HEAD_TARGET, revision.standing.head)

    # --- lists that stand ------------------------------------------------------------------------------------------------

    def _put_reworks_in(self, work: _Work) -> None:
        for name, state in work.lists.items():
            manifest, folded, compacted = self._reworks.applied(state.manifest)
            if (folded or compacted) and not self._signing_fault(name):
                work.lists[name] = state._replace(manifest=manifest)
                work.note(name, kind="rework", records=manifest.records, folded=folded, compacted=compacted)

    def _lead_on(self, work: _Work) -> None:
        states, included = self._states_to_lead_on(work)
        if included is None or not states:
            return
        if work.view.forgot_renewals(included.seq):
            work.anew |= states.keys()
            return
        works = compile_changes(
            work.view,
            {name: work.definitions[name] for name in states},
            states,
            included=included,
            mirror=self._mirror,
            repository=self._repository,
            reading=work.reading,
            beat=self._beat,
        )
        try:
            for name in states:
                self._conclude(work, name, works.get(name))
        except BaseException:
            give_up(works.values())
            raise

    def _states_to_lead_on(self, work: _Work) -> tuple[dict[str, ListDocuments], Included | None]:
        """Give the lists that deltas may lead on, and what the one farthest behind includes."""
        states: dict[str, ListDocuments] = {}
        included = work.included
        for name, state in work.lists.items():
            stall = work.stalls.get(name)
            if stall is None and name not in work.anew:
                states[name] = state
            elif stall is not None and stall.included is not None and work.is_due(stall):
                if fault := self._signing_fault(name):
                    self._stall(work, name, "keys", fault)
                    continue
                states[name] = state
                included = stall.included.earlier(included)
        return states, included

    def _conclude(self, work: _Work, name: str, filled: ListCompilation | None) -> None:
        if filled is None:
            work.recovered(name)
            return
        if filled.terms.full and name not in self._full:
            filled.draft.give_up()
            work.anew.add(name)
            return
        self._report(filled)
        changed = bool(filled.draft.frames) or filled.terms.changed
        unsigned = self._signing_fault(name) if changed and not filled.failed else ""
        if filled.failed or unsigned:
            filled.draft.give_up()
            self._stall(work, name, "keys" if unsigned else "other", unsigned or filled.fault)
            return
        if changed:
            state = work.lists[name] = filled.changed_state(self._repository, work.lists[name])
            frames = filled.draft.frames
            work.note(
                name,
                kind="delta" if frames else "terms",
                records=state.manifest.records,
                changes=frames,
                bytes=filled.draft.length if frames else 0,
            )
        work.recovered(name)

    # --- lists that begin ------------------------------------------------------------------------------------------------

    def _begin_anew(self, work: _Work) -> None:
        due = [each for name, each in work.definitions.items() if work.begins(name)]
        faults = {each.name: self._signing_fault(each.name) for each in due}
        signable = [each for each in due if not faults[each.name]]
        for name, fault in faults.items():
            if fault:
                self._stall(work, name, "keys", fault)
        for works in compile_bases(work.view, signable, repository=self._repository, reading=work.reading, beat=self._beat):
            try:
                for name, filled in works.items():
                    self._conclude_base(work, name, filled)
            except BaseException:
                give_up(works.values())
                raise

    def _conclude_base(self, work: _Work, name: str, filled: ListCompilation) -> None:
        self._report(filled)
        if filled.terms.full:
            self._full[name] = work.now
        else:
            self._full.pop(name, None)
        if filled.failed:
            filled.draft.give_up()
            self._stall(work, name, "other", filled.fault)
            return
        state = work.lists[name] = filled.base_state(self._repository)
        base = state.manifest.base
        work.notes[name] = ListChange(list=name, kind="base", records=base.records, changes=base.records, bytes=base.length)
        work.recovered(name)

    def _stall(self, work: _Work, name: str, part: str, fault: str) -> None:
        self._counts.failed(part)
        work.stall(name, fault)

    def _report(self, filled: ListCompilation) -> None:
        if faults := filled.report():
            self._counts.faulty(filled.definition.name, faults)


class _Work:
    """One revision in the making. ``now`` is monotonic; ``anew`` names lists that stand and begin with a base again."""

    def __init__(self, view: RegistryView, stood: Documents | None, stalls: Stalls, reading: Reading, now: float) -> None:
        self.view = view
        self.reading = reading
        self.now = now
        self.definitions = published_lists(view.policy)
        lists: Mapping[str, ListDocuments] = stood.lists if stood else {}
        self._named_before = stood.head.token_keys if stood else ()
        self.included = Included(stood.head.registry_seq, stood.head.published_at) if stood else None
        self.lists = {name: state for name, state in lists.items() if name in self.definitions}
        self.stalls = {name: stall for name, stall in stalls.items() if name in self.definitions}
        self.notes = {name: ListChange(list=name, kind="removed", records=0) for name in lists if name not in self.lists}
        self.anew: set[str] = set()

    def is_due(self, stall: Stall) -> bool:
        return self.now >= stall.retry_at

    def begins(self, name: str) -> bool:
        """Say whether a list begins with a base in this revision."""
        stall = self.stalls.get(name)
        if name in self.anew or stall is None:
            return name in self.anew or name not in self.lists
        return stall.included is None and self.is_due(stall)

    def stall(self, name: str, fault: str) -> None:
        stall = self.stalls.get(name)
        if stall is None or stall.fault != fault:
            _log.warning("a list can't be brought up to date; it stays as it was published", list=name, fault=fault)
        if stall is None:
            stall = Stall(self.reading.now, self.included if name in self.lists else None, self.now)
        self.stalls[name] = stall.again(self.now, fault)

    def recovered(self, name: str) -> None:
        if self.stalls.pop(name, None) is not None:
            _log.info("a list is up to date again", list=name)

    def note(self, name: str, **facts: object) -> None:
        """Note more of what is done to a list."""
        earlier = self.notes.get(name)
        before = {"list": name} if earlier is None else msgspec.structs.asdict(earlier)
        self.notes[name] = msgspec.convert({**before, **facts}, ListChange)

    def standing(self) -> Documents:
        """Give what stands when this is done, in the order of the policy."""
        names = [name for name in self.definitions if name in self.lists]
        policy = self.view.policy
        head = Head(
            format=FORMAT,
            version=self.reading.version,
            published_at=self.reading.now,
            registry_seq=self.view.seq,
            registry_at=self.view.changed_at(self.view.seq),
            actions=policy.actions,
            partners=policy.partners,
            credentials=self.view.credentials,
            revoked=self.view.revoked,
            token_keys=self._token_keys(),
            lists=tuple(self._head_list(name) for name in names),
        )
        return Documents(head, {name: self.lists[name] for name in names})

    def _token_keys(self) -> tuple[TokenKey, ...]:
        """Name the keys that the records stand under; those of a list that stays behind, as it stays, among them."""
        named = {each.epoch: each for each in self.view.token_keys}
        if self.stalls:
            for each in self._named_before:
                if each.records:
                    named[each.epoch] = each
        return tuple(named[epoch] for epoch in sorted(named, reverse=True))

    def _head_list(self, name: str) -> HeadList:
        stall = self.stalls.get(name)
        return HeadList(name=name, number=self.lists[name].manifest.number, stalled_at=stall.since if stall else None)


def published_lists(policy: Policy) -> dict[str, RestrictedList]:
    """Give the lists that may leave the registry, by name, in the order of the policy."""
    return {each.name: each for each in policy.lists if each.disclosure is not Disclosure.AUTHORITY_ONLY}


def _differs(standing: Documents, stood: Documents | None) -> bool:
    if stood is None or standing.lists != stood.lists:
        return True
    before = msgspec.structs.replace(stood.head, version=standing.head.version, published_at=standing.head.published_at)
    return standing.head != before
