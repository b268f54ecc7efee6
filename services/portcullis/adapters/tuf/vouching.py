"""The publisher's vouching in a timestamp: a signed field of ours, ``vouched_at_ms``, Unix milliseconds.

It is a whole number because the canonical JSON that TUF signs has no others.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tuf.api.metadata import MetaFile, Timestamp

from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.ports import Vouched

FIELD = "vouched_at_ms"


def make_timestamp(snapshot: MetaFile, serial: int, *, now: float, lifetime_s: float) -> Timestamp:
    """Make a timestamp that vouches for a snapshot as of ``now``, Unix seconds."""
    expires = datetime.fromtimestamp(now, UTC) + timedelta(seconds=lifetime_s)
    return Timestamp(version=serial, expires=expires, snapshot_meta=snapshot, unrecognized_fields={FIELD: milliseconds(now)})


def vouched_of(timestamp: Timestamp) -> Vouched:
    """Give what a timestamp says.

    Raises:
        SnapshotInvalid: it does not say when it was signed.
    """
    signed_at = timestamp.unrecognized_fields.get(FIELD)
    if type(signed_at) is not int or signed_at < 0:
        raise SnapshotInvalid(f"a timestamp has no {FIELD}", refusal=Refusal.METADATA_MALFORMED)
    return Vouched(timestamp.snapshot_meta.version, timestamp.version, signed_at / 1000)


def milliseconds(now: float) -> int:
    """Give a wall time in whole milliseconds."""
    return int(now * 1000)
