"""Folding: many single deltas of a list become one that says the same.

A folded delta leads on from any version in the span of its parts (`portcullis.domain.frames`, rule 3), so a follower that
is a few versions behind takes it as well as one that is far behind, and a manifest stays short whatever the changes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack

import msgspec

from portcullis.domain.differences import latest
from portcullis.domain.frames import DELTA_MAGIC, Bodies, read_frames
from portcullis.domain.manifests import Delta, Manifest, delta_target
from portcullis.ports import SnapshotRepository
from portcullis.publisher.drafts import Draft

FOLD_AT = 64
"""How many single deltas are folded to one, the oldest first."""

FRAMES_A_STEP = 200
"""After how many frames a rework pauses: about a millisecond's work."""

Steps = Generator[None, None, None]
"""Work done in small steps, so that a change never waits for it."""


def singles(manifest: Manifest) -> tuple[Delta, ...]:
    """Give the deltas of a list that are not folded, the oldest first."""
    return tuple(each for each in manifest.deltas if each.steps == 1)


def open_deltas(repository: SnapshotRepository, deltas: Sequence[Delta], files: ExitStack) -> list[Bodies]:
    """Open the files of deltas; they can be read to their end even if they leave the repository meanwhile."""
    opened = [files.enter_context(repository.path(each.target).open("rb")) for each in deltas]
    return [read_frames(DELTA_MAGIC, file) for file in opened]


class Fold:
    """One fold.

    Attributes:
        list: the list's name.
        target: the target that it writes.
        delta: what it has made; None until its steps are done.
    """

    def __init__(self, repository: SnapshotRepository, manifest: Manifest, parts: Sequence[Delta]) -> None:
        self._repository = repository
        self._parts = tuple(parts)
        self.list = manifest.list
        self.target = delta_target(manifest.list, parts[0].since, parts[-1].version)
        self.delta: Delta | None = None

    def steps(self) -> Steps:
        """Do the work.

        Raises:
            SnapshotInvalid: a delta's file is broken.
            OSError: the disk refused.
        """
        draft = Draft(self._repository, self.target, DELTA_MAGIC)
        try:
            with ExitStack() as files:
                for token, body in latest(open_deltas(self._repository, self._parts, files)):
                    draft.put(token, body)
                    if draft.frames % FRAMES_A_STEP == 0:
                        yield
            draft.close()
        except BaseException:
            draft.give_up()
            raise
        self.delta = Delta(
            target=self.target,
            since=self._parts[0].since,
            version=self._parts[-1].version,
            changes=draft.frames,
            length=draft.length,
            steps=sum(each.steps for each in self._parts),
        )

    def is_of(self, manifest: Manifest) -> bool:
        """Say whether the list still has all of the parts."""
        return set(self._parts) <= set(manifest.deltas)

    def applied(self, manifest: Manifest) -> Manifest | None:
        """Put the folded delta in the place of its parts; None where they are not all there any more."""
        if self.delta is None or not self.is_of(manifest):
            return None
        kept = [each for each in manifest.deltas if each not in self._parts]
        kept.insert(manifest.deltas.index(self._parts[0]), self.delta)
        return msgspec.structs.replace(manifest, deltas=tuple(kept))
