"""The documents of one snapshot: its head, and the manifest and terms of each list (`portcullis.domain.manifests`).

Whoever has a snapshot has them in this shape: the publisher as what it signed last, a follower as what it proved, a command
as what it looks into. Only where their bytes come from differs, so that is given: a function from a target's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import (
    HEAD_TARGET,
    Head,
    Manifest,
    Terms,
    assemble,
    decode_head,
    decode_manifest,
    decode_terms,
    manifest_target,
)

Read = Callable[[str], bytes]
"""Gives the bytes of a target, by its name; raises SnapshotInvalid where there is none."""


class ListDocuments(NamedTuple):
    """The documents of one list."""

    manifest: Manifest
    terms: Terms


class Documents(NamedTuple):
    """The documents of one snapshot; ``lists`` are by name, in the order of the head."""

    head: Head
    lists: Mapping[str, ListDocuments]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The manifests of the lists, in the order of the head."""
        return tuple(each.manifest for each in self.lists.values())

    def edition(self) -> Edition:
        """Put the edition together.

        Raises:
            SnapshotInvalid: the documents are not of one snapshot.
        """
        return assemble(
            self.head,
            {name: each.manifest for name, each in self.lists.items()},
            {name: each.terms for name, each in self.lists.items()},
        )

    def targets(self) -> set[str]:
        """Name every target that is in force with the snapshot."""
        names = {HEAD_TARGET}
        for name, (manifest, _) in self.lists.items():
            names.update((manifest_target(name), manifest.terms, manifest.base.target))
            names.update(delta.target for delta in manifest.deltas)
        return names


def read_head(read: Read, version: int) -> Head:
    """Read the head of a version.

    Raises:
        SnapshotInvalid: it is missing, malformed or of another version. So does whatever ``read`` raises.
    """
    head = decode_head(read(HEAD_TARGET))
    if head.version != version:
        raise SnapshotInvalid("the head is of another version than the metadata", refusal=Refusal.MIXED_VERSIONS)
    return head


def read_list(
    read: Read,
    name: str,
    manifest_of: Callable[[bytes], Manifest] = decode_manifest,
    terms_of: Callable[[bytes], Terms] = decode_terms,
) -> ListDocuments:
    """Read the documents of a list; raises as `read_head`. The decoders may be ones that remember."""
    manifest = manifest_of(read(manifest_target(name)))
    return ListDocuments(manifest, terms_of(read(manifest.terms)))


def read_documents(
    read: Read,
    version: int,
    manifest_of: Callable[[bytes], Manifest] = decode_manifest,
    terms_of: Callable[[bytes], Terms] = decode_terms,
) -> Documents:
    """Read every document of a version; raises as `read_head`."""
    head = read_head(read, version)
    return Documents(head, {each.name: read_list(read, each.name, manifest_of, terms_of) for each in head.lists})
