"""What changed between two snapshots, list by list, from what a store still holds: `portcullis snapshot diff`."""

from __future__ import annotations

from typing import NamedTuple

from portcullis.cli.published import ListFiles, read_published
from portcullis.domain.differences import Difference, compare, joined, latest, spans, steps_between, version_at
from portcullis.domain.documents import ListDocuments
from portcullis.domain.manifests import Base, Delta
from portcullis.ports import TrustedSnapshots


class Contrast(NamedTuple):
    """One list in two snapshots.

    Attributes:
        name: the list's.
        known: the ranges of versions in which its state is known, first and last included.
        unknown: the version of the two in which it is not known; None where it is in both.
        difference: what changed; None where it is not known.
    """

    name: str
    known: list[tuple[int, int]]
    unknown: int | None = None
    difference: Difference | None = None


def contrasts(trusted: TrustedSnapshots, earlier: int, later: int) -> list[Contrast]:
    """Compare every list that the present snapshot has, in two snapshots of which the first is not the later one.

    Raises:
        SnapshotInvalid: something in the store is not what was signed.
        StoreUnavailable: the store can't be reached.
        OSError: the disk has no room for a file.
    """
    published = read_published(trusted)
    return [
        _contrast(trusted, name, documents, (earlier, later), published.head.version)
        for name, documents in published.lists.items()
    ]


def _contrast(
    trusted: TrustedSnapshots, name: str, documents: ListDocuments, versions: tuple[int, int], present: int
) -> Contrast:
    known = spans(documents.manifest, present)
    ranges = joined(known)
    first, last = (version_at(known, version) for version in versions)
    if first is None or last is None:
        return Contrast(name, ranges, unknown=versions[0] if first is None else versions[1])
    return Contrast(name, ranges, difference=_difference(trusted, documents, first, last))


def _difference(trusted: TrustedSnapshots, documents: ListDocuments, first: int, last: int) -> Difference:
    """Compare two versions of a list that are both known."""
    if first == last:
        return Difference()
    manifest = documents.manifest
    before: tuple[Base | Delta, ...] = (manifest.base, *(steps_between(manifest, manifest.base.version, first) or ()))
    after = steps_between(manifest, first, last) or ()
    with ListFiles(trusted, documents).opened(*before, *after) as bodies:
        return compare(latest(bodies[: len(before)]), latest(bodies[len(before) :]))
