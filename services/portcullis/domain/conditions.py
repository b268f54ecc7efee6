"""Conditions: CEL expressions over the attributes of an action.

The rules:

- a condition is true or false, never anything else, and looks at nothing but the action's declared attributes;
- the empty condition is always true;
- it is short (2,000 characters), and can't run away: CEL has no unbounded loops, and the engine limits nesting and steps;
- patterns (``matches``) are written out in the condition, so that a request can't bring one, and are checked when it is
  compiled; they are RE2, whose time grows linearly with the text;
- what still can't be evaluated, such as a division by zero, is a fault of this one check, never a silent yes or no.

Example: over ``train`` (string) and ``seat_class`` (string), ``train.startsWith('G') || seat_class in ['business',
'first']`` holds for ``{"train": "G101", "seat_class": "second"}`` and not for ``{"train": "K1", "seat_class": "second"}``.

The language is that of github.com/google/cel-spec, run by Google's own C++ implementation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cel_expr_python import cel

from portcullis.domain.cel_syntax import Literal, read_syntax
from portcullis.domain.errors import PortcullisError
from portcullis.domain.policies import AttributeSpec, AttributeType, AttributeValue

MAX_CONDITION_LENGTH = 2000
"""The longest condition, in characters."""

_TYPES = {
    AttributeType.STRING: cel.Type.STRING,
    AttributeType.INT: cel.Type.INT,
    AttributeType.DOUBLE: cel.Type.DOUBLE,
    AttributeType.BOOL: cel.Type.BOOL,
}
_BLANKS: dict[AttributeType, AttributeValue] = {
    AttributeType.STRING: "",
    AttributeType.INT: 0,
    AttributeType.DOUBLE: 0.0,
    AttributeType.BOOL: False,
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FAULT = re.compile(r"<input>:(\d+):(\d+): ([^\n]*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_NO_OVERLOAD = re.compile(r"found no matching overload for '_?([^']*?)_?' applied to '\(?(.*?)\)?'")
_TOO_DEEP = "it is nested too deeply; write it flatter"
_TOO_LONG = "its loops take too many steps; write it without loops in loops"
_KNOWN_FAULTS = ("divide by zero", "modulus by zero", "integer overflow", "double out of int range")

Variables = tuple[tuple[str, AttributeType], ...]


class ConditionInvalid(PortcullisError):
    """An expression that can't be a condition; the message says what is wrong, and where in it."""


class ConditionFault(PortcullisError):
    """A condition that can't be evaluated for these attributes; the message holds none of their values."""


class Condition:
    """One compiled condition. Immutable; may be shared between threads."""

    __slots__ = ("_expression", "_names", "attributes", "literals", "text")

    def __init__(
        self, text: str, expression: cel.Expression | None, names: Sequence[str], literals: frozenset[Literal]
    ) -> None:
        self.text = text
        """The expression as written."""
        self.attributes = frozenset(names)
        """The attributes that the expression really looks at."""
        self.literals = literals
        """The constants that stand in it."""
        self._expression = expression
        self._names = tuple(names)

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"

    def holds(self, values: Mapping[str, AttributeValue]) -> bool:
        """Say whether the condition is true of an action's attributes. Takes about 5 us; without an expression, none.

        Raises:
            ConditionFault: it can't be evaluated for these values, or one that it looks at is missing.
        """
        if self._expression is None:
            return True
        try:
            result = self._expression.eval(data={name: values[name] for name in self._names}).value()
        except KeyError:
            raise ConditionFault("the condition looks at an attribute that is not there") from None
        except RuntimeError:
            raise ConditionFault("the condition can't be evaluated") from None
        if result is True or result is False:
            return bool(result)
        # CEL's own error texts may quote a value, so only the known ones are passed on.
        known = next((fault for fault in _KNOWN_FAULTS if fault in str(result)), "")
        raise ConditionFault("the condition can't be evaluated for these attributes" + (known and f": {known}"))


def compile_condition(expression: str, attributes: Sequence[AttributeSpec]) -> Condition:
    """Compile an expression over an action's attributes; "" is always true. Takes about 0.2 ms and blocks on nothing.

    Raises:
        ConditionInvalid: it is no condition; the message says why, in one sentence, with line and column.
    """
    if not expression:
        return Condition("", None, (), frozenset())
    if len(expression) > MAX_CONDITION_LENGTH:
        raise ConditionInvalid(f"it is longer than {MAX_CONDITION_LENGTH} characters")
    variables = tuple((spec.name, spec.type) for spec in attributes)
    compiled = _compile(expression, variables)
    if compiled.return_type() != cel.Type.BOOL:
        raise ConditionInvalid(f"it gives {compiled.return_type().name().lower()}, and a condition must give bool")
    syntax = read_syntax(compiled.serialize())
    if syntax.computed_pattern:
        raise ConditionInvalid("the pattern of matches() must be written out as a text")
    for pattern in syntax.patterns:
        _check_pattern(pattern)
    used = [name for name, _ in variables if _looks_at(expression, variables, name)]
    condition = Condition(expression, compiled, used, syntax.literals)
    _try_out(compiled, variables)
    return condition


def unreadable_condition(text: str) -> Condition:
    """Give a condition that can never be evaluated, for a text that this release can't compile."""
    return Condition(text, _Unreadable(), (), frozenset())


class _Unreadable:
    """Stands for an expression that there is none of."""

    def eval(self, **_: object) -> cel.Value:
        raise RuntimeError("there is nothing to evaluate")


def is_attribute_name(name: str) -> bool:
    """Say whether a name can be an attribute's: a lower-case CEL identifier of at most 64 characters, no word of CEL."""
    if not _NAME.fullmatch(name):
        return False
    try:
        _compile(f"{name} == ''", ((name, AttributeType.STRING),))
    except ConditionInvalid:
        return False
    return True


@lru_cache(maxsize=1024)
def _environment(variables: Variables) -> cel.Env:
    return cel.NewEnv(variables={name: _TYPES[kind] for name, kind in variables})


def _compile(expression: str, variables: Variables) -> cel.Expression:
    try:
        return _environment(variables).compile(expression)
    except RuntimeError as fault:
        raise ConditionInvalid(_describe(str(fault), variables)) from None


def _looks_at(expression: str, variables: Variables, name: str) -> bool:
    """An expression looks at a name if it no longer compiles without it: exact, whatever its loops call their variables."""
    try:
        _compile(expression, tuple(each for each in variables if each[0] != name))
    except ConditionInvalid:
        return True
    return False


def _check_pattern(pattern: str) -> None:
    matching = _compile("''.matches(pattern)", (("pattern", AttributeType.STRING),))
    result = matching.eval(data={"pattern": pattern}).value()
    if not isinstance(result, bool):
        reason = str(result).rpartition("invalid regular expression: ")[2]
        raise ConditionInvalid(f"a pattern of matches() is no regular expression (RE2): {reason}")


def _try_out(compiled: cel.Expression, variables: Variables) -> None:
    """Evaluate once: some limits of the engine show only then. Faults of blank values, such as a division, don't matter."""
    try:
        compiled.eval(data={name: _BLANKS[kind] for name, kind in variables})
    except RuntimeError as fault:
        raise ConditionInvalid(_TOO_LONG if "budget" in str(fault) else _TOO_DEEP) from None


def _describe(fault: str, variables: Variables) -> str:
    """Turn the compiler's text into one sentence."""
    found = _FAULT.search(fault)
    if not found:
        return _TOO_DEEP if "recursion" in fault.lower() else "it can't be compiled"
    line, column, text = found.groups()
    return f"line {line}, column {column}: {_sentence(text, variables)}"


def _sentence(text: str, variables: Variables) -> str:
    if undeclared := _UNDECLARED.search(text):
        names = ", ".join(name for name, _ in variables) or "none"
        return f"'{undeclared[1]}' is neither an attribute of the action nor a function of CEL; its attributes: {names}"
    if mismatch := _NO_OVERLOAD.search(text):
        return f"'{mismatch[1]}' does not take ({mismatch[2]}); CEL converts no types by itself"
    return text.partition(" expecting {")[0].strip().replace("Syntax error:", "syntax error:")
