"""What gets into a log line, and what never does, by type, by key and by form."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.entries import EntryStatus, GivenIdentifier
from portcullis.domain.errors import SetupFault
from portcullis.domain.identifiers import Identifier
from portcullis.domain.redress_numbers import format_number, make_number
from portcullis.gateway.admission import Caller
from portcullis.mains.redaction import NEVER, WITHHELD, redact, redact_field, scrub, told

PASSPORT = "XA12345678"
SESSION = "pcs_hUsHhUsHhUsHhUsHhUsH"


class Resembling(str):
    """A text of a type of its own: who knows why it has one."""

    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        Identifier("passport", PASSPORT, "XB"),
        GivenIdentifier("passport", PASSPORT),
        Caller("acme", "partner", "abcdefgh", SESSION),
        PASSPORT.encode(),
        bytearray(PASSPORT.encode()),
        memoryview(PASSPORT.encode()),
        Resembling(PASSPORT),
        ValueError(PASSPORT),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_any_type_that_is_not_plain_is_replaced_by_its_types_name(value: object) -> None:
    expected = f"[withheld {type(value).__name__}]"

    assert expected == redact(value)
    assert [expected] == redact([value])
    assert {"of": [expected]} == redact({"of": (value,)})


@pytest.mark.parametrize("value", [None, True, 7, 0.25, "a list", ["a", 1], {"a": {"b": None}}])
def test_plain_values_pass_as_they_are(value: object) -> None:
    assert value == redact(value)


def test_what_is_known_to_be_harmless_is_written_plainly() -> None:
    assert EntryStatus.IN_FORCE.value == redact(EntryStatus.IN_FORCE)
    assert "/var/lib" == redact(Path("/var/lib"))
    assert "2026-11-23 00:00:00+00:00" == redact(datetime(2026, 11, 23, tzinfo=UTC))
    assert {"a": 1} == redact(MappingProxyType({"a": 1}))


@pytest.mark.parametrize("name", sorted(NEVER))
def test_a_key_that_would_carry_a_secret_is_withheld_however_deep_it_lies(name: str) -> None:
    assert WITHHELD == redact_field(name, PASSPORT)
    assert [{name.upper(): WITHHELD}] == redact([{name.upper(): PASSPORT}])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the key pcl_abcdefgh_s3cr-et_S3cret is refused", "the key [withheld] is refused"),
        (f"the session {SESSION} has ended", "the session [withheld] has ended"),
        ("redis://:hush@store:6379/0", "redis://[withheld]@store:6379/0"),
        ("postgresql://registry:hu/sh@db/registry", "postgresql://[withheld]@db/registry"),
        ("postgresql:///x?host=/run&password=hush&user=y", "postgresql:///x?host=/run&[withheld]&user=y"),
        ("Authorization: Bearer hush.hush-hush", "Authorization: [withheld]"),
        ("token eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln", "token [withheld]"),
        ("call +447700900123 back", "call [withheld] back"),
        ("of 110105209001010014", "of [withheld]"),
        ("of 91110000MA00000009", "of [withheld]"),
        ("-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY----- x", "[withheld] x"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "[withheld]"),
    ],
)
def test_what_looks_like_a_secret_or_a_number_is_taken_out_of_a_text(text: str, expected: str) -> None:
    assert expected == scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T08:00:00+00:00",
        "127.0.0.1:50051",
        "http://127.0.0.1:8080/readyz",
        "unix:///run/portcullis/valkey.sock",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "1,234,567 entries in 0.25 s",
        "PORTCULLIS_REDIS_URL",
    ],
)
def test_what_operators_look_for_stays(text: str) -> None:
    assert text == scrub(text)


@given(st.binary(min_size=10, max_size=10))
def test_no_redress_number_stays_in_a_text_however_it_is_written(drawn: bytes) -> None:
    number = format_number(make_number(lambda _: drawn))

    for written in (number, number.lower(), number.replace("-", " "), number.replace("-", "")):
        assert "of [withheld], again" == scrub(f"of {written}, again")


def fault_of(value: str) -> Exception:
    try:
        try:
            int(value)
        except ValueError as cause:
            raise SetupFault("the file can't be read; mend it") from cause
    except SetupFault as fault:
        return fault


def test_a_fault_is_told_with_its_causes_and_places_and_without_what_it_quotes() -> None:
    text = told(fault_of(PASSPORT))

    assert PASSPORT not in text
    assert ["ValueError", "which led to:"] == [line for line in text.splitlines() if not line.startswith("  ")][:2]
    assert text.endswith("SetupFault: the file can't be read; mend it")
    assert 2 == text.count("in fault_of")


def test_each_fault_of_a_group_is_told() -> None:
    text = told(ExceptionGroup(PASSPORT, [ValueError(PASSPORT), OSError(28, "No space left on device", PASSPORT)]))

    assert ["ExceptionGroup", "of which one:", "ValueError", "of which one:", "OSError: No space left on device"] == (
        text.splitlines()
    )


def test_faults_that_are_each_others_context_are_told_once() -> None:
    one, other = ValueError(), KeyError()
    one.__context__, other.__context__ = other, one

    assert ["KeyError", "which led to:", "ValueError"] == told(one).splitlines()
