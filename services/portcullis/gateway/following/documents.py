"""The signed documents of the state that is trusted, put together to an edition.

Every one is asked for at each version, for only the metadata tells whether it is another; one that has not changed is not
decoded again. So a version that changed one list of twenty costs the decoding of one manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from portcullis.domain.documents import read_documents
from portcullis.domain.editions import Edition
from portcullis.domain.manifests import MAX_DOCUMENT_BYTES, Manifest, Terms, decode_manifest, decode_terms
from portcullis.ports import TrustedSnapshots

_Document = TypeVar("_Document", bound=Manifest | Terms)


class Described(NamedTuple):
    """A snapshot as its documents describe it. ``manifests`` stand in the order of ``edition.lists``."""

    edition: Edition
    manifests: tuple[Manifest, ...]


class DocumentReader:
    """Reads the documents of one publisher."""

    def __init__(self, trusted: TrustedSnapshots) -> None:
        self._trusted = trusted
        self._manifests: Mapping[bytes, Manifest] = {}
        self._terms: Mapping[bytes, Terms] = {}

    def describe(self, version: int) -> Described:
        """Read the version that the trusted metadata names.

        Raises:
            SnapshotInvalid: a document is missing or malformed, or they are not of one version.
            StoreUnavailable: the store can't be reached.
        """
        manifests = _Decoder(decode_manifest, self._manifests)
        terms = _Decoder(decode_terms, self._terms)
        documents = read_documents(self._read, version, manifests, terms)
        self._manifests, self._terms = manifests.decoded, terms.decoded
        return Described(documents.edition(), documents.manifests)

    def _read(self, name: str) -> bytes:
        return self._trusted.read(name, MAX_DOCUMENT_BYTES)


class _Decoder(Generic[_Document]):
    """Decodes what is not known already; ``decoded`` is what it was asked for, by the bytes."""

    def __init__(self, decode: Callable[[bytes], _Document], known: Mapping[bytes, _Document]) -> None:
        self._decode = decode
        self._known = known
        self.decoded: dict[bytes, _Document] = {}

    def __call__(self, data: bytes) -> _Document:
        document = self.decoded[data] = self._known.get(data) or self._decode(data)
        return document
