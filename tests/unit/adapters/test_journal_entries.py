"""Between records and entries: what is sealed comes back under its key alone, and handles tell nothing by themselves."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.adapters.journal_entries import JournalSecrets, decision_entry, event_entry, open_decision
from portcullis.domain.log_entries import EntryKind, decode_entry
from portcullis.domain.log_facts import EVENT_FACTS
from portcullis.domain.shared_events import EventKind
from tests.support.decision_records import a_reason, a_record
from tests.support.journals import SEAL_KEY, a_settlement, an_event

SECRETS = JournalSecrets(SEAL_KEY)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    tokens=st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=3),
    reference=texts,
    attributes=st.dictionaries(
        texts, st.one_of(texts, st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.booleans())
    ),
    cases=st.lists(texts, max_size=3),
)
def test_a_decision_comes_back_as_it_was(
    tokens: list[str], reference: str, attributes: dict[str, str | int | float | bool], cases: list[str]
) -> None:
    record = a_record(
        tokens=tuple(tokens),
        partner_reference=reference,
        attributes={name: value for name, value in attributes.items() if value not in (float("inf"), -float("inf"))},
        reasons=tuple(a_reason(case_reference=case) for case in cases),
    )
    key = SECRETS.new_key(SECRETS.decision_handle(record), 1).key
    assert record == open_decision(decode_entry(decision_entry(record, key, 1)), key)


def test_a_decision_opens_under_its_own_key_alone() -> None:
    record = a_record()
    key, other = (SECRETS.new_key(SECRETS.decision_handle(record), 1).key for _ in range(2))
    entry = decode_entry(decision_entry(record, key, 1))
    with pytest.raises(ValueError, match="sealed blob"):
        open_decision(entry, other)


def test_a_decision_that_was_kept_before_redress_numbers_opens_and_says_that_nothing_was_cleared() -> None:
    record = a_record()
    key = SECRETS.new_key(SECRETS.decision_handle(record), 1).key
    entry = decode_entry(decision_entry(record, key, 1))
    bound = "\0".join((EntryKind.DECISION, entry.partner, entry.id)).encode()
    *before, cleared = msgspec.json.decode(key.box.open(entry.sealed, bound))
    assert list(record.cleared) == cleared
    old = msgspec.structs.replace(entry, sealed=key.box.seal(msgspec.json.encode(before), bound))
    assert msgspec.structs.replace(record, cleared=()) == open_decision(old, key)


def test_the_entries_that_were_cleared_are_sealed_as_the_person_is() -> None:
    record = a_record(cleared=(123_454_321,))
    key = SECRETS.new_key(SECRETS.decision_handle(record), 1).key
    assert b"123454321" not in decision_entry(record, key, 1)


def test_a_kept_key_opens_for_its_subject_and_name_alone() -> None:
    made = SECRETS.new_key("aa", 1)
    blob = made.key.box.seal(b"text", b"")
    opened = SECRETS.open_key("aa", made.key.key_id, made.wrapped)
    assert opened.box.open(blob, b"") == b"text"
    for secrets, handle, key_id in (
        (SECRETS, "ab", made.key.key_id),
        (SECRETS, "aa", "00" * 16),
        (JournalSecrets(bytes(32)), "aa", made.key.key_id),
    ):
        with pytest.raises(ValueError, match="sealed blob"):
            secrets.open_key(handle, key_id, made.wrapped)


def test_keys_that_are_made_together_are_drawn_at_once_and_share_nothing() -> None:
    drawn: list[int] = []

    def draw(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    secrets = JournalSecrets(SEAL_KEY, draw=draw)
    made = secrets.new_keys([f"{number:02x}" for number in range(50)], 7)
    assert len(drawn) == 1
    blob = made[0].key.box.seal(b"text", b"")
    for number, each in enumerate(made):
        opened = secrets.open_key(f"{number:02x}", each.key.key_id, each.wrapped)
        assert b"text" == opened.box.open(each.key.box.seal(b"text", b""), b"")
        if number:
            with pytest.raises(ValueError, match="sealed blob"):
                each.key.box.open(blob, b"")
    assert len({each.key.key_id for each in made}) == len({each.wrapped[1:13] for each in made}) == 50


def test_nonces_that_are_drawn_together_are_as_many_as_were_asked_for_and_all_differ() -> None:
    nonces = SECRETS.nonces(100)
    assert (100, {12}) == (len(set(nonces)), {len(each) for each in nonces})
    assert [] == SECRETS.nonces(0)


def test_handles_are_one_for_each_thing_and_depend_on_the_key() -> None:
    handles = [
        SECRETS.token_handle("00" * 16),
        SECRETS.token_handle("01" * 16),
        SECRETS.event_handle(a_settlement("e1")),
        SECRETS.event_handle(a_settlement("e1", list="carrier")),
        SECRETS.event_handle(a_settlement("e1", case_reference="(2090) Demo 2")),
        SECRETS.event_handle(an_event("e1", EventKind.TERMINATED, list="court", subject="00" * 16)),
        SECRETS.event_handle(an_event("e1", EventKind.COMMITMENT_PUBLISHED, list="court", commitment_reference="c")),
        SECRETS.decision_handle(a_record("d1", tokens=())),
        JournalSecrets(bytes(32)).token_handle("00" * 16),
    ]
    assert len(set(handles)) == len(handles)
    assert SECRETS.event_handle(a_settlement("e1")) == SECRETS.event_handle(a_settlement("e2", reference="x"))


def test_the_digest_covers_all_that_an_event_says() -> None:
    first = a_settlement("e1")
    assert SECRETS.event_digest(first) == SECRETS.event_digest(a_settlement("e1"))
    others = [a_settlement("e2"), a_settlement("e1", reference="x"), a_settlement("e1", case_reference="x")]
    digests = {SECRETS.event_digest(each) for each in (first, *others)} | {JournalSecrets(bytes(32)).event_digest(first)}
    assert len(digests) == 5


def test_an_event_without_a_key_keeps_its_facts_alone() -> None:
    entry = decode_entry(event_entry("lending", a_settlement("e1"), b"digest", 1, None, b""))
    assert ("", b"", b"digest") == (entry.key_id, entry.sealed, EVENT_FACTS.decode(entry.facts).digest)
