"""What changed with each version of the snapshots: `portcullis snapshot log`.

The publisher notes every version that it publishes, one JSON object a line (`PUBLISHER_LOGS` under the home). Where there is
no such file, as on a host that only follows, the manifests in the store tell of the versions that still lead to the present
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from portcullis.domain.documents import Documents
from portcullis.domain.history import LOG_FILES, ListChange, Version
from portcullis.domain.manifests import Manifest

PUBLISHER_LOGS = tuple(Path("publisher", "repository", name) for name in LOG_FILES)
"""Where a home's publisher notes what it publishes, the newer lines first."""

_BLOCK_BYTES = 1 << 16


class History(NamedTuple):
    """Versions, the newest first; ``unreadable`` is how many lines of the log could not be read."""

    versions: list[Version]
    unreadable: int = 0


def noted(logs: Sequence[Path], limit: int) -> History:
    """Read the newest versions that the publisher has noted; a log that is not there has none.

    Raises:
        OSError: a log can't be read.
    """
    versions: list[Version] = []
    unreadable = 0
    for line in (line for log in logs if log.exists() for line in last_lines(log)):
        if len(versions) == limit:
            break
        try:
            versions.append(msgspec.json.decode(line, type=Version))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            unreadable += 1
    return History(versions, unreadable)


def told(published: Documents, limit: int) -> History:
    """Give the newest versions that the manifests in a store tell of."""
    changes: dict[int, list[ListChange]] = {published.head.version: []}
    for manifest, _ in published.lists.values():
        for version, change in _changes(manifest).items():
            changes.setdefault(version, []).append(change)
    newest = sorted(changes, reverse=True)[:limit]
    return History([_version(published, version, tuple(changes[version])) for version in newest])


def why_unlisted(version: Version, before: Version | None) -> str:
    """Say why there is a version that changed no list, from the one before it: other partners or keys, or new signatures."""
    seqs = (version.registry_seq, before.registry_seq if before else None)
    return "signed anew" if None not in seqs and seqs[0] == seqs[1] else "head"


def last_lines(file: Path) -> Iterator[bytes]:
    """Give the lines of a file, the last first, reading no more of it than is asked for; empty lines are left out.

    Raises:
        OSError: it can't be read.
    """
    with file.open("rb") as opened:
        place = opened.seek(0, 2)
        rest = b""
        while place > 0:
            length = min(_BLOCK_BYTES, place)
            place -= length
            opened.seek(place)
            rest, *lines = (opened.read(length) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
        if rest:
            yield rest


def _changes(manifest: Manifest) -> dict[int, ListChange]:
    """Give what came with each version of a list; of several deltas to one version, that of the fewest steps."""
    name, base = manifest.list, manifest.base
    changes = {
        base.version: ListChange(list=name, kind="base", records=base.records, changes=base.records, bytes=base.length)
    }
    for delta in sorted(manifest.deltas, key=lambda each: each.steps, reverse=True):
        changes[delta.version] = ListChange(
            list=name,
            kind="delta",
            records=base.records if delta.version == base.version else None,
            changes=delta.changes,
            bytes=delta.length,
            folded=delta.steps if delta.steps > 1 else 0,
            compacted=delta.version == base.version,
        )
    newest = changes.get(manifest.version)
    if newest is not None:
        changes[manifest.version] = msgspec.structs.replace(newest, records=manifest.records)
    return changes


def _version(published: Documents, version: int, lists: tuple[ListChange, ...]) -> Version:
    head = published.head
    if version != head.version:
        return Version(version=version, lists=lists)
    return Version(version=version, published_at=head.published_at, registry_seq=head.registry_seq, lists=lists)
