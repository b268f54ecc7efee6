"""Redress numbers as people write them, and the tokens that they count under."""

from __future__ import annotations

import itertools
import secrets
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import InvalidRequest
from portcullis.domain.identifiers import Identifier
from portcullis.domain.redress_numbers import MAX_TEXT, format_number, make_number, read_number
from portcullis.domain.tokens import TOKEN_BYTES, Tokeniser

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
NUMBERS = st.binary(min_size=10, max_size=10).map(lambda drawn: make_number(lambda _: drawn))
KEY = bytes(range(32))
OWN = Tokeniser(KEY).index_tokens(Identifier("passport", "N00000001", "XA"))[0]
MISTAKEN = Tokeniser(KEY).index_tokens(Identifier("phone", "+447700900001"))[0]


def is_refused(text: str) -> bool:
    with pytest.raises(InvalidRequest) as caught:
        read_number(text)
    return text not in str(caught.value) and "redress_number" in str(caught.value)


def test_a_number_is_written_in_groups_behind_its_prefix() -> None:
    number = make_number(secrets.token_bytes)
    text = format_number(number)
    assert ["PCR", number[:4], number[4:8], number[8:12], number[12:]] == text.split("-")
    assert len(text) <= MAX_TEXT


def test_the_check_character_is_the_parity_of_the_field() -> None:
    # x^5 + x^2 + 1: 1 doubled fifteen times is x^15 = x^4 + x^3 + x^2 + x + 1 = 31, and 31 is Z.
    assert "000000000000001" + "2" == make_number(lambda _: (1 << 70).to_bytes(10, "big"))
    assert "100000000000000" + "Z" == make_number(lambda _: (1).to_bytes(10, "big"))


@given(number=NUMBERS)
def test_what_is_written_is_read_back(number: str) -> None:
    assert number == read_number(format_number(number))


@given(number=NUMBERS)
def test_case_hyphens_blanks_and_letters_that_look_like_digits_do_not_matter(number: str) -> None:
    text = format_number(number)
    assert number == read_number(text.lower())
    assert number == read_number(text.replace("-", ""))
    assert number == read_number(f" {text.replace('-', ' ')} ")
    assert number == read_number("PCR" + number.replace("0", "o").replace("1", "l"))


@given(number=NUMBERS, place=st.integers(0, 15), character=st.sampled_from(ALPHABET))
def test_one_wrong_character_is_always_found(number: str, place: int, character: str) -> None:
    wrong = number[:place] + character + number[place + 1 :]
    assert wrong == number or is_refused(format_number(wrong))


@given(number=NUMBERS)
def test_two_characters_that_changed_places_are_always_found(number: str) -> None:
    for one, other in itertools.combinations(range(16), 2):
        swapped = list(number)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        wrong = "".join(swapped)
        assert wrong == number or is_refused(format_number(wrong))


@given(text=st.text(max_size=40))
def test_any_other_text_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidRequest, match="redress_number"):
        read_number(text)


def test_a_number_without_its_prefix_or_with_a_letter_that_there_is_not_is_refused() -> None:
    number = make_number(lambda _: bytes(10))
    assert is_refused(number)
    assert is_refused(f"PCR-U{number[1:]}")
    assert is_refused(format_number(number) + "-" * MAX_TEXT)


def test_a_clearance_is_the_keyed_hash_of_number_own_and_mistaken() -> None:
    number = make_number(lambda _: bytes(10))
    salt = (1).to_bytes(16, "little")
    expected = blake2b(number.encode() + OWN + MISTAKEN, digest_size=TOKEN_BYTES, key=KEY, salt=salt, person=b"clearance")
    assert expected.digest() == Tokeniser(KEY).clearance(number, OWN, MISTAKEN)


def test_a_clearance_is_another_for_another_number_document_mistake_key_or_epoch() -> None:
    one, other = (make_number(lambda _, drawn=drawn: bytes([drawn] * 10)) for drawn in (0, 1))  # type: ignore[misc]
    made = [
        Tokeniser(KEY).clearance(one, OWN, MISTAKEN),
        Tokeniser(KEY).clearance(other, OWN, MISTAKEN),
        Tokeniser(KEY).clearance(one, MISTAKEN, OWN),
        Tokeniser(KEY).clearance(one, OWN, OWN),
        Tokeniser(KEY, epoch=2).clearance(one, OWN, MISTAKEN),
        Tokeniser(bytes(32)).clearance(one, OWN, MISTAKEN),
    ]
    assert 6 == len(set(made))
