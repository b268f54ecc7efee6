"""Proving a store and a replica: `portcullis snapshot verify`.

The rules:

1. The metadata is proven from the trusted root on, as by a follower that never saw any.
2. Every file that it names is proven by length and hash, and read to its end: order, bodies and counts are checked.
3. A list's digest is computed anew from its base and the deltas that lead on from there, and must be its manifest's.
4. So are the digests of the replica's lists, from its bodies. It must not be newer than the store, nor another snapshot of
   the same version.
5. What is wrong with one list hides nothing that is wrong with another.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

from portcullis.cli.progress import Progress
from portcullis.cli.published import Advance, ListFiles, reader_of
from portcullis.domain.differences import latest
from portcullis.domain.documents import Documents, ListDocuments, read_head, read_list
from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import Delta, Manifest, steps_from
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.records import is_body
from portcullis.domain.segments import Change, ascending
from portcullis.ports import TrustedSnapshots

DIGEST_SHOWN = 12
"""How many digits of a digest are shown to a reader."""

_METER_EVERY = 10_000


class Finding(NamedTuple):
    """One thing that was proven, or could not be: then ``refusal`` is why, one of `Refusal`."""

    name: str
    what: str
    refusal: str = ""


class HeldReplica(NamedTuple):
    """What a replica holds: one version, and its bodies ascending by token and list."""

    edition: Edition
    records: Iterator[Change]


def prove(trusted: TrustedSnapshots, replica: HeldReplica | None, progress: Progress | None) -> Iterator[Finding]:
    """Prove a store, and a replica where there is one; gives a finding as soon as it is made.

    ``progress`` is told how many frames were read, of how many.

    Raises:
        StoreUnavailable: the store can't be reached.
        OSError: the disk has no room for a file.
    """
    meter = _Meter(progress, replica.edition.records if replica else 0)
    published = yield from _prove_store(trusted, meter)
    if replica is not None:
        yield from _prove_replica(replica, published, meter)


def _prove_store(trusted: TrustedSnapshots, meter: _Meter) -> Generator[Finding, None, Documents | None]:
    read = reader_of(trusted)
    try:
        vouched = trusted.look()
        head = read_head(read, vouched.version)
    except SnapshotInvalid as fault:
        yield _refused("metadata", fault)
        return None
    yield Finding("metadata", f"snapshot {vouched.version}, signed as root {trusted.root_version()} demands")
    lists: dict[str, ListDocuments] = {}
    for each in head.lists:
        try:
            lists[each.name] = read_list(read, each.name)
        except SnapshotInvalid as fault:
            yield _refused(each.name, fault)
    meter.expect(sum(_frames(each.manifest) for each in lists.values()))
    for name, documents in lists.items():
        try:
            yield _prove_list(trusted, name, documents, meter.advance)
        except SnapshotInvalid as fault:
            yield _refused(name, fault)
    if len(lists) < len(head.lists):
        return None
    published = Documents(head, lists)
    try:
        published.edition()
    except SnapshotInvalid as fault:
        yield _refused("head", fault)
        return None
    yield Finding(
        "head", f"{len(head.lists)} lists of one snapshot, published with change {head.registry_seq} of the registry"
    )
    return published


def _prove_list(trusted: TrustedSnapshots, name: str, published: ListDocuments, advance: Advance) -> Finding:
    manifest = published.manifest
    files = ListFiles(trusted, published, advance)
    steps = _steps(manifest)
    digest = MultisetDigest()
    with files.opened(manifest.base, *steps) as bodies:
        digest.add_all((token, body) for token, body in latest(bodies) if body)
    if (digest.count, digest.hex()) != (manifest.records, manifest.digest):
        raise SnapshotInvalid(
            "the base and the deltas from there do not make up what the manifest says", refusal=Refusal.DIGEST_MISMATCH
        )
    for delta in manifest.deltas:
        if delta not in steps:
            with files.opened(delta) as bodies:
                for _ in latest(bodies):
                    pass
    deltas = f"{len(manifest.deltas)} deltas" if len(manifest.deltas) != 1 else "1 delta"
    return Finding(
        name,
        f"version {manifest.version}, {manifest.records:,} records of a base and {deltas}, "
        f"digest {manifest.digest[:DIGEST_SHOWN]}",
    )


def _prove_replica(replica: HeldReplica, published: Documents | None, meter: _Meter) -> Iterator[Finding]:
    edition = replica.edition
    try:
        _recompute(replica, meter)
        if published is not None:
            _compare_to_store(edition, published)
    except SnapshotInvalid as fault:
        yield _refused("replica", fault)
        return
    yield Finding("replica", f"snapshot {edition.version}, {edition.records:,} records in {len(edition.lists)} lists")


def _recompute(replica: HeldReplica, meter: _Meter) -> None:
    digests = {each.number: MultisetDigest() for each in replica.edition.lists}
    legal_rows = {each.number: len(each.legal) for each in replica.edition.lists}
    for count, (token, number, body) in enumerate(ascending(replica.records), 1):
        if number not in digests or not is_body(body, legal_rows[number]):
            raise SnapshotInvalid("a body of the replica is malformed", refusal=Refusal.RECORDS_MALFORMED)
        digests[number].replace(token, b"", body)
        if count % _METER_EVERY == 0:
            meter.advance(_METER_EVERY)
    for each in replica.edition.lists:
        found = digests[each.number]
        if (found.count, found.hex()) != (each.records, each.digest):
            raise SnapshotInvalid(
                f"list {each.name} is not what the replica's edition says; stop the follower, remove the replica's folder "
                "and start the follower again",
                refusal=Refusal.DIGEST_MISMATCH,
            )


def _compare_to_store(edition: Edition, published: Documents) -> None:
    if edition.version > published.head.version:
        raise SnapshotInvalid(
            f"it holds snapshot {edition.version}, which is newer than the store's", refusal=Refusal.ROLLBACK
        )
    if edition.version == published.head.version and edition != published.edition():
        raise SnapshotInvalid("it holds another snapshot of the same version as the store", refusal=Refusal.EQUIVOCATION)


def _steps(manifest: Manifest) -> tuple[Delta, ...]:
    # A manifest whose deltas do not lead on from its base can't be read in the first place.
    return steps_from(manifest, manifest.base.version) or ()


def _frames(manifest: Manifest) -> int:
    return manifest.base.records + sum(each.changes for each in manifest.deltas)


def _refused(name: str, fault: SnapshotInvalid) -> Finding:
    return Finding(name, fault.message, fault.refusal.value)


class _Meter:
    """Adds up what was read, for whoever watches."""

    def __init__(self, progress: Progress | None, expected: int) -> None:
        self._progress = progress
        self._expected = expected
        self._done = 0

    def expect(self, frames: int) -> None:
        """Note how much more there is to read."""
        self._expected += frames

    def advance(self, frames: int) -> None:
        """Note how much was read."""
        self._done += frames
        if self._progress is not None:
            self._progress(self._done, self._expected)
