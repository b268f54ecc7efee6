"""What stands: the documents of the version last signed, as the repository has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
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
from portcullis.ports import SnapshotRepository


class ListState(NamedTuple):
    """One list as it was last published."""

    manifest: Manifest
    terms: Terms


class Standing(NamedTuple):
    """One version: its head, and its lists by name in the order of the head."""

    head: Head
    lists: Mapping[str, ListState]

    def edition(self) -> Edition:
        """Give the edition that a follower assembles of it."""
        return assemble(
            self.head,
            {name: state.manifest for name, state in self.lists.items()},
            {name: state.terms for name, state in self.lists.items()},
        )

    def targets(self) -> set[str]:
        """Name every target that is in force with it."""
        names = {HEAD_TARGET}
        for name, (manifest, _) in self.lists.items():
            names.update((manifest_target(name), manifest.terms, manifest.base.target))
            names.update(delta.target for delta in manifest.deltas)
        return names


def load_standing(repository: SnapshotRepository) -> Standing | None:
    """Read what the repository says was signed last; None where that is nothing, or nothing whole."""
    vouched = repository.vouched()
    if vouched is None:
        return None
    try:
        head = decode_head(_read(repository, HEAD_TARGET))
        lists = {each.name: _load_list(repository, each.name) for each in head.lists}
        standing = Standing(head, lists)
        standing.edition()
    except (SnapshotInvalid, OSError):
        return None
    return standing if head.version == vouched.version and _has_files(repository, standing) else None


def _load_list(repository: SnapshotRepository, name: str) -> ListState:
    manifest = decode_manifest(_read(repository, manifest_target(name)))
    return ListState(manifest, decode_terms(_read(repository, manifest.terms)))


def _read(repository: SnapshotRepository, target: str) -> bytes:
    data = repository.read(target)
    if data is None:
        raise SnapshotInvalid("the repository lacks a target that is in force")
    return data


def _has_files(repository: SnapshotRepository, standing: Standing) -> bool:
    """Say whether every base and delta is there with its length."""
    for manifest, _ in standing.lists.values():
        files = [(manifest.base.target, manifest.base.length), *((each.target, each.length) for each in manifest.deltas)]
        try:
            if any(repository.path(target).stat().st_size != length for target, length in files):
                return False
        except (OSError, KeyError):
            return False
    return True
