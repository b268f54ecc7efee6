"""Metadata that no signed hash covers must be exactly what was signed: the timestamp, and every root.

python-tuf verifies the meaning of these files, not their bytes: other spellings of the same JSON, unsigned fields beside the
signed ones, and signatures beyond the threshold that are wrong or of nobody's key all pass. None of it does harm, but then
two different files would be one and the same, and a damaged one would go unnoticed. So they are demanded as the publisher
writes them: compact JSON with sorted keys, nothing unsigned, and every signature right.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from tuf.api.metadata import Metadata, Root, Timestamp
from tuf.api.serialization import DeserializationError, SerializationError

from portcullis.adapters.tuf.key_roles import ROOT
from portcullis.domain.errors import Refusal, SnapshotInvalid

_HEXADECIMAL = re.compile("[0-9a-f]+")


def demand_exact(role: str, data: bytes, delegators: Collection[Root]) -> None:
    """Demand that a timestamp or root is exactly what its signers wrote.

    Args:
        role: its role.
        data: the file.
        delegators: the roots whose keys may sign it. A root may be signed by the keys that it names, too.

    Raises:
        SnapshotInvalid: it is not; ROOT_INVALID, METADATA_MALFORMED or METADATA_SIGNATURE.
    """
    metadata = _read(role, data)
    own = (metadata.signed,) if isinstance(metadata.signed, Root) else ()
    payload = metadata.signed_bytes
    right: set[str] = set()
    for root in (*delegators, *own):
        right |= root.get_verification_result(role, payload, metadata.signatures).signed.keys()
    if right != metadata.signatures.keys():
        raise SnapshotInvalid(
            f"the {role} metadata has a signature that is not right", refusal=_or_root(role, Refusal.METADATA_SIGNATURE)
        )


def _read(role: str, data: bytes) -> Metadata[Root] | Metadata[Timestamp]:
    try:
        metadata: Metadata[Root] | Metadata[Timestamp] = Metadata.from_bytes(data)
        plain = not metadata.unrecognized_fields and all(
            not each.unrecognized_fields and _HEXADECIMAL.fullmatch(each.signature) for each in metadata.signatures.values()
        )
        exact = plain and metadata.to_bytes() == data
    except (DeserializationError, SerializationError, TypeError):
        exact = False
    if not exact:
        raise SnapshotInvalid(
            f"the {role} metadata can't be read as it was written", refusal=_or_root(role, Refusal.METADATA_MALFORMED)
        )
    return metadata


def _or_root(role: str, refusal: Refusal) -> Refusal:
    return Refusal.ROOT_INVALID if role == ROOT else refusal
