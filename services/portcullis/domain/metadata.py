"""The metadata files: what proves a snapshot, and how fresh it is.

The rules:

1. ``snapshot.json`` describes one version: the base that holds it with the digest of every chunk, and the facts that
   tell one edition from another. It is written once a version.
2. ``timestamp.json`` names the version now in force with the length and SHA-256 of its ``snapshot.json``, and says when
   the publisher vouched for it. It is written anew every second, with the next ``serial``; the serial starts over with
   each version, so (version, serial) never goes back.
3. Both are canonical JSON. The timestamp carries the SHA-256 of its own statement against accidents on the way; every
   other file is proven by the one before it: timestamp, snapshot, base.
4. A reader refuses a file that is absent, longer than its bound, not as digested, not canonical, of another format, or
   whose version is not the one it was reached by.

Example of a timestamp, its digests shortened:
``{"checksum":"9f…","statement":{"format":1,"serial":7,"snapshot_length":512,"snapshot_sha256":"3c…","version":41,…}}``
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from portcullis.domain.bases import CHUNK_BYTES, BaseDigests, base_name
from portcullis.domain.editions import FORMAT, Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid

TIMESTAMP_FILE = "timestamp.json"
SNAPSHOT_FILE = "snapshot.json"
MAX_TIMESTAMP_BYTES = 4096
MAX_SNAPSHOT_BYTES = 16 << 20

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Number = Annotated[int, Meta(ge=1, le=1 << 53)]


class Timestamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which snapshot is the newest, and when (Unix seconds, the publisher's clock) the publisher vouched for it."""

    format: int
    version: Number
    serial: Number
    vouched_at: float
    snapshot_length: Annotated[int, Meta(ge=1, le=MAX_SNAPSHOT_BYTES)]
    snapshot_sha256: Digest


class SnapshotDescription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version: the facts that tell its edition from any other, and what proves its base."""

    format: int
    version: Number
    published_at: float
    registry_seq: Count
    records: Count
    base_name: str
    base_length: Number
    base_chunks: tuple[Digest, ...]

    def digests(self) -> BaseDigests:
        """Give what proves the base."""
        return BaseDigests(self.base_name, self.base_length, self.base_chunks)

    def describes(self, edition: Edition) -> bool:
        """Say whether an edition is the one described."""
        return (self.format, self.version, self.published_at, self.registry_seq, self.records) == (
            edition.format,
            edition.version,
            edition.published_at,
            edition.registry_seq,
            edition.records,
        )


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    checksum: Digest
    statement: msgspec.Raw


class _Heading(msgspec.Struct, frozen=True):
    """The part of a statement that every format has."""

    format: int


_ENCODER = msgspec.json.Encoder(order="sorted")


def describe(edition: Edition, digests: BaseDigests) -> SnapshotDescription:
    """Describe an edition and its base."""
    return SnapshotDescription(
        format=edition.format,
        version=edition.version,
        published_at=edition.published_at,
        registry_seq=edition.registry_seq,
        records=edition.records,
        base_name=digests.name,
        base_length=digests.length,
        base_chunks=digests.chunks,
    )


def encode_snapshot(description: SnapshotDescription) -> bytes:
    """Write ``snapshot.json``."""
    return _ENCODER.encode(description)


def timestamp_for(version: int, snapshot: bytes, *, serial: int, vouched_at: float) -> Timestamp:
    """Vouch for the snapshot whose ``snapshot.json`` is given."""
    return Timestamp(
        format=FORMAT,
        version=version,
        serial=serial,
        vouched_at=float(vouched_at),
        snapshot_length=len(snapshot),
        snapshot_sha256=hashlib.sha256(snapshot).hexdigest(),
    )


def encode_timestamp(timestamp: Timestamp) -> bytes:
    """Write ``timestamp.json``."""
    statement = _ENCODER.encode(timestamp)
    return _ENCODER.encode(_Envelope(hashlib.sha256(statement).hexdigest(), msgspec.Raw(statement)))


def decode_timestamp(data: bytes | None) -> Timestamp:
    """Read ``timestamp.json``.

    Raises:
        SnapshotInvalid: there is none, it is damaged, or it is of another format.
    """
    if data is None:
        raise SnapshotInvalid("the store holds no timestamp", refusal=Refusal.STORE_EMPTY)
    if len(data) > MAX_TIMESTAMP_BYTES:
        raise SnapshotInvalid("the timestamp is too long", refusal=Refusal.TIMESTAMP_MALFORMED)
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        statement = bytes(envelope.statement)
        if hashlib.sha256(statement).hexdigest() != envelope.checksum:
            raise SnapshotInvalid("the timestamp is damaged", refusal=Refusal.TIMESTAMP_MALFORMED)
        _demand_format(statement)
        timestamp = msgspec.json.decode(statement, type=Timestamp)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise SnapshotInvalid("the timestamp can't be read", refusal=Refusal.TIMESTAMP_MALFORMED) from fault
    if encode_timestamp(timestamp) != data:
        raise SnapshotInvalid("the timestamp is not canonical", refusal=Refusal.TIMESTAMP_MALFORMED)
    return timestamp


def decode_snapshot(data: bytes | None, timestamp: Timestamp) -> SnapshotDescription:
    """Read the ``snapshot.json`` that a timestamp names.

    Raises:
        SnapshotInvalid: it is absent, not the one named, or inconsistent in itself.
    """
    if data is None:
        raise SnapshotInvalid("the store holds no snapshot.json", refusal=Refusal.SNAPSHOT_MISSING)
    if len(data) != timestamp.snapshot_length or hashlib.sha256(data).hexdigest() != timestamp.snapshot_sha256:
        raise SnapshotInvalid("snapshot.json is not the one that the timestamp names", refusal=Refusal.SNAPSHOT_DIGEST)
    try:
        _demand_format(data)
        description = msgspec.json.decode(data, type=SnapshotDescription)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise SnapshotInvalid("snapshot.json can't be read", refusal=Refusal.SNAPSHOT_MALFORMED) from fault
    if description.version != timestamp.version:
        raise SnapshotInvalid("snapshot.json is of another version than the timestamp", refusal=Refusal.MIXED_VERSIONS)
    if not _consistent(description):
        raise SnapshotInvalid("snapshot.json contradicts itself", refusal=Refusal.SNAPSHOT_MALFORMED)
    return description


def _demand_format(statement: bytes) -> None:
    found = msgspec.json.decode(statement, type=_Heading).format
    if found != FORMAT:
        raise SnapshotInvalid(f"the snapshot has format {found}; this release reads {FORMAT}", refusal=Refusal.FORMAT)


def _consistent(description: SnapshotDescription) -> bool:
    chunks = -(-description.base_length // CHUNK_BYTES)
    return chunks == len(description.base_chunks) and base_name(description.base_chunks) == description.base_name
