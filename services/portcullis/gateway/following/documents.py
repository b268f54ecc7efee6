"""The signed documents of the state that is trusted, put together to an edition.

Every one is asked for at each version, for only the metadata tells whether it is another; one that has not changed is not
decoded again. So a version that changed one list of twenty costs the decoding of one manifest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import (
    HEAD_TARGET,
    MAX_DOCUMENT_BYTES,
    Head,
    Manifest,
    Terms,
    assemble,
    decode_head,
    decode_manifest,
    decode_terms,
    manifest_target,
)
from portcullis.ports import TrustedSnapshots

_Document = TypeVar("_Document", Head, Manifest, Terms)


class Described(NamedTuple):
    """A snapshot as its documents describe it. ``manifests`` stand in the order of ``edition.lists``."""

    edition: Edition
    manifests: tuple[Manifest, ...]


class Documents:
    """Reads the documents of one publisher."""

    def __init__(self, trusted: TrustedSnapshots) -> None:
        self._trusted = trusted
        self._manifests: dict[str, tuple[bytes, Manifest]] = {}
        self._terms: dict[str, tuple[bytes, Terms]] = {}

    def describe(self, version: int) -> Described:
        """Read the version that the trusted metadata names.

        Raises:
            SnapshotInvalid: a document is missing or malformed, or they are not of one version.
            StoreUnavailable: the store can't be reached.
        """
        head = decode_head(self._trusted.read(HEAD_TARGET, MAX_DOCUMENT_BYTES))
        if head.version != version:
            raise SnapshotInvalid("the head is of another version than the metadata", refusal=Refusal.MIXED_VERSIONS)
        manifests: dict[str, tuple[bytes, Manifest]] = {}
        terms: dict[str, tuple[bytes, Terms]] = {}
        for each in head.lists:
            read = manifests[each.name] = self._read(
                manifest_target(each.name), decode_manifest, self._manifests.get(each.name)
            )
            terms[each.name] = self._read(read[1].terms, decode_terms, self._terms.get(each.name))
        self._manifests, self._terms = manifests, terms
        edition = assemble(
            head,
            {name: manifest for name, (_, manifest) in manifests.items()},
            {name: own for name, (_, own) in terms.items()},
        )
        return Described(edition, tuple(manifests[each.name][1] for each in head.lists))

    def _read(
        self, name: str, decode: Callable[[bytes], _Document], known: tuple[bytes, _Document] | None
    ) -> tuple[bytes, _Document]:
        data = self._trusted.read(name, MAX_DOCUMENT_BYTES)
        return known if known is not None and known[0] == data else (data, decode(data))
