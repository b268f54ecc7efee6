"""A replica against a plain dict, over any order of installs, applies, refusals, restarts and reboots."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.segments import Change, body_of
from portcullis.ports import ReadTransaction, Replica, ReplicaWriter
from tests.support.clocks import HandClock
from tests.support.distribution import BANK, CARRIERS, COURT, body, edition, token

SHARED_MEMORY = Path("/dev/shm")
LISTS = (COURT, CARRIERS, BANK)
NUMBERS = range(12)
BODIES = {token(number): number for number in NUMBERS}

Model = dict[tuple[bytes, int], bytes]

changes_of = st.lists(
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(LISTS), st.sampled_from(["", "a", "b", "c" * 90, "long" * 60])),
    max_size=12,
).map(lambda drawn: [(token(number), on, body(number, mark) if mark else b"") for number, on, mark in drawn])


class Stand(Protocol):
    """One replica, however it is kept."""

    writer: ReplicaWriter

    def reader(self) -> Replica: ...

    def restart(self, how: str) -> None:
        """End the writer's process in some way, and start it again. Readers of before a reboot are gone."""


class MemoryStand:
    def __init__(self) -> None:
        self._clock = HandClock()
        self.writer = MemoryReplicaWriter(self._clock)

    def reader(self) -> Replica:
        return MemoryReplica(self.writer, self._clock)

    def restart(self, how: str) -> None:
        """What is in memory does not outlive its process."""


class LmdbStand:
    def __init__(self, home: Path) -> None:
        self._home = home
        self._clock = HandClock()
        self._boots = 1
        self.writer = self._opened()

    def _opened(self) -> LmdbReplicaWriter:
        return LmdbReplicaWriter(self._home, self._clock, boot=f"boot-{self._boots}")

    def reader(self) -> Replica:
        return LmdbReplica(self._home, self._clock, boot=f"boot-{self._boots}")

    def restart(self, how: str) -> None:
        if how == "close":
            self.writer.close()
        else:
            # As a killed process leaves it: nothing is put in order.
            os.close(self.writer._lock)
            self.writer._opened = None
            gc.collect()
        if how == "power cut":
            self._boots += 1
            self._clock.reboot()
        self.writer = self._opened()


class ReplicaMachine(RuleBasedStateMachine):
    """``make`` opens an empty replica; the model holds the body of each token and list, and every version once shown."""

    make: Callable[[], Stand]

    def __init__(self) -> None:
        super().__init__()
        self.stand = self.make()
        self.version = 0
        self.model: Model = {}
        self.edition: Edition | None = None
        self.replica = self.stand.reader()
        self.shown: list[tuple[ReadTransaction, Edition, Model]] = []

    def teardown(self) -> None:
        self.stand.writer.close()

    def next_edition(self, model: Model) -> Edition:
        self.version += 1
        return edition(self.version, sequence(model), of=LISTS)

    def is_now(self, of: Edition, model: Model) -> None:
        self.edition, self.model = of, model

    @rule(start=changes_of, changes=changes_of)
    def install(self, start: list[Change], changes: list[Change]) -> None:
        begin = changed({}, start)
        model = changed(begin, changes)
        of = self.next_edition(model)
        self.stand.writer.install(of, sequence(begin), changes)
        self.is_now(of, model)

    @precondition(lambda self: self.edition is not None)
    @rule(changes=changes_of)
    def build_anew(self, changes: list[Change]) -> None:
        model = changed(self.model, changes)
        of = self.next_edition(model)
        self.stand.writer.install(of, self.stand.writer.records(), changes)
        self.is_now(of, model)

    @precondition(lambda self: self.edition is not None)
    @rule(changes=changes_of)
    def apply(self, changes: list[Change]) -> None:
        model = changed(self.model, changes)
        of = self.next_edition(model)
        self.stand.writer.apply(of, changes)
        self.is_now(of, model)

    @precondition(lambda self: self.edition is not None)
    @rule(changes=changes_of, other=changes_of)
    def apply_what_leads_elsewhere(self, changes: list[Change], other: list[Change]) -> None:
        elsewhere = changed(self.model, other)
        if elsewhere != changed(self.model, changes):
            with pytest.raises(SnapshotInvalid):
                self.stand.writer.apply(self.next_edition(elsewhere), changes)

    @precondition(lambda self: self.edition is not None)
    @rule(changes=changes_of)
    def apply_what_ends_malformed(self, changes: list[Change]) -> None:
        of = self.next_edition(changed(self.model, changes))
        with pytest.raises(SnapshotInvalid):
            self.stand.writer.apply(of, [*changes, (token(1), COURT, b"rubbish")])

    @rule(how=st.sampled_from(["close", "kill", "power cut"]))
    def restart(self, how: str) -> None:
        if how == "power cut":
            self.shown.clear()
            self.replica.close()
        self.stand.restart(how)
        if how == "power cut":
            self.replica = self.stand.reader()

    @rule()
    def look(self) -> None:
        self.replica.refresh()
        transaction = self.replica.begin()
        assert (transaction is None) == (self.edition is None)
        if transaction is not None:
            assert self.edition == transaction.edition
            self.shown.append((transaction, self.edition, self.model))

    @rule()
    def let_go(self) -> None:
        self.shown.clear()

    @invariant()
    def every_version_shown_is_still_what_it_was(self) -> None:
        for transaction, of, model in self.shown:
            assert of == transaction.edition
            assert model == read(transaction)

    @invariant()
    def a_new_worker_and_the_writer_see_what_is_in_force(self) -> None:
        assert self.edition == self.stand.writer.held()
        assert sequence(self.model) == list(self.stand.writer.records())
        transaction = self.stand.reader().begin()
        assert (self.edition is None) == (transaction is None)
        if transaction is not None:
            assert self.edition == transaction.edition
            assert self.model == read(transaction)


def changed(model: Model, changes: list[Change]) -> Model:
    merged = model | {(key, number): each for key, number, each in changes}
    return {key: each for key, each in merged.items() if each}


def sequence(model: Model) -> list[Change]:
    return sorted((*key, each) for key, each in model.items())


def read(transaction: ReadTransaction) -> Model:
    found = {(key, on): body_of(transaction.get(key), on) for key in BODIES for on in LISTS}
    return {key: each for key, each in found.items() if each}


@pytest.fixture(params=["memory", "lmdb"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Stand]]:
    if request.param == "memory":
        yield MemoryStand
        return
    # What is forced to the disk here hundreds of times has nobody to outlive: memory will do.
    memory = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield lambda: LmdbStand(Path(tempfile.mkdtemp(dir=folder)))


def test_a_replica_is_always_the_dictionary_it_was_brought_to(make: Callable[[], Stand]) -> None:
    machine = type("Machine", (ReplicaMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)),
    )
