"""What a compiled CEL expression is made of: its literals, and the patterns it matches against.

The expression comes as the bytes of `Expression.serialize()`: an ``Any`` around a ``cel.expr.CheckedExpr`` of the public
CEL specification (github.com/google/cel-spec, proto/cel/expr/checked.proto and syntax.proto, whose field numbers are named
below). No generated stubs for it exist among our dependencies, and a literal is all that is wanted, so the wire format is
read here directly.

Example: ``train.matches('^G') && seats in [1, 2]`` has the literals ``'^G'``, ``1`` and ``2``, and one constant pattern.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

Literal = str | int | float | bool

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ANY_VALUE = 2
_CHECKED_EXPR = 4
_EXPR_KINDS = {"const": 3, "ident": 4, "select": 5, "call": 6, "list": 7, "struct": 8, "comprehension": 9}
_CALL_TARGET, _CALL_FUNCTION, _CALL_ARGS = 1, 2, 3
_CONST_BOOL, _CONST_INT, _CONST_UINT, _CONST_DOUBLE, _CONST_STRING = 2, 3, 4, 5, 6
# Which fields of each kind of expression hold expressions again. A struct's entries hold them one level deeper.
_CHILDREN = {
    _EXPR_KINDS["select"]: (1,),
    _EXPR_KINDS["call"]: (_CALL_TARGET, _CALL_ARGS),
    _EXPR_KINDS["list"]: (1,),
    _EXPR_KINDS["comprehension"]: (2, 4, 5, 6, 7),
}
_STRUCT_ENTRIES = 2
_ENTRY_CHILDREN = (3, 4)


class Syntax(msgspec.Struct, frozen=True):
    """The parts of an expression: every literal, the constant patterns of ``matches``, and whether one is not constant."""

    literals: frozenset[Literal]
    patterns: tuple[str, ...]
    computed_pattern: bool


def read_syntax(serialized: bytes) -> Syntax:
    """Read a serialised checked expression.

    Raises:
        ValueError: the bytes are no such thing.
    """
    checked = _last(serialized, _ANY_VALUE)
    literals: set[Literal] = set()
    patterns: list[str] = []
    computed = False
    for kind, body in _walk(_last(checked, _CHECKED_EXPR)):
        if kind == _EXPR_KINDS["const"]:
            literals.update(_literal(body))
        elif kind == _EXPR_KINDS["call"] and _last(body, _CALL_FUNCTION) == b"matches":
            pattern = _constant_pattern(body)
            computed = computed or pattern is None
            patterns += [] if pattern is None else [pattern]
    return Syntax(frozenset(literals), tuple(patterns), computed)


def _walk(expression: bytes) -> Iterator[tuple[int, bytes]]:
    """Give each node below an expression as its kind and its body, the expression itself first."""
    for kind, body in _messages(expression):
        if kind not in _EXPR_KINDS.values():
            continue
        yield kind, body
        for child in _children(kind, body):
            yield from _walk(child)


def _children(kind: int, body: bytes) -> Iterator[bytes]:
    if kind == _EXPR_KINDS["struct"]:
        entries = [data for number, data in _messages(body) if number == _STRUCT_ENTRIES]
        for entry in entries:
            yield from (data for number, data in _messages(entry) if number in _ENTRY_CHILDREN)
    else:
        yield from (data for number, data in _messages(body) if number in _CHILDREN.get(kind, ()))


def _constant_pattern(call: bytes) -> str | None:
    """Give the last argument of a call when it is a string literal, else None."""
    arguments = [data for number, data in _messages(call) if number == _CALL_ARGS]
    for number, body in _messages(arguments[-1]) if arguments else ():
        if number == _EXPR_KINDS["const"]:
            return next((value for value in _literal(body) if isinstance(value, str)), None)
    return None


def _literal(constant: bytes) -> Iterator[Literal]:
    for number, value in _fields(constant):
        if number == _CONST_STRING and isinstance(value, bytes):
            yield value.decode()
        elif number == _CONST_DOUBLE and isinstance(value, float):
            yield value
        elif isinstance(value, int):
            if number == _CONST_BOOL:
                yield bool(value)
            elif number in (_CONST_INT, _CONST_UINT):
                yield value - 2**64 if number == _CONST_INT and value >= 2**63 else value


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    return ((number, value) for number, value in _fields(data) if isinstance(value, bytes))


def _last(data: bytes, wanted: int) -> bytes:
    """Give the last length-delimited field of that number; empty when there is none, as proto3 has it."""
    found = b""
    for number, value in _messages(data):
        if number == wanted:
            found = value
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Read the fields of one message in wire order (protobuf encoding; groups do not occur)."""
    place = 0
    try:
        while place < len(data):
            key, place = _varint(data, place)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                whole, place = _varint(data, place)
                yield number, whole
            elif wire == _BYTES:
                length, place = _varint(data, place)
                yield number, data[place : place + length]
                place += length
            elif wire == _FIXED64:
                yield number, struct.unpack_from("<d", data, place)[0]
                place += 8
            elif wire == _FIXED32:
                place += 4
            else:
                raise ValueError("not a serialised CEL expression")
    except (IndexError, struct.error) as fault:
        raise ValueError("not a serialised CEL expression") from fault


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
