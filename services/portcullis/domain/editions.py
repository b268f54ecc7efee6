"""An edition: the head of one snapshot, with everything that deciding needs besides the index records.

The publisher writes it, the replica keeps it beside the records of the same snapshot, and a gateway compiles its policy
once. It holds digests of API keys, never keys, and nothing about a listed subject.
"""

from __future__ import annotations

import msgspec

from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.policies import Policy

FORMAT = 1
"""The format of edition and records; a replica of another format is rebuilt, not read."""


class Legal(msgspec.Struct, frozen=True):
    """What an entry rests on and where its subject objects; shared by many entries of a list."""

    legal_basis: str
    redress: str


class Credential(msgspec.Struct, frozen=True):
    """One API key in force: who holds it, and the SHA-256 digest of the whole key in hexadecimal.

    ``role`` is "partner" or "operator"; an operator's ``holder`` is the operator's name.
    """

    key_id: str
    holder: str
    digest: str
    role: str = "partner"


class Edition(msgspec.Struct, frozen=True, kw_only=True):
    """The head of one snapshot.

    ``version`` grows with every publish; ``published_at`` is Unix seconds; ``registry_seq`` is the registry's change that
    it includes up to; ``records`` counts index keys. Records refer to ``policy.lists`` and ``legal`` by place.
    """

    format: int
    version: int
    published_at: float
    registry_seq: int
    policy: Policy
    legal: tuple[Legal, ...]
    credentials: tuple[Credential, ...]
    records: int


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Edition)


def encode_edition(edition: Edition) -> bytes:
    """Write an edition as canonical JSON: the same edition gives the same bytes."""
    return _ENCODER.encode(edition)


def decode_edition(data: bytes) -> Edition:
    """Read an edition.

    Raises:
        SnapshotInvalid: the bytes are no edition, or one of another format.
    """
    try:
        edition = _DECODER.decode(data)
    except msgspec.MsgspecError as fault:
        raise SnapshotInvalid(f"the edition can't be read: {fault}") from fault
    except UnicodeDecodeError:
        # Not chained: this error carries the bytes.
        raise SnapshotInvalid("the edition can't be read: it holds text that is no UTF-8") from None
    if edition.format != FORMAT:
        message = f"the edition has format {edition.format}; this release reads format {FORMAT}"
        raise SnapshotInvalid(message, refusal=Refusal.FORMAT)
    return edition
