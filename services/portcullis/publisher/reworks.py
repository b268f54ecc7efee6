"""Reworks: deltas are folded and bases compacted beside the publishing of changes, a few milliseconds at a time.

The rules:

1. One fold and one compaction are under way at most. A look gives them `STEP_S`; a change never waits longer for them.
2. What is done, and sent where it is large, is put in force with the next version, whatever that is for; with one of its
   own if there is no other within a second.
3. A rework whose list began anew meanwhile is given up. A crash loses the work, and nothing else.
4. A file that turns out broken sends its list back to the registry: it begins with a new base.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import structlog

from portcullis.domain.documents import Documents
from portcullis.domain.errors import SnapshotInvalid, StoreUnavailable
from portcullis.domain.manifests import Manifest
from portcullis.ports import Clock, SnapshotRepository, SnapshotStore
from portcullis.publisher.compaction import Compaction, is_due
from portcullis.publisher.drafts import pieces
from portcullis.publisher.folding import FOLD_AT, Fold, singles
from portcullis.publisher.sending import SMALL_BYTES

STEP_S = 0.02
"""How long a look works on reworks: seconds."""

_PAUSE_S = 30.0

_log = structlog.get_logger("portcullis.publisher")


class Applied(NamedTuple):
    """A manifest with the reworks of its list put in: how many deltas became one, and whether the base was compacted."""

    manifest: Manifest
    folded: int
    compacted: bool


class _UnderWay:
    """A rework with its steps."""

    def __init__(self, rework: Fold | Compaction, repository: SnapshotRepository, store: SnapshotStore) -> None:
        self.rework = rework
        self.stored = ""
        self.done = False
        self.steps = self._steps(repository, store)

    def _steps(self, repository: SnapshotRepository, store: SnapshotStore) -> Iterator[bool]:
        """Do the rework, then send it; gives whether that is enough for one look."""
        for _ in self.rework.steps():
            yield False
        self.stored, path = repository.created(self.rework.target)
        while path.stat().st_size > SMALL_BYTES:
            try:
                for _ in store.upload(self.stored, pieces(path)):
                    yield False
                break
            except StoreUnavailable:
                # The look finds out by itself that the store is away, and says so.
                yield True
        self.done = True


class Reworks:
    """The reworks of one publisher."""

    def __init__(self, repository: SnapshotRepository, store: SnapshotStore, clock: Clock) -> None:
        self._repository = repository
        self._store = store
        self._clock = clock
        self._under_way: dict[type, _UnderWay] = {}
        self._paused_until = 0.0
        self._looked_at: Documents | None = None
        self.broken: set[str] = set()

    @property
    def ready(self) -> bool:
        """Whether something is done and waits to be put in force."""
        return bool(self.broken) or any(each.done for each in self._under_way.values())

    def targets(self) -> set[str]:
        """Name the targets under way or done, which the repository must not collect."""
        return {each.rework.target for each in self._under_way.values()}

    def stored(self) -> set[str]:
        """Name the same as the store does, where they are sent already or being sent."""
        return {each.stored for each in self._under_way.values() if each.stored}

    def step(self, standing: Documents) -> None:
        """Work for `STEP_S`. Faults are logged, and end the rework that has them."""
        deadline = self._clock.monotonic() + STEP_S
        self._begin(standing)
        for kind, each in list(self._under_way.items()):
            try:
                while not each.done and self._clock.monotonic() < deadline and not next(each.steps, False):
                    pass
            except SnapshotInvalid as fault:
                self._failed(kind, each, fault.message)
                self.broken.add(each.rework.list)
            except OSError as fault:
                self._failed(kind, each, fault.strerror or type(fault).__name__)

    def applied(self, manifest: Manifest) -> Applied:
        """Give a list's manifest with what is done for it put in."""
        folded, compacted = 0, False
        for each in self._under_way.values():
            amended = each.rework.applied(manifest) if each.done and each.rework.list == manifest.list else None
            if amended is not None:
                compacted = compacted or isinstance(each.rework, Compaction)
                if isinstance(each.rework, Fold):
                    folded = len(manifest.deltas) - len(amended.deltas) + 1
                manifest = amended
        return Applied(manifest, folded, compacted)

    def settle(self, standing: Documents) -> None:
        """Take note of a version that was signed: what is in force, or can't be any more, is done with."""
        self.broken.clear()
        targets = standing.targets()
        for kind, each in list(self._under_way.items()):
            state = standing.lists.get(each.rework.list)
            if state is None or each.rework.target in targets or not each.rework.is_of(state.manifest):
                self._drop(kind)

    def give_up(self) -> None:
        """Give up everything that is under way."""
        for kind in list(self._under_way):
            self._drop(kind)
        self.broken.clear()

    def _begin(self, standing: Documents) -> None:
        if standing is self._looked_at or self._clock.monotonic() < self._paused_until:
            return
        self._looked_at = standing
        for manifest, _ in standing.lists.values():
            if Fold not in self._under_way and len(parts := singles(manifest)) >= FOLD_AT:
                fold = Fold(self._repository, manifest, parts[:FOLD_AT])
                self._under_way[Fold] = _UnderWay(fold, self._repository, self._store)
            if Compaction not in self._under_way and is_due(manifest):
                compaction = Compaction(self._repository, manifest)
                self._under_way[Compaction] = _UnderWay(compaction, self._repository, self._store)

    def _failed(self, kind: type, each: _UnderWay, fault: str) -> None:
        _log.warning("a rework failed; it begins again", list=each.rework.list, target=each.rework.target, fault=fault)
        self._paused_until = self._clock.monotonic() + _PAUSE_S
        self._drop(kind)

    def _drop(self, kind: type) -> None:
        self._looked_at = None
        # Closing a generator ends its blocks: an unfinished target is given up, files are closed.
        close = getattr(self._under_way.pop(kind).steps, "close", None)
        if close is not None:
            close()
