"""Attributes: the facts about an action that a request brings, held against what the action declares.

The rules: a name is declared by the action and comes once; a value is of the declared type (a whole number is taken where a
double is declared; true and false are no numbers); a number fits 64 bits and is finite; text has at most 256 characters and
no control characters; a required attribute is there, and what is not given takes its default.

Example: ``rail.ticket.purchase`` declares ``train`` (string, required) and ``seat_class`` (string, "second" by default).
Given ``[("train", "G101")]`` it binds ``{"train": "G101", "seat_class": "second"}``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from math import isfinite

from portcullis.domain.errors import FieldViolation, InvalidRequest
from portcullis.domain.policies import Action, AttributeType, AttributeValue

MAX_TEXT_LENGTH = 256
"""The longest text of an attribute, in characters."""

Given = tuple[str, AttributeValue]

_PYTHON_TYPES = {AttributeType.STRING: str, AttributeType.INT: int, AttributeType.DOUBLE: float, AttributeType.BOOL: bool}
_WANTED = {
    AttributeType.STRING: "text (string_value)",
    AttributeType.INT: "a whole number (int_value)",
    AttributeType.DOUBLE: "a number (double_value or int_value)",
    AttributeType.BOOL: "true or false (bool_value)",
}
_LEAST_INT, _GREATEST_INT = -(2**63), 2**63 - 1


class AttributeBinder:
    """Binds the attributes of requests for one action. Immutable; may be shared between threads."""

    __slots__ = ("_complete", "_count", "_defaults", "_specs", "_types")

    def __init__(self, action: Action) -> None:
        self._specs = {spec.name: spec for spec in action.attributes}
        self._types = {spec.name: _PYTHON_TYPES[spec.type] for spec in action.attributes}
        self._defaults = {
            spec.name: _as_declared(spec.default, spec.type) for spec in action.attributes if spec.default is not None
        }
        self._count = len(self._specs)
        self._complete = len(self._defaults) == self._count

    def bind(self, given: Iterable[Given]) -> dict[str, AttributeValue]:
        """Give the value of every declared attribute; the dict is the caller's own.

        Raises:
            InvalidRequest: with every violation, as ``attributes[1].value``, ``attributes[0].name``, or ``attributes`` for a
                missing one. No description holds a value.
        """
        if not given and self._complete:
            return self._defaults.copy()
        pairs = given if isinstance(given, (list, tuple)) else list(given)
        found: dict[str, AttributeValue] = dict(pairs)
        types = self._types
        for name, value in found.items():
            declared = types.get(name)
            if declared is float and type(value) is int and _sound(value):
                found[name] = float(value)
            elif declared is not type(value) or not _sound(value):
                return self._bind_closely(pairs)
        values = self._defaults | found
        if len(values) != self._count or len(found) != len(pairs):
            return self._bind_closely(pairs)
        return values

    def _bind_closely(self, pairs: Sequence[Given]) -> dict[str, AttributeValue]:
        violations: list[FieldViolation] = []
        values: dict[str, AttributeValue] = {}
        for place, (name, value) in enumerate(pairs):
            spec = self._specs.get(name)
            if spec is None:
                declared = ", ".join(sorted(self._specs)) or "none"
                violations.append(
                    FieldViolation(f"attributes[{place}].name", f"the action does not declare it; it declares: {declared}")
                )
            elif name in values:
                violations.append(FieldViolation(f"attributes[{place}].name", "it is given already; give it once"))
            else:
                fault = value_fault(value, spec.type)
                if fault:
                    violations.append(FieldViolation(f"attributes[{place}].value", fault))
                values[name] = value if fault else _as_declared(value, spec.type)
        violations += [
            FieldViolation("attributes", f"{name} is missing; the action requires it")
            for name, spec in self._specs.items()
            if spec.default is None and name not in values
        ]
        if violations:
            raise InvalidRequest(violations)
        return self._defaults | values


def value_fault(value: object, declared: AttributeType) -> str:
    """Say what is wrong with a value for a declared type, or "" when it is sound. The text never holds the value."""
    fits = type(value) is _PYTHON_TYPES[declared] or (declared is AttributeType.DOUBLE and type(value) is int)
    if not fits:
        return f"it must be {_WANTED[declared]}"
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, float):
        return "" if isfinite(value) else "it must be finite"
    if isinstance(value, int) and not _LEAST_INT <= value <= _GREATEST_INT:
        return "it must fit 64 bits"
    return ""


def _text_fault(value: str) -> str:
    if len(value) > MAX_TEXT_LENGTH:
        return f"it must have at most {MAX_TEXT_LENGTH} characters"
    # Cc: control characters. Cs: lone surrogates, which no UTF-8 text holds.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        return "it must not hold control characters"
    return ""


def _sound(value: AttributeValue) -> bool:
    """Say quickly that a value of the right type is in bounds; what it doubts is looked at closely."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT_LENGTH and value.isprintable()
    return -1e15 < value < 1e15


def _as_declared(value: AttributeValue, declared: AttributeType) -> AttributeValue:
    return float(value) if declared is AttributeType.DOUBLE and isinstance(value, int) else value
