"""Conditions: CEL over declared attributes, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.cel_syntax import read_syntax
from portcullis.domain.conditions import (
    MAX_CONDITION_LENGTH,
    ConditionFault,
    ConditionInvalid,
    compile_condition,
    is_attribute_name,
)
from portcullis.domain.policies import AttributeSpec, AttributeType

ATTRIBUTES = (
    AttributeSpec("train", AttributeType.STRING, required=True),
    AttributeSpec("seat_class", AttributeType.STRING, default="second"),
    AttributeSpec("nights", AttributeType.INT, default=1),
    AttributeSpec("amount", AttributeType.DOUBLE, default=0.0),
    AttributeSpec("lavish", AttributeType.BOOL, default=False),
)
VALUES = {"train": "K1", "seat_class": "second", "nights": 1, "amount": 0.5, "lavish": False}
RUNAWAY = "[1,2,3,4,5,6,7,8,9].all(a, " * 6 + "true" + ")" * 6


def fault_of(expression: str) -> str:
    with pytest.raises(ConditionInvalid) as caught:
        compile_condition(expression, ATTRIBUTES)
    return caught.value.message


def test_the_empty_condition_is_always_true_and_looks_at_nothing():
    condition = compile_condition("", ())
    assert condition.holds({})
    assert frozenset() == condition.attributes


@pytest.mark.parametrize(
    ("train", "seat_class", "expected"),
    [("G101", "second", True), ("K1", "second", False), ("K1", "business", True), ("D301", "hard-seat", False)],
)
def test_the_worked_example_of_the_module_is_true(train, seat_class, expected):
    condition = compile_condition("train.startsWith('G') || seat_class in ['business', 'first']", ATTRIBUTES)
    assert expected is condition.holds({"train": train, "seat_class": seat_class})


def test_a_condition_names_the_attributes_that_it_looks_at():
    condition = compile_condition("lavish && nights > 2", ATTRIBUTES)
    assert frozenset({"lavish", "nights"}) == condition.attributes


def test_a_loop_variable_that_hides_an_attribute_is_not_a_look_at_it():
    condition = compile_condition("[1, 2].exists(train, train == nights)", ATTRIBUTES)
    assert frozenset({"nights"}) == condition.attributes


def test_a_condition_tells_its_literals():
    condition = compile_condition("train == 'K7777' || nights == -3 || amount > 2.5", ATTRIBUTES)
    assert frozenset({"K7777", -3, 2.5}) == condition.literals


def test_literals_of_maps_calls_and_choices_are_found():
    condition = compile_condition("(lavish ? {'a': 'b'} : {'c': train})['a'] == string(7)", ATTRIBUTES)
    assert frozenset({"a", "b", "c", 7}) == condition.literals


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("train ==", "line 1, column 9: syntax error: mismatched input '<EOF>'"),
        ("train == 1", "line 1, column 7: '==' does not take (string, int); CEL converts no types by itself"),
        ("nights", "it gives int, and a condition must give bool"),
        ("dyn(lavish)", "it gives dyn, and a condition must give bool"),
        ("train.matches('(')", "a pattern of matches() is no regular expression (RE2): missing ): ("),
        ("lavish && matches(train, '[')", "a pattern of matches() is no regular expression (RE2): missing ]: ["),
        ("train.matches(seat_class)", "the pattern of matches() must be written out as a text"),
        ("matches(train, lavish ? 'a' : 'b')", "the pattern of matches() must be written out as a text"),
        ("(" * 300 + "lavish" + ")" * 300, "it is nested too deeply; write it flatter"),
        (RUNAWAY, "its loops take too many steps; write it without loops in loops"),
        ("nights" + " + nights" * 200 + " > 1", "it is nested too deeply; write it flatter"),
    ],
)
def test_an_expression_that_is_no_condition_is_refused_with_its_place_and_reason(expression, expected):
    assert expected == fault_of(expression)


def test_an_undeclared_attribute_is_refused_with_the_declared_ones():
    expected = (
        "line 2, column 5: 'price' is neither an attribute of the action nor a function of CEL; "
        "its attributes: train, seat_class, nights, amount, lavish"
    )
    assert expected == fault_of("lavish\n && price > 1")


def test_a_condition_that_is_too_long_is_refused():
    expected = f"it is longer than {MAX_CONDITION_LENGTH} characters"
    assert expected == fault_of("lavish" + " " * MAX_CONDITION_LENGTH)


def test_patterns_with_quotes_backslashes_and_line_ends_are_checked_as_they_are():
    condition = compile_condition(r"""train.matches('^\\d+["\']\n$')""", ATTRIBUTES)
    assert condition.holds({"train": "12'\n"})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("10 / (nights - 1) > 2", "divide by zero"),
        ("10 % (nights - 1) > 2", "modulus by zero"),
        ("nights + 9223372036854775807 > 0", "integer overflow"),
        ("int(train) > 1", ""),
        ("nights > 0 && " + RUNAWAY, ""),
    ],
)
def test_a_condition_that_cannot_be_evaluated_is_a_fault_and_not_an_answer(expression, reason):
    condition = compile_condition(expression, ATTRIBUTES)
    with pytest.raises(ConditionFault) as caught:
        condition.holds(VALUES)
    assert reason in caught.value.message


def test_a_fault_never_holds_a_value():
    condition = compile_condition("int(train) > 1 && timestamp(train) > timestamp(seat_class)", ATTRIBUTES)
    with pytest.raises(ConditionFault) as caught:
        condition.holds({"train": "secret-value", "seat_class": "secret-value"})
    assert "secret" not in str(caught.value)


def test_a_missing_attribute_is_a_fault():
    with pytest.raises(ConditionFault):
        compile_condition("lavish", ATTRIBUTES).holds({})


def test_other_attributes_may_be_there():
    assert compile_condition("lavish", ATTRIBUTES).holds(VALUES | {"lavish": True, "more": "than declared"})


@pytest.mark.parametrize("name", ["train", "seat_class", "a1", "x" * 64])
def test_a_lower_case_identifier_can_name_an_attribute(name):
    assert is_attribute_name(name)


@pytest.mark.parametrize("name", ["", "Train", "1a", "_a", "a-b", "a.b", "x" * 65, "in", "int", "null", "loop", "dyn"])
def test_what_cel_keeps_or_cannot_read_names_no_attribute(name):
    assert not is_attribute_name(name)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])))
def test_a_condition_compares_as_python_does(number, text):
    attributes = (AttributeSpec("n", AttributeType.INT, default=0), AttributeSpec("t", AttributeType.STRING, default=""))
    condition = compile_condition("n >= 10 && t == 'x'", attributes)
    assert (number >= 10 and text == "x") is condition.holds({"n": number, "t": text})


@given(st.binary(max_size=64))
def test_bytes_that_are_no_expression_never_crash_the_reader(data):
    try:
        read_syntax(data)
    except ValueError as fault:
        assert "expression" in str(fault) or isinstance(fault, UnicodeDecodeError)  # noqa: PT017
