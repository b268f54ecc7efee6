"""Published files that were changed on the way: none is accepted, and each is refused with its reason.

`make fuzz-snapshot` changes ten thousand files; here it is a sample. ``PORTCULLIS_FUZZ`` says how many.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.tuf.ceremony import TrustCeremony
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.adapters.tuf.trusted import TufTrustedSnapshots
from portcullis.domain.errors import Refusal, SnapshotInvalid
from tests.support.clocks import HandClock
from tests.support.misbehaving_store import MisbehavingStore
from tests.support.policies import NOW
from tests.support.signed_snapshots import SMALL, make_keys, publish_snapshot
from tests.support.tuf_mutations import MUTATIONS
from tests.support.tuf_simulator import stored

COUNT = int(os.environ.get("PORTCULLIS_FUZZ", "1000"))
SEED = 20261123
STATES = ("1st", "next")
LONGEST = 1 << 20
ROOT = "2.root.json"

METADATA_REASONS = {
    Refusal.METADATA_MALFORMED,
    Refusal.METADATA_SIGNATURE,
    Refusal.METADATA_DIGEST,
    Refusal.METADATA_LENGTH,
    Refusal.METADATA_EXPIRED,
    Refusal.ROLLBACK,
}
TARGET_REASONS = {Refusal.TARGET_LENGTH, Refusal.TARGET_DIGEST}


class Published:
    """A snapshot under the second root, and one before it, as a store held them; every file is another in each."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        store = MemorySnapshotStore()
        keys = make_keys(folder / "trust", "court", clock=self.clock)
        self.anchor = keys.roots()[0]
        repository = TufRepository(folder / "repository", keys, self.clock)
        older = {name: data + b", older" for name, data in SMALL.items()}
        publish_snapshot(repository, store, NOW * 1000, older, now=NOW)
        self.older = _copy(store)
        self.clock.advance(1)
        TrustCeremony(folder / "trust", self.clock).rotate("timestamp")
        self.clock.advance(1)
        assert repository.can_sign("bank"), "so that the delegations are others, too"
        self.files = dict(SMALL)
        publish_snapshot(repository, store, NOW * 1000 + 2000, self.files, now=self.clock.now())
        self.newer = _copy(store)
        # The anchor is the follower's own, so what the store holds of the first root is never asked for.
        # Nor is what a list signs that has no file yet.
        unread = {"1.root.json", f"{NOW * 1000 + 2000}.list-bank.json"}
        self.metadata = sorted(store._metadata.keys() - unread)
        self.targets = {name: b"".join(chunks) for name, chunks in store._targets.items()}
        self.names = {stored(name, data): name for name, data in self.files.items()}
        self.contents = {**{name: store._metadata[name] for name in self.metadata}, **self.targets}


class Follower:
    """A follower that begins anew at the first root, or goes on from the snapshot before."""

    def __init__(self, published: Published, folder: Path) -> None:
        self.published = published
        self.folder = folder
        self.store = MisbehavingStore(published.older)
        self._make()
        self.trusted.look()
        for name in SMALL:
            self.trusted.read(name, LONGEST)
        self.known = _contents(folder)
        self.store.store = published.newer
        self.ready = False
        """Whether the metadata is looked at, and it is that of the newer snapshot."""

    def _make(self) -> None:
        self.trusted = TufTrustedSnapshots(self.store, self.folder, self.published.anchor, self.published.clock)

    def begin(self, state: str) -> None:
        """Forget what was looked at, and all of it or all since the snapshot before."""
        known = self.known if state == "next" else {}
        for path in [*self.folder.glob("*.json"), *(self.folder / "root_history").iterdir()]:
            path.unlink()
        for name, data in known.items():
            (self.folder / name).write_bytes(data)
        self.store.behave()
        self._make()

    def spoil(self, name: str, data: bytes) -> None:
        self.store.behave()
        if name in self.published.targets:
            self.store.spoil_targets[name] = lambda _: [data]
        else:
            self.store.spoil_metadata[name] = lambda _: data

    def take(self, *names: str) -> Refusal | None:
        """Look and read everything, or fetch these alone; gives why that was refused."""
        try:
            if not names:
                self.trusted.look()
            for name, data in self.published.files.items():
                if not names:
                    assert data == self.trusted.read(name, LONGEST)
                elif name in names:
                    with self.trusted.open(name) as file:
                        assert data == file.read()
        except SnapshotInvalid as fault:
            return fault.refusal
        return None

    def refusal_of(self, name: str, data: bytes, state: str) -> Refusal | None:
        """Take everything with one file changed; the metadata is looked at once for all targets."""
        if name in self.published.metadata:
            self.begin(state)
            self.ready = False
            self.spoil(name, data)
            return self.take()
        if not self.ready:
            self.begin(state)
            assert self.take() is None
            self.ready = True
        self.spoil(name, data)
        return self.take(self.published.names[name])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def follower(published: Published) -> Iterator[Follower]:
    """In memory where there is such a folder: thousands of followers begin anew here."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Follower(published, Path(folder) / "trust")


@pytest.mark.parametrize("state", STATES)
def test_what_was_not_changed_is_accepted(follower, state):
    follower.begin(state)
    assert follower.take() is None


@pytest.mark.timeout(900)
def test_no_changed_file_is_accepted_and_each_is_refused_with_a_reason(follower, published):
    chance = random.Random(SEED)
    reasons: Counter[tuple[str, str]] = Counter()
    names = sorted(published.contents)
    while reasons.total() < COUNT:
        name, mutation, state = chance.choice(names), chance.choice(MUTATIONS), chance.choice(STATES)
        data = mutation(chance, published.contents[name], published.contents)
        if data == published.contents[name] or (name == ROOT and _is_still_signed(data, published)):
            continue
        refusal = follower.refusal_of(name, data, state)
        assert refusal is not None, (name, mutation.__name__, state, data)
        assert refusal in _reasons_for(name, published), (name, mutation.__name__, state, refusal)
        reasons[_kind_of(name, published), refusal.value] += 1
    _print_table(reasons)
    assert len({kind for kind, _ in reasons}) == len({_kind_of(name, published) for name in names})


@pytest.mark.timeout(900)
def test_no_file_that_was_cut_off_is_accepted(follower, published):
    """Each file at every point; root and delegations, the longest by far, at every fifth in a sample."""
    for name, data in sorted(published.contents.items()):
        kind = _kind_of(name, published)
        follower.begin("1st")
        looked = kind in ("target", "head", "list-court")
        if looked:
            follower.trusted.look()
        reasons, step = _reasons_for(name, published), 5 if COUNT < 10_000 and kind in ("root", "targets") else 1
        for length in range(0, len(data), step):
            follower.spoil(name, data[:length])
            # What comes before the file that is cut off is accepted the first time, and the next look goes on from there.
            refusal = follower.take(*SMALL) if looked else follower.take()
            assert refusal in reasons, (name, length)


def test_every_file_is_accepted_again_after_it_was_refused(follower, published):
    """What a changed file has left in the folder does not stand in the way of the right one."""
    chance = random.Random(SEED)
    follower.begin("next")
    for kind in ("root", "timestamp", "snapshot", "targets", "head", "list-court"):
        name = next(each for each in published.metadata if _kind_of(each, published) == kind)
        follower.spoil(name, MUTATIONS[0](chance, published.contents[name], published.contents))
        assert follower.take() in _reasons_for(name, published)
        follower.store.behave()
    assert follower.take() is None


def _is_still_signed(data: bytes, published: Published) -> bool:
    """Say whether of a root nothing is changed but that it lacks signatures beyond the threshold: so it is as good."""
    try:
        root, rightly = json.loads(data), json.loads(published.contents[ROOT])
        fewer = [each for each in rightly["signatures"] if each in root["signatures"]]
        return {**rightly, "signatures": fewer} == root and len(fewer) >= rightly["signed"]["roles"]["root"]["threshold"]
    except (ValueError, KeyError, TypeError):
        return False


def _kind_of(name: str, published: Published) -> str:
    """The role whose metadata it is, or "target"."""
    return "target" if name in published.targets else name.removesuffix(".json").rpartition(".")[2]


def _reasons_for(name: str, published: Published) -> set[Refusal]:
    kind = _kind_of(name, published)
    return {"target": TARGET_REASONS, "root": {Refusal.ROOT_INVALID, Refusal.METADATA_LENGTH}}.get(kind, METADATA_REASONS)


def _print_table(reasons: Counter[tuple[str, str]]) -> None:
    print(f"\n{reasons.total()} changed files (seed {SEED}), none accepted:")
    for (kind, refusal), count in sorted(reasons.items()):
        print(f"  {kind:<12} {refusal:<20} {count:>6}")


def _copy(store: MemorySnapshotStore) -> MemorySnapshotStore:
    copy = MemorySnapshotStore()
    copy.publish(store._metadata, {name: b"".join(chunks) for name, chunks in store._targets.items()})
    return copy


def _contents(folder: Path) -> dict[str, bytes]:
    paths = [*folder.glob("*.json"), *(folder / "root_history").iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if not path.is_symlink()}
