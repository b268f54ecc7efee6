"""How python-tuf's client fetches metadata from a snapshot store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Root
from tuf.ngclient import FetcherInterface

from portcullis.adapters.tuf.exactness import demand_exact
from portcullis.adapters.tuf.key_roles import ROOT, TIMESTAMP, read_root
from portcullis.adapters.tuf.names import TIMESTAMP_FILE
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.ports import SnapshotStore

BASE_URL = "store:/"
"""What the client puts before a file's name. There is no network behind it."""

_NOT_FOUND = 404


class Fetched(NamedTuple):
    """A metadata file as it came; ``bound`` is how many bytes it may have, the signed length where one is signed."""

    role: str
    version: int | None
    data: bytes
    bound: int


class StoreFetcher(FetcherInterface):
    """Fetches from one store into the folder of one client, whose newest root is ``root.json`` there.

    Metadata is small and a store gives it whole, so it does not go through a temporary file as it does in python-tuf. A
    store's fault passes through as itself.
    """

    def __init__(self, store: SnapshotStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self.last: Fetched | None = None
        self.timestamp: Fetched | None = None

    def forget(self) -> None:
        """Begin anew."""
        self.last = self.timestamp = None

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Give a metadata file.

        Raises:
            DownloadHTTPError: there is no such root; the client takes it that there is none newer.
            SnapshotInvalid: there is no such file otherwise, it is longer, or it is not exactly what was signed.
            StoreUnavailable: the store can't be reached.
        """
        data = b"".join(self._fetch(url))
        self.last = fetched = Fetched(*_role_and_version(_name(url)), data, max_length)
        if fetched.role == TIMESTAMP:
            self.timestamp = fetched
        if len(data) > max_length:
            raise SnapshotInvalid(f"the {fetched.role} metadata is longer than it may be", refusal=Refusal.METADATA_LENGTH)
        if fetched.role in (ROOT, TIMESTAMP):
            demand_exact(fetched.role, data, [self._root_before(fetched.version)])
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self._store.read_metadata(_name(url))
        if data is None:
            raise _missing(_name(url))
        yield data

    def _root_before(self, version: int | None) -> Root:
        """Give the trusted root that a version of root follows; the newest one for what is not a root.

        The client has both on the disk when it asks: it walks from root to root, and is at the newest before the timestamp.
        """
        file = f"{ROOT}.json" if version is None else f"root_history/{version - 1}.{ROOT}.json"
        return read_root((self._folder / file).read_bytes(), "a trusted root")


def _name(url: str) -> str:
    return url.removeprefix(BASE_URL)


def _missing(name: str) -> Exception:
    role, version = _role_and_version(name)
    if role == ROOT:
        return DownloadHTTPError(f"there is no version {version} of root", _NOT_FOUND)
    if name == TIMESTAMP_FILE:
        return SnapshotInvalid(
            "the store holds no timestamp: nothing is published, or it was emptied", refusal=Refusal.STORE_EMPTY
        )
    return SnapshotInvalid(
        f"the store does not hold version {version} of the {role} metadata", refusal=Refusal.METADATA_MISSING
    )


def _role_and_version(name: str) -> tuple[str, int | None]:
    first, _, rest = name.removesuffix(".json").partition(".")
    return (unquote(rest), int(first)) if rest else (unquote(first), None)
