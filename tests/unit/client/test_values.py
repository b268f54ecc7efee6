from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.client import Answer, ClientError, Identifier, Question


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("passport:XA:A1234567", Identifier("passport", "A1234567", "XA")),
        ("passport:xa: A1234567 ", Identifier("passport", "A1234567", "XA")),
        ("passport:A1234567", Identifier("passport", "A1234567")),
        ("phone:+447700900123", Identifier("phone", "+447700900123")),
        ("tax-id:XB:12:34", Identifier("tax-id", "12:34", "XB")),
    ],
)
def test_an_identifier_is_read_from_its_notation(text: str, identifier: Identifier) -> None:
    assert identifier == Identifier.parse(text)


@pytest.mark.parametrize("text", ["", "SECRET1", ":SECRET1", "passport:", "passport:XAX:SECRET1", "passport::SECRET1"])
def test_what_is_no_identifier_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="kind:COUNTRY:value") as caught:
        Identifier.parse(text)

    assert "SECRET1" not in str(caught.value)


@given(st.text(min_size=8))
def test_no_repr_shows_an_identifiers_value(value: str) -> None:
    canary = f"canary{value}"
    question = Question((Identifier("passport", canary, "XA"),), "a.b", "p")

    assert canary not in repr(question)
    assert repr(canary)[1:-1] not in repr(question)


def test_an_answer_that_is_an_error_raises_it() -> None:
    error = ClientError("no")

    with pytest.raises(ClientError) as caught:
        Answer(error=error).get()

    assert error is caught.value


def test_an_empty_answer_is_an_error_too() -> None:
    with pytest.raises(ClientError):
        Answer().get()
