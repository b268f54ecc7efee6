"""Publisher, store, follower and replica against a model: the replica always equals a dictionary at exactly one version."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.publisher import compaction, folding
from tests.support.clocks import HandClock
from tests.support.distribution import DictRegistry, entry
from tests.support.hosts import (
    DAY_S,
    LISTS,
    NUMBERS,
    FollowingHost,
    Listed,
    PublishingHost,
    kept,
    keys,
    listed,
    policy_of,
    read,
)
from tests.support.misbehaving_store import MisbehavingStore


class Killed(BaseException):
    """A process was killed."""


class Distribution(RuleBasedStateMachine):
    """The model is a dictionary for every change of the registry; the replica always equals exactly one of them."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="distribution-")
        self.patch = pytest.MonkeyPatch()
        # So that folding and compacting happen to registries of ten people too.
        self.patch.setattr(folding, "FOLD_AT", 3)
        self.patch.setattr("portcullis.publisher.reworks.FOLD_AT", 3)
        self.patch.setattr(compaction, "COMPACT_AT_LEAST_BYTES", 60)
        home = Path(self.folder.name)
        self.clock = HandClock()
        self.registry = DictRegistry(policy_of(*LISTS), self.clock)
        self.store = MisbehavingStore(MemorySnapshotStore(monotonic=self.clock.monotonic))
        self.model: dict[int, Listed] = {0: {}}
        self.lowest = 0
        self.entries = 0
        self.older: MemorySnapshotStore | None = None
        self.host = PublishingHost(home / "one", registry=self.registry, store=self.store, keys=keys(), clock=self.clock)
        self.following = FollowingHost(home / "replica", store=self.store, keys=keys(), clock=self.clock)

    def teardown(self) -> None:
        if not hasattr(self, "patch"):
            return
        self.host.end()
        self.following.end()
        self.following.reader.close()
        self.patch.undo()
        self.folder.cleanup()

    def note(self) -> None:
        self.model[self.registry.seq] = listed(self.registry)

    # --- the registry ---------------------------------------------------------------------------------------------------

    @rule(number=st.sampled_from(NUMBERS), name=st.sampled_from(LISTS), days=st.sampled_from([1, 400]))
    def list_someone(self, number: int, name: str, days: int) -> None:
        self.entries += 1
        self.registry.put(number, entry(self.entries, name, until=int(self.clock.now()) + days * DAY_S))
        self.note()

    @rule(number=st.sampled_from(NUMBERS), name=st.sampled_from([*LISTS, None]))
    def withdraw_someone(self, number: int, name: str | None) -> None:
        self.registry.withdraw(number, name)
        self.note()

    @rule(names=st.sampled_from([LISTS, LISTS[:2], LISTS[::-1]]))
    def the_policy_changes(self, names: tuple[str, ...]) -> None:
        self.registry.apply(policy_of(*names))
        self.note()

    @rule(seconds=st.sampled_from([0.05, 1.0, 5.0, 40.0, DAY_S / 2]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(
        changes=st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(LISTS), st.booleans()), min_size=1, max_size=6)
    )
    def changes_come_one_after_another(self, changes: list[tuple[int, str, bool]]) -> None:
        for number, name, followed in changes:
            self.list_someone(number, name, 400)
            self.publisher_looks(2)
            if followed:
                self.follower_looks()

    # --- looks and restarts ---------------------------------------------------------------------------------------------

    @rule(times=st.sampled_from([1, 4]))
    def publisher_looks(self, times: int) -> None:
        for _ in range(times):
            self.clock.advance(0.5)
            self.host.publisher.look()

    @rule()
    def follower_looks(self) -> None:
        self.following.follower.look()
        self.following.reader.refresh()

    @rule(frames=st.integers(1, 6))
    def follower_is_killed_within_a_file(self, frames: int) -> None:
        left = [frames]

        def killing(chunks: list[bytes]) -> Iterator[bytes]:
            for chunk in chunks:
                for place in range(0, len(chunk), 20):
                    left[0] -= 1
                    if not left[0]:
                        raise Killed
                    yield chunk[place : place + 20]

        self.store.spoil_targets[""] = killing  # type: ignore[assignment]
        try:
            self.following.follower.look()
        except Killed:
            self.following.restart()
        self.store.spoil_targets.clear()
        self.following.reader.refresh()

    @rule(restarted=st.sampled_from(["publisher", "follower"]))
    def a_process_is_restarted(self, restarted: str) -> None:
        (self.host if restarted == "publisher" else self.following).restart()

    @rule(part=st.sampled_from(["repository", "mirror"]))
    def publisher_loses_files(self, part: str) -> None:
        self.clock.advance(0.01)
        self.host.lose(part)

    @rule(part=st.sampled_from(["generations", "current.json", "trust"]))
    def follower_loses_files(self, part: str) -> None:
        self.following.lose(part)

    # --- the store ------------------------------------------------------------------------------------------------------

    @rule()
    def store_is_lost(self) -> None:
        self.store.store = MemorySnapshotStore(monotonic=self.clock.monotonic)
        self.follower_looks()

    @rule(part=st.sampled_from(["base", "delta", "manifest", "head"]), changed=st.booleans())
    def targets_are_lost(self, part: str, changed: bool) -> None:
        self.change_unseen(changed)
        targets = self.memory()._targets
        for name in [each for each in targets if part in each]:
            del targets[name]
        self.follower_looks()

    @rule(part=st.sampled_from(["base", "delta"]), changed=st.booleans())
    def targets_change_places_for_a_while(self, part: str, changed: bool) -> None:
        self.change_unseen(changed)
        targets = self.memory()._targets
        right = {name: chunks for name, chunks in targets.items() if part in name}
        targets.update(zip(right, reversed(right.values()), strict=True))
        self.follower_looks()
        targets.update(right)

    @rule(
        role=st.sampled_from(["timestamp", "snapshot", "list-court", "head", "targets"]),
        data=st.sampled_from([b"", b"garbage"]),
        changed=st.booleans(),
    )
    def metadata_is_damaged(self, role: str, data: bytes, changed: bool) -> None:
        self.change_unseen(changed)
        metadata = self.memory()._metadata
        metadata.update({name: data for name in metadata if role in name})
        self.follower_looks()

    def change_unseen(self, changed: bool) -> None:
        """Have something published that the follower has not seen yet."""
        if changed:
            self.list_someone(0, "court", 400)
            self.publisher_looks(1)

    @rule()
    def someone_keeps_a_copy_of_the_store(self) -> None:
        self.older = self.memory_copy(self.memory())

    @precondition(lambda self: self.older is not None)
    @rule(whole=st.booleans())
    def the_copy_is_put_in_its_place(self, whole: bool) -> None:
        assert self.older is not None
        if whole:
            self.store.store = self.memory_copy(self.older)
        else:
            self.memory()._metadata.update(self.older._metadata)

    def memory(self) -> MemorySnapshotStore:
        store = self.store.store
        assert isinstance(store, MemorySnapshotStore)
        return store

    def memory_copy(self, store: MemorySnapshotStore) -> MemorySnapshotStore:
        copied = MemorySnapshotStore(monotonic=self.clock.monotonic)
        copied._metadata.update(store._metadata)
        copied._targets.update(store._targets)
        return copied

    @rule(down=st.booleans())
    def store_goes_away_or_returns(self, down: bool) -> None:
        self.store.down = down

    @rule(down=st.booleans())
    def registry_goes_away_or_returns(self, down: bool) -> None:
        self.registry.down = down

    # --- what holds -----------------------------------------------------------------------------------------------------

    @rule()
    def all_is_well_again(self) -> None:
        """Whatever happened, a few looks of each part bring the newest state to the worker."""
        self.store.down = self.registry.down = False
        for _ in range(6):
            self.clock.advance(10.0)
            assert self.host.publisher.look()
        assert self.following.follower.look()
        self.following.reader.refresh()
        assert self.registry.seq == read(self.following.reader).registry_seq
        assert self.following.reader.vouched_age_s() <= 10.0

    @invariant()
    def the_replica_is_one_version_and_never_goes_back(self) -> None:
        if not hasattr(self, "following") or self.following.reader.begin() is None:
            return
        found = read(self.following.reader)
        assert kept(self.model[found.registry_seq], found.published_at) == found.entries
        assert self.lowest <= found.registry_seq
        self.lowest = found.registry_seq


Distribution.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestDistribution = Distribution.TestCase
