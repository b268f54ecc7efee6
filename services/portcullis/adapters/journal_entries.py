"""Between what the journal is given and the log's entries: what of it is sealed, and under whose key.

Of a decision its tokens, attributes and partner's reference are sealed, and of each reason the case, the entry and its end,
and the entries that a redress number took away; of an event the references and the subject. Everything else stands in clear
(`portcullis.domain.log_facts`). A key belongs to one subject, which the journal knows by a **handle** alone: a keyed digest
of the subject's token, or of the case, subject or commitment that an event without a decision is about. Without the seal key
a handle can't be joined with anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from portcullis.adapters.sealed_box import BOX_KEY_BYTES, NONCE_BYTES, SealedBox
from portcullis.domain.log_entries import ENTRY_FORMAT, EntryKind, LogEntry, NewEntry, encode_entry
from portcullis.domain.log_facts import (
    DECISION_FACTS,
    EVENT_FACTS,
    DecisionFacts,
    ErasureFacts,
    EventFacts,
    ReasonFacts,
    TimelineFacts,
)
from portcullis.domain.shared_events import KnownDecision, SharedEvent
from portcullis.ports import DecisionRecord, RecordedReason, ReportedBy

HANDLE_BYTES: Final = 16

_KEY_ID_BYTES: Final = 10
"""Of the random part; with the time a name has 16."""

_DRAWN_BYTES: Final = BOX_KEY_BYTES + _KEY_ID_BYTES + NONCE_BYTES
"""Of randomness for one new key: itself, its name, and the nonce that it is wrapped with."""

_ENCODE = msgspec.json.Encoder().encode


class SubjectKey(NamedTuple):
    """The key of one subject, open. ``key_id`` is the time it was made at and a random part, in hexadecimal."""

    key_id: str
    box: SealedBox


class NewKey(NamedTuple):
    """A key that was just made, and how it is kept: sealed, and bound to its subject and name."""

    key: SubjectKey
    wrapped: bytes


class _Case(msgspec.Struct, frozen=True, array_like=True):
    case_reference: str
    entry_id: int
    until: int


class _DecisionPerson(msgspec.Struct, frozen=True, array_like=True):
    tokens: tuple[str, ...]
    attributes: dict[str, str | int | float | bool]
    partner_reference: str
    cases: tuple[_Case, ...]
    cleared: tuple[int, ...] = ()


class _EventPerson(msgspec.Struct, frozen=True, array_like=True):
    reference: str
    case_reference: str
    subject: str


_DECISION_PERSON = msgspec.json.Decoder(_DecisionPerson)
_EVENT_PERSON = msgspec.json.Decoder(_EventPerson)


class JournalSecrets:
    """What the journal makes of the seal key: handles, digests and the keys of subjects.

    Args:
        seal_key: 32 bytes.
        draw: ``draw(n)`` gives n unpredictable bytes.

    Raises:
        SetupFault: the key has another length.
    """

    def __init__(self, seal_key: bytes, *, draw: Callable[[int], bytes] = os.urandom) -> None:
        SealedBox(seal_key)
        self.draw = draw
        self.check = _derived(seal_key, b"journal-check")[:HANDLE_BYTES]
        """Tells the key that a journal was begun with from another; tells nothing of the key itself."""
        self._wrapping = SealedBox(_derived(seal_key, b"journal-wrapping"), draw=draw)
        handle_key = _derived(seal_key, b"journal-handles")
        self._handles = blake2b(key=handle_key, digest_size=HANDLE_BYTES, person=b"journal-handle")
        digest_key = _derived(seal_key, b"journal-digests")
        self._digests = blake2b(key=digest_key, digest_size=HANDLE_BYTES, person=b"journal-digest")

    def token_handle(self, token: str) -> str:
        """Give the handle (hexadecimal, as every one) of a subject known by a token, in hexadecimal, too."""
        return self._handle("token", token)

    def decision_handle(self, record: DecisionRecord) -> str:
        """Give the handle of the subject that a decision is sealed for: that of its first token."""
        return self.token_handle(record.tokens[0]) if record.tokens else self._handle("decision", record.decision_id)

    def event_handle(self, event: SharedEvent) -> str:
        """Give the handle of what an event without a decision is about."""
        if event.subject:
            return self._handle("subject", event.subject)
        if event.case_reference:
            return self._handle("case", event.list, event.case_reference)
        return self._handle("commitment", event.list, event.commitment_reference)

    def reported_handles(self, reported: ReportedBy) -> set[str]:
        """Give the handles of `event_handle` for these cases and subjects."""
        cases = {self._handle("case", *case) for case in reported.cases}
        return cases | {self._handle("subject", subject) for subject in reported.subjects}

    def event_digest(self, event: SharedEvent) -> bytes:
        """Give the keyed digest of all that an event says."""
        digest = self._digests.copy()
        digest.update(_ENCODE(event))
        return digest.digest()

    def new_key(self, handle: str, at_ms: int) -> NewKey:
        """Make a key for a subject at a time (Unix milliseconds)."""
        return self.new_keys([handle], at_ms)[0]

    def new_keys(self, handles: Sequence[str], at_ms: int) -> list[NewKey]:
        """Make a key for each of these subjects.

        A key's name begins with the time, as a UUID of version 7 does, so that an index of names grows at its end; the
        first entry under the key tells no less.
        """
        drawn = self.draw(_DRAWN_BYTES * len(handles))
        return [
            self._made(handle, at_ms, drawn[place * _DRAWN_BYTES : (place + 1) * _DRAWN_BYTES])
            for place, handle in enumerate(handles)
        ]

    def _made(self, handle: str, at_ms: int, drawn: bytes) -> NewKey:
        key, key_id = drawn[:BOX_KEY_BYTES], f"{at_ms:012x}{drawn[BOX_KEY_BYTES:-NONCE_BYTES].hex()}"
        wrapped = self._wrapping.seal_with(drawn[-NONCE_BYTES:], key, _bound_key(handle, key_id))
        return NewKey(SubjectKey(key_id, SealedBox(key, draw=self.draw)), wrapped)

    def nonces(self, count: int) -> list[bytes]:
        """Draw nonces to seal that many things with, in one go: to ask for each by itself costs as much as to seal it."""
        drawn = self.draw(NONCE_BYTES * count)
        return [drawn[start : start + NONCE_BYTES] for start in range(0, len(drawn), NONCE_BYTES)]

    def open_key(self, handle: str, key_id: str, wrapped: bytes) -> SubjectKey:
        """Open a key that is kept.

        Raises:
            ValueError: it is another subject's, or damaged.
        """
        key = self._wrapping.open(wrapped, _bound_key(handle, key_id))
        return SubjectKey(key_id, SealedBox(key, draw=self.draw))

    def _handle(self, *parts: str) -> str:
        handle = self._handles.copy()
        handle.update("\0".join(parts).encode())
        return handle.hexdigest()


def _derived(seal_key: bytes, purpose: bytes) -> bytes:
    return blake2b(key=seal_key, digest_size=BOX_KEY_BYTES, person=purpose).digest()


def _bound_key(handle: str, key_id: str) -> bytes:
    return f"{handle}\0{key_id}".encode()


def _bound(kind: EntryKind, partner: str, own_id: str) -> bytes:
    # The kind is its own value: a StrEnum takes twice as long to be asked for it as all the rest takes here.
    return "\0".join((kind, partner, own_id)).encode()


def decision_entry(record: DecisionRecord, key: SubjectKey, at_ms: int) -> bytes:
    """Make the entry of a decision."""
    facts = DecisionFacts(
        decided_at=record.decided_at,
        action=record.action,
        purpose=record.purpose,
        outcome=record.outcome,
        shadow_outcome=record.shadow_outcome,
        degraded=record.degraded,
        dry_run=record.dry_run,
        snapshot_version=record.snapshot_version,
        registry_seq=record.registry_seq,
        stale=record.stale,
        reasons=tuple(_reason_facts(each) for each in record.reasons),
    )
    person = _DecisionPerson(
        record.tokens,
        record.attributes,
        record.partner_reference,
        tuple(_Case(each.case_reference, each.entry_id, each.until) for each in record.reasons),
        record.cleared,
    )
    sealed = key.box.seal(_ENCODE(person), _bound(EntryKind.DECISION, record.partner, record.decision_id))
    own_id, partner = record.decision_id, record.partner
    return encode_entry(NewEntry(ENTRY_FORMAT, EntryKind.DECISION, at_ms, partner, own_id, facts, key.key_id, sealed))


def _reason_facts(reason: RecordedReason) -> ReasonFacts:
    return ReasonFacts(
        list=reason.list,
        measure=reason.measure,
        effect=reason.effect,
        authority=reason.authority,
        legal_basis=reason.legal_basis,
        weak=reason.weak,
        shadow=reason.shadow,
    )


def open_decision(entry: LogEntry, key: SubjectKey) -> DecisionRecord:
    """Give the decision of an entry again.

    Raises:
        ValueError: the entry is no decision's, or was not sealed under this key.
    """
    facts = DECISION_FACTS.decode(entry.facts)
    person = _DECISION_PERSON.decode(key.box.open(entry.sealed, _bound(EntryKind.DECISION, entry.partner, entry.id)))
    return DecisionRecord(
        decision_id=entry.id,
        decided_at=facts.decided_at,
        partner=entry.partner,
        action=facts.action,
        purpose=facts.purpose,
        outcome=facts.outcome,
        shadow_outcome=facts.shadow_outcome,
        degraded=facts.degraded,
        dry_run=facts.dry_run,
        snapshot_version=facts.snapshot_version,
        registry_seq=facts.registry_seq,
        stale=facts.stale,
        partner_reference=person.partner_reference,
        tokens=person.tokens,
        attributes=person.attributes,
        reasons=tuple(_recorded(*pair) for pair in zip(facts.reasons, person.cases, strict=True)),
        cleared=person.cleared,
    )


def _recorded(reason: ReasonFacts, case: _Case) -> RecordedReason:
    return RecordedReason(
        list=reason.list,
        measure=reason.measure,
        effect=reason.effect,
        authority=reason.authority,
        legal_basis=reason.legal_basis,
        case_reference=case.case_reference,
        entry_id=case.entry_id,
        until=case.until,
        weak=reason.weak,
        shadow=reason.shadow,
    )


def known_decision(entry: LogEntry, facts: DecisionFacts) -> KnownDecision:
    """Give what an event may be matched with."""
    return KnownDecision(
        decision_id=entry.id,
        partner=entry.partner,
        outcome=facts.outcome,
        dry_run=facts.dry_run,
        lists=tuple(dict.fromkeys(each.list for each in facts.reasons if not each.shadow)),
    )


def is_personal(event: SharedEvent) -> bool:
    """Say whether an event has anything to seal."""
    return bool(event.reference or event.case_reference or event.subject)


def event_entry(  # noqa: PLR0917 - what is recorded, then how it is sealed
    partner: str, event: SharedEvent, digest: bytes, at_ms: int, key: SubjectKey | None, nonce: bytes
) -> bytes:
    """Make the entry of an event; without a key its personal fields are not kept. The nonce is for this entry alone."""
    event_id, key_id, sealed = event.event_id, "", b""
    if key is not None:
        person = _ENCODE(_EventPerson(event.reference, event.case_reference, event.subject))
        key_id = key.key_id
        sealed = key.box.seal_with(nonce, person, _bound(EntryKind.EVENT, partner, event_id))
    facts = EventFacts(
        kind=event.kind,
        occurred_at_ms=event.occurred_at_ms,
        decision_id=event.decision_id,
        list=event.list,
        code=event.code,
        commitment_reference=event.commitment_reference,
        url=event.url,
        digest=digest,
    )
    return encode_entry(NewEntry(ENTRY_FORMAT, EntryKind.EVENT, at_ms, partner, event_id, facts, key_id, sealed))


def open_event(entry: LogEntry, key: SubjectKey | None) -> SharedEvent:
    """Give the event of an entry again; without its key (None) its personal fields are empty.

    Raises:
        ValueError: the entry is no event's, or was not sealed under this key.
    """
    facts = EVENT_FACTS.decode(entry.facts)
    person = _EventPerson("", "", "")
    if key is not None and entry.sealed:
        person = _EVENT_PERSON.decode(key.box.open(entry.sealed, _bound(EntryKind.EVENT, entry.partner, entry.id)))
    return SharedEvent(
        event_id=entry.id,
        kind=facts.kind,
        occurred_at_ms=facts.occurred_at_ms,
        reference=person.reference,
        decision_id=facts.decision_id,
        list=facts.list,
        case_reference=person.case_reference,
        subject=person.subject,
        code=facts.code,
        commitment_reference=facts.commitment_reference,
        url=facts.url,
    )


def erasure_entry(facts: ErasureFacts, at_ms: int) -> bytes:
    """Make the entry of an erasure."""
    own_id = facts.key_ids[0] if facts.key_ids else ""
    return encode_entry(NewEntry(ENTRY_FORMAT, EntryKind.ERASURE, at_ms, "", own_id, facts, "", b""))


def timeline_entry(facts: TimelineFacts, at_ms: int) -> bytes:
    """Make the entry of a restore from a backup."""
    return encode_entry(NewEntry(ENTRY_FORMAT, EntryKind.TIMELINE, at_ms, "", facts.timeline, facts, "", b""))
