"""An entry of the journal: what the Merkle tree's leaves are made of.

An entry is JSON with its fields in the order below. What says nothing of a person stands in ``facts`` in clear; everything
personal is in ``sealed``, encrypted under the key of one subject. The tree is built over these bytes as they stand, so a key
that is destroyed leaves a tree that verifies and an entry that nobody can read.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from portcullis.domain.log_facts import DecisionFacts, ErasureFacts, EventFacts, TimelineFacts

ENTRY_FORMAT = 1


class EntryKind(StrEnum):
    """What an entry of the journal records."""

    DECISION = "decision"
    EVENT = "event"
    ERASURE = "erasure"
    TIMELINE = "timeline"


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry.

    Attributes:
        format: of this struct.
        kind: what it records.
        recorded_at_ms: when the journal took it, Unix milliseconds.
        partner: who asked or reported, "" where no partner did.
        id: the decision_id or event_id; of an erasure the first key_id, "" where no key was there; of a timeline its name.
        facts: what is not personal, by kind: DecisionFacts, EventFacts, ErasureFacts or TimelineFacts
            (`portcullis.domain.log_facts`).
        key_id: the key that ``sealed`` is under, in hexadecimal; "" where nothing is sealed.
        sealed: format byte, nonce and AES-256-GCM ciphertext, bound to kind, partner and id; base64 in JSON.
    """

    format: int
    kind: EntryKind
    recorded_at_ms: int
    partner: str
    id: str
    facts: msgspec.Raw
    key_id: str
    sealed: bytes


class NewEntry(msgspec.Struct, frozen=True):
    """A `LogEntry` that is about to be written: the same fields, the facts as they are, encoded with the rest at once."""

    format: int
    kind: EntryKind
    recorded_at_ms: int
    partner: str
    id: str
    facts: DecisionFacts | EventFacts | ErasureFacts | TimelineFacts
    key_id: str
    sealed: bytes


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(LogEntry)


def encode_entry(entry: LogEntry | NewEntry) -> bytes:
    """Give the bytes that the leaf is made of."""
    return _ENCODER.encode(entry)


def decode_entry(data: bytes) -> LogEntry:
    """Read an entry.

    Raises:
        ValueError: the bytes are no entry of this format.
    """
    try:
        entry = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ValueError("no entry of the journal") from None
    if entry.format != ENTRY_FORMAT:
        raise ValueError("an entry of another format")
    return entry
