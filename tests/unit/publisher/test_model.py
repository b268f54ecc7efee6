"""Whatever happens to a publisher, what stands in the store is the registry, and a follower can always get there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from portcullis.adapters.memory.replica import MemoryReplicaWriter
from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.policies import Disclosure, Policy
from tests.support.distribution import entry, token
from tests.support.policies import a_list, measure
from tests.support.publishers import STEPS, Killed, World

LISTS = ("court", "bikes", "carriers")
FAULTS = [*STEPS, ("mirror", "before", "install")]


@pytest.fixture(scope="module", autouse=True)
def trust_folder(tmp_path_factory):
    PublisherMachine.trust = World.make_trust(tmp_path_factory.mktemp("keys") / "trust")


class PublisherMachine(RuleBasedStateMachine):
    """A publisher, its registry, and a follower that goes on by deltas where any lead on."""

    trust: Path

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="publisher-"))
        self.world = World(self.folder, self.trust)
        self.model: dict[str, dict[int, set[int]]] = {name: {} for name in LISTS}
        self.listed = ["court", "bikes"]
        self.followed: dict[str, tuple[int, dict[bytes, bytes]]] = {}
        self.newest = 0
        self.entries = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(number=st.integers(0, 12), name=st.sampled_from(LISTS), basis=st.integers(0, 2))
    def put(self, number: int, name: str, basis: int) -> None:
        self.entries += 1
        indexed = entry(self.entries, name, legal_basis=f"section {basis}", measures=(f"m{basis}",) if basis else ())
        self.world.registry.put(number, indexed)
        self.model[name].setdefault(number, set()).add(self.entries)

    @rule(number=st.integers(0, 12), name=st.sampled_from(LISTS))
    def withdraw(self, number: int, name: str) -> None:
        self.world.registry.withdraw(number, name)
        self.model[name].pop(number, None)

    @rule(listed=st.lists(st.sampled_from(LISTS), unique=True), secret=st.booleans(), words=st.integers(0, 3))
    def apply_policy(self, listed: list[str], secret: bool, words: int) -> None:
        lists = [a_list(name, measure(f"golf-{words}")) for name in listed]
        if secret:
            lists.append(a_list("sealed", disclosure=Disclosure.AUTHORITY_ONLY))
        self.world.registry.apply(Policy(lists=tuple(lists)))
        self.listed = listed

    @rule(seconds=st.sampled_from([0.1, 0.1, 0.1, 1.0, 7.0]))
    def look(self, seconds: float) -> None:
        # One that begins anew without every key does not publish.
        assert self.world.tick(seconds) or self.world.unsignable

    @rule(fault=st.sampled_from(FAULTS), killed=st.booleans())
    def fail(self, fault: tuple[str, str, str], killed: bool) -> None:
        part, when, method = fault
        away = StoreUnavailable("not now") if part == "store" else OSError(28, "No space left on device")
        getattr(getattr(self.world, part), when)[method] = Killed() if killed else away
        self.entries += 1
        self.world.registry.put(1, entry(self.entries))
        self.model["court"].setdefault(1, set()).add(self.entries)
        try:
            self.world.tick(0.1)
        except Killed:
            self.world.crash()
        for each in (self.world.repository, self.world.store, self.world.mirror):
            each.before.clear()
            each.after.clear()

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule()
    def lose_the_store(self) -> None:
        self.world.empty_store()

    @rule(lost=st.sampled_from(["mirror", "repository"]))
    def lose(self, lost: str) -> None:
        if lost == "mirror":
            self.world.replica = MemoryReplicaWriter(self.world.clock)
        else:
            shutil.rmtree(self.world.folder / "publisher")
        self.world.crash()

    @rule(name=st.sampled_from(LISTS))
    def lose_a_key(self, name: str) -> None:
        self.world.unsignable = {name}

    @rule()
    def find_the_key(self) -> None:
        self.world.unsignable = set()

    @invariant()
    def the_store_becomes_the_registry(self) -> None:
        if not hasattr(self, "world") or self.world.unsignable:
            return
        seq = self.world.registry.seq
        for _ in range(90):
            self.world.tick()
            if not self.world.tally.stalled_lists and self._seq() == seq:
                break
        # What the store has lost meanwhile is noticed within a second.
        self.world.tick()
        self.world.tick()
        found = self.world.snapshot()
        assert {name: self._expected(name) for name in self.listed} == found.entries()
        assert self.newest <= found.version
        self.newest = found.version
        self._follow()

    def _seq(self) -> int:
        try:
            return self.world.snapshot().head.registry_seq
        except AssertionError:
            return -1

    def _expected(self, name: str) -> dict[bytes, set[int]]:
        return {token(number): entries for number, entries in self.model[name].items()}

    def _follow(self) -> None:
        found = self.world.snapshot()
        self.followed = {
            name: (manifest.version, found.bodies(name, self.followed.get(name)))
            for name, manifest in found.manifests.items()
        }
        held = self.world.replica.held()
        assert found.edition() == held


@pytest.fixture(autouse=True)
def small_folds(monkeypatch):
    monkeypatch.setattr("portcullis.publisher.reworks.FOLD_AT", 3)
    monkeypatch.setattr("portcullis.publisher.compaction.COMPACT_AT_FOLDED", 2)


def test_whatever_happens_the_store_becomes_the_registry_and_deltas_lead_there():
    with structlog.testing.capture_logs():
        run_state_machine_as_test(
            PublisherMachine,
            settings=settings(
                max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
