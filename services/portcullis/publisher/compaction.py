"""Compaction: a list's base and its deltas become a new base.

It reads the files of one version, which nothing changes any more, and writes the base of that version; deltas that come
meanwhile lead on from it. The multiset digest of what was written must be the one that was signed with the version.

The deltas that led to the new base stay for one compaction longer: a follower that was away for a while goes on by them, and
only one that was away since before the last base has to begin with a base again.
"""

from __future__ import annotations

from contextlib import ExitStack

import msgspec

from portcullis.domain.differences import latest
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.frames import BASE_MAGIC, read_frames
from portcullis.domain.manifests import Base, Delta, Manifest, base_target, steps_from
from portcullis.domain.multisets import MultisetDigest
from portcullis.ports import SnapshotRepository
from portcullis.publisher.drafts import Draft
from portcullis.publisher.folding import FRAMES_A_STEP, Steps, open_deltas

COMPACT_AT_FOLDED = 64
"""A base is compacted when so many folded deltas lead on from it."""

COMPACT_AT_SHARE = 4
"""Or when the deltas together are longer than one in so many of the base's bytes."""

COMPACT_AT_LEAST_BYTES = 4 << 20
"""But not for fewer bytes than these."""


def is_due(manifest: Manifest) -> bool:
    """Say whether a list's base shall be compacted."""
    later = [each for each in manifest.deltas if each.version > manifest.base.version]
    if sum(each.steps > 1 for each in later) >= COMPACT_AT_FOLDED:
        return True
    longest = max(COMPACT_AT_LEAST_BYTES, manifest.base.length // COMPACT_AT_SHARE)
    return sum(each.length for each in later) > longest


class Compaction:
    """One compaction, of the version that the manifest has.

    Attributes:
        list: the list's name.
        target: the target that it writes.
        base: what it has made; None until its steps are done.
    """

    def __init__(self, repository: SnapshotRepository, manifest: Manifest) -> None:
        self._repository = repository
        self._manifest = manifest
        self.list = manifest.list
        self.target = base_target(manifest.list, manifest.version)
        self.base: Base | None = None

    def steps(self) -> Steps:
        """Do the work.

        Raises:
            SnapshotInvalid: a file is broken, or what was written is not what was signed with the version.
            OSError: the disk refused.
        """
        manifest = self._manifest
        draft = Draft(self._repository, self.target, BASE_MAGIC)
        digest = MultisetDigest()
        try:
            with ExitStack() as files:
                file = files.enter_context(self._repository.path(manifest.base.target).open("rb"))
                deltas = open_deltas(self._repository, _later(manifest), files)
                bodies = latest([read_frames(BASE_MAGIC, file), latest(deltas)])
                for count, (token, body) in enumerate(bodies, 1):
                    if body:
                        digest.replace(token, b"", body)
                        draft.put(token, body)
                    if count % FRAMES_A_STEP == 0:
                        yield
            _demand_same(digest, manifest)
            draft.close()
        except BaseException:
            draft.give_up()
            raise
        self.base = Base(target=self.target, version=manifest.version, records=draft.frames, length=draft.length)

    def is_of(self, manifest: Manifest) -> bool:
        """Say whether the list still has the base that was compacted."""
        return manifest.base == self._manifest.base

    def applied(self, manifest: Manifest) -> Manifest | None:
        """Put the base in force, with the deltas that came after the one before; None where the list began anew since."""
        if self.base is None or not self.is_of(manifest):
            return None
        before = self._manifest.base.version
        kept = tuple(each for each in manifest.deltas if each.version > before)
        return msgspec.structs.replace(manifest, base=self.base, deltas=kept)


def _later(manifest: Manifest) -> tuple[Delta, ...]:
    # A manifest whose deltas do not lead on from its base can't be read in the first place.
    return steps_from(manifest, manifest.base.version) or ()


def _demand_same(digest: MultisetDigest, manifest: Manifest) -> None:
    if (digest.hex(), digest.count) != (manifest.digest, manifest.records):
        raise SnapshotInvalid("a compacted base is not the state it stands for", refusal=Refusal.DIGEST_MISMATCH)
