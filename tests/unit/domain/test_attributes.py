"""Attributes: what a request brings, held against what the action declares."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.attributes import AttributeBinder
from portcullis.domain.errors import InvalidRequest
from portcullis.domain.policies import Action, AttributeSpec, AttributeType

RAIL = Action(
    "rail.ticket.purchase",
    attributes=(
        AttributeSpec("train", AttributeType.STRING, required=True),
        AttributeSpec("seat_class", AttributeType.STRING, default="second"),
        AttributeSpec("price", AttributeType.DOUBLE, default=1),
        AttributeSpec("seats", AttributeType.INT, default=1),
        AttributeSpec("student", AttributeType.BOOL, default=False),
    ),
)
DEFAULTS = {"seat_class": "second", "price": 1.0, "seats": 1, "student": False}
LOAN = Action("loan.apply", attributes=(AttributeSpec("amount", AttributeType.DOUBLE, default=0.0),))


def violations(pairs, action=RAIL) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as caught:
        AttributeBinder(action).bind(pairs)
    return [(each.field, each.description) for each in caught.value.violations]


def test_what_is_not_given_takes_its_default():
    assert DEFAULTS | {"train": "K1"} == AttributeBinder(RAIL).bind([("train", "K1")])


def test_an_action_without_attributes_binds_nothing():
    assert {} == AttributeBinder(Action("golf.round.book")).bind(())


def test_attributes_may_come_as_any_iterable():
    assert DEFAULTS | {"train": "K1"} == AttributeBinder(RAIL).bind(pair for pair in [("train", "K1")])


def test_every_attribute_may_be_given():
    pairs = [("train", "G1"), ("seat_class", "first"), ("price", 2.5), ("seats", 2), ("student", True)]
    assert dict(pairs) == AttributeBinder(RAIL).bind(pairs)


def test_what_is_bound_is_the_callers_own():
    binder = AttributeBinder(LOAN)
    binder.bind(())["amount"] = 7.0
    assert {"amount": 0.0} == binder.bind(())


def test_a_whole_number_is_taken_where_a_double_is_declared():
    bound = AttributeBinder(LOAN).bind([("amount", 3)])
    assert {"amount": 3.0} == bound
    assert isinstance(bound["amount"], float)


def test_a_default_written_as_a_whole_number_binds_as_the_double_it_is_declared():
    assert isinstance(AttributeBinder(RAIL).bind([("train", "K1")])["price"], float)


def test_a_missing_required_attribute_is_named():
    assert [("attributes", "train is missing; the action requires it")] == violations([])


def test_an_undeclared_attribute_is_refused_without_repeating_it():
    found = violations([("train", "K1"), ("surname", "Nobody")])
    assert [
        (
            "attributes[1].name",
            "the action does not declare it; it declares: price, seat_class, seats, student, train",
        )
    ] == found


def test_an_attribute_given_twice_is_refused():
    found = violations([("train", "K1"), ("seats", 1), ("train", "K1")])
    assert [("attributes[2].name", "it is given already; give it once")] == found


@pytest.mark.parametrize(
    ("name", "value", "description"),
    [
        ("seats", 1.0, "it must be a whole number (int_value)"),
        ("seats", True, "it must be a whole number (int_value)"),
        ("seats", "1", "it must be a whole number (int_value)"),
        ("seats", 2**63, "it must fit 64 bits"),
        ("price", True, "it must be a number (double_value or int_value)"),
        ("price", math.nan, "it must be finite"),
        ("price", math.inf, "it must be finite"),
        ("price", -math.inf, "it must be finite"),
        ("price", 10**400, "it must fit 64 bits"),
        ("student", 1, "it must be true or false (bool_value)"),
        ("student", None, "it must be true or false (bool_value)"),
        ("seat_class", 2, "it must be text (string_value)"),
        ("seat_class", "x" * 257, "it must have at most 256 characters"),
        ("seat_class", "first\n", "it must not hold control characters"),
        ("seat_class", "a\x00", "it must not hold control characters"),
        ("seat_class", "\ud800", "it must not hold control characters"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_refused(name, value, description):
    assert [("attributes[1].value", description)] == violations([("train", "K1"), (name, value)])


@pytest.mark.parametrize("text", ["", "x" * 256, "软卧", "soft\u3000sleeper", "soft\u200bsleeper"])
def test_text_of_any_script_is_taken(text):
    assert text == AttributeBinder(RAIL).bind([("train", text)])["train"]


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_whole_numbers_of_64_bits_are_taken(number):
    assert number == AttributeBinder(RAIL).bind([("train", "K1"), ("seats", number)])["seats"]


def test_all_violations_come_at_once():
    found = violations([("seats", "two"), ("surname", "Nobody"), ("price", math.nan), ("seats", 3)])
    fields = ["attributes[0].value", "attributes[1].name", "attributes[2].value", "attributes[3].name", "attributes"]
    assert fields == [field for field, _ in found]


VALUE = st.one_of(
    st.text(max_size=300), st.integers(-(2**64), 2**64), st.floats(allow_nan=True, allow_infinity=True), st.booleans()
)
NAMES = st.sampled_from(["train", "seat_class", "price", "seats", "student", "other"])


@given(st.lists(st.tuples(NAMES, VALUE), max_size=8))
def test_the_quick_way_and_the_close_way_agree(pairs):
    binder = AttributeBinder(RAIL)
    try:
        expected = binder._bind_closely(pairs)
    except InvalidRequest as fault:
        with pytest.raises(InvalidRequest) as caught:
            binder.bind(pairs)
        assert fault.violations == caught.value.violations  # noqa: PT017
    else:
        bound = binder.bind(pairs)
        assert expected == bound
        assert {name: type(value) for name, value in expected.items()} == {n: type(v) for n, v in bound.items()}


@given(st.lists(st.tuples(NAMES, st.text("SECRET", min_size=7, max_size=300)), min_size=1, max_size=8))
def test_no_violation_holds_a_value(pairs):
    try:
        AttributeBinder(LOAN).bind(pairs)
    except InvalidRequest as fault:
        assert not any(value in str(fault) for _, value in pairs)  # noqa: PT017
