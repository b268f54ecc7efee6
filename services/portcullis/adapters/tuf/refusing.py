"""What python-tuf's client finds wrong, told as a refusal with its reason.

The client's errors say what is wrong in classes as wide as "bad version". The reason is found from the class, the file that
came last, and what the file says, never from the error's text.
"""

from __future__ import annotations

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Signed
from tuf.api.serialization import DeserializationError, SerializationError

from portcullis.adapters.tuf.fetcher import Fetched
from portcullis.adapters.tuf.key_roles import ROOT, SNAPSHOT, TIMESTAMP
from portcullis.domain.errors import Refusal, SnapshotInvalid

_SAYINGS = {
    Refusal.ROLLBACK: "is older than what was trusted before",
    Refusal.ROOT_INVALID: "does not follow from the root that is trusted",
    Refusal.METADATA_MISSING: "is missing",
    Refusal.METADATA_MALFORMED: "can't be read",
    Refusal.METADATA_SIGNATURE: "is not signed by the keys it must be signed by",
    Refusal.METADATA_DIGEST: "is not the file that was signed for",
    Refusal.METADATA_LENGTH: "has not the length that was signed for",
    Refusal.METADATA_VERSION: "has not the version that was signed for",
    Refusal.METADATA_EXPIRED: "has expired: nobody has signed it anew in time, or a store withholds what is newer",
}


def refused(fault: RepositoryError | DownloadError, last: Fetched | None, *, absent: str | None = None) -> SnapshotInvalid:
    """Tell a fault of the client as a refusal.

    Args:
        fault: what it raised.
        last: the metadata file fetched last, the one at fault if any is.
        absent: the role that the snapshot in force does not name though it should, if there is one.
    """
    if type(fault) is RepositoryError and absent is not None:
        return _refusal(Refusal.METADATA_MISSING, absent)
    if last is None:
        return _refusal(Refusal.METADATA_MALFORMED, "trusted")
    return _refusal(_reason(fault, last), last.role)


def _reason(fault: RepositoryError | DownloadError, last: Fetched) -> Refusal:  # noqa: PLR0911 - a table of reasons
    if isinstance(fault, ExpiredMetadataError):
        return Refusal.METADATA_EXPIRED
    if last.role == ROOT:
        return Refusal.ROOT_INVALID
    if isinstance(fault, UnsignedMetadataError):
        return Refusal.METADATA_SIGNATURE
    if isinstance(fault, LengthOrHashMismatchError):
        return Refusal.METADATA_DIGEST if len(last.data) == last.bound else Refusal.METADATA_LENGTH
    if isinstance(fault, BadVersionNumberError):
        return Refusal.ROLLBACK if _goes_back(last) else Refusal.METADATA_VERSION
    if isinstance(fault, DeserializationError | SerializationError | DownloadError):
        return Refusal.METADATA_MALFORMED
    # What is left is a file of another type, and a snapshot that lacks a role of the one before.
    return Refusal.ROLLBACK if _is_named(last) else Refusal.METADATA_MALFORMED


def _goes_back(last: Fetched) -> bool:
    """Say whether a version that is wrong is one that is too low: a timestamp's can't be wrong otherwise."""
    return last.role == TIMESTAMP or (last.role == SNAPSHOT and _signed(last).version == last.version)


def _is_named(last: Fetched) -> bool:
    return last.role == SNAPSHOT and _signed(last).type == SNAPSHOT


def _signed(last: Fetched) -> Signed:
    """Read a file that the client could read, or it would have found that wrong."""
    return Metadata.from_bytes(last.data).signed


def _refusal(refusal: Refusal, role: str) -> SnapshotInvalid:
    return SnapshotInvalid(f"the {role} metadata {_SAYINGS[refusal]}", refusal=refusal)
