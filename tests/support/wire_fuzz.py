"""Requests as no client of ours writes them: generated from the contract's descriptors, then spoilt on the wire.

Everything is drawn from one `random.Random`, so a seed gives the same bytes as long as it finds the same words.
"""

from __future__ import annotations

import random
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 = range(6)
_KEPT_WORDS: Final = 40
_DEEPEST: Final = 6
_MIB: Final = 1 << 20
_LONG: Final = (2**31, 2**63 - 1, -(2**63), 2**53 + 1, -1, 10**18)
_FLOATS: Final = (0.0, -0.0, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
_SCALARS: Final = {
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_SFIXED64: FIXED64,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_FIXED32: FIXED32,
    FieldDescriptor.TYPE_SFIXED32: FIXED32,
    FieldDescriptor.TYPE_STRING: LENGTH,
    FieldDescriptor.TYPE_BYTES: LENGTH,
    FieldDescriptor.TYPE_MESSAGE: LENGTH,
}


def varint(number: int) -> bytes:
    """Write a number as protobuf does, a negative one as 64 bits."""
    rest, out = number & (2**64 - 1), bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def delimited(number: int, body: bytes) -> bytes:
    """Write a field with its length."""
    return varint(number << 3 | LENGTH) + varint(len(body)) + body


class Words:
    """What fields may hold so that a call gets somewhere: given by a test, and gathered from answers by a field's name."""

    def __init__(self, given: Mapping[str, Sequence[str]], identifiers: Sequence[tuple[str, str, str]]) -> None:
        self._kept: defaultdict[str, list[str]] = defaultdict(list)
        self._given = given
        self.identifiers = identifiers

    def of(self, field: FieldDescriptor) -> Sequence[str]:
        """Give what a field may hold: by its message and name, or by its name alone."""
        name, full = field.name, f"{field.containing_type.name}.{field.name}"
        if full in self._given:
            return self._given[full]
        return [*self._given.get(name, ()), *self._kept[name]] or ["", "a", "x-1"]

    def gather(self, message: Message) -> None:
        """Keep the texts of an answer under their fields' names."""
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                for each in value if field.is_repeated else [value]:
                    if isinstance(each, Message):
                        self.gather(each)
            elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
                self._keep(field.name, value)
            elif field.name == "import_id":
                self._keep("import_id", str(value))

    def _keep(self, name: str, value: str) -> None:
        # The keys that the calls are made with must not be revoked by them.
        if len(value) <= 512 and not value.startswith("id-") and name != "html":
            kept = self._kept[{"next_page_token": "page_token", "code": "proof", "successor": "key_id"}.get(name, name)]
            kept.append(value)
            del kept[:-_KEPT_WORDS]


class Wire:
    """Writes requests. ``hostility`` is the share of fields that are written as they should not be."""

    def __init__(self, rng: random.Random, words: Words, canaries: Sequence[str], hostility: float) -> None:
        self._rng = rng
        self._words = words
        self._canaries = canaries
        self._hostility = hostility

    def message(self, kind: Descriptor, depth: int = 0) -> bytes:
        """Write a message of this kind."""
        if kind.full_name == "portcullis.v1.Identifier" and self._rng.random() < 0.85:
            return self._identifier()
        if kind.full_name == "portcullis.v1.Attribute" and not self._hostile():
            return delimited(1, b"amount") + self._one(kind.fields_by_name["double_value"], depth)
        left_out = self._left_out(kind)
        parts = [self._field(field, depth) for field in kind.fields if field.name not in left_out]
        if self._hostile():
            self._rng.shuffle(parts)
            parts.append(self._noise(kind))
        return b"".join(parts)

    def _left_out(self, kind: Descriptor) -> set[str]:
        """Choose one of each oneof, and leave some of the others out."""
        rng, out = self._rng, set()
        for oneof in kind.oneofs:
            chosen = rng.choice(oneof.fields).name
            if not self._hostile():
                out |= {field.name for field in oneof.fields if field.name != chosen}
        out |= {
            field.name for field in kind.fields if field.containing_oneof is None and rng.random() < 0.04 + self._hostility
        }
        return out

    def _identifier(self) -> bytes:
        written = self._rng.choice(self._words.identifiers)
        return b"".join(
            delimited(number, self._hostile_text() if self._hostile() else text.encode())
            for number, text in enumerate(written, start=1)
            if text
        )

    def _field(self, field: FieldDescriptor, depth: int) -> bytes:
        count = self._rng.choice((0, 1, 1, 1, 2, 3)) if field.is_repeated else 1
        if self._hostile():
            count = self._rng.choice((2, 9, 20))
        if depth >= _DEEPEST and field.type == FieldDescriptor.TYPE_MESSAGE:
            return b""
        return b"".join(self._one(field, depth) for _ in range(count))

    def _one(self, field: FieldDescriptor, depth: int) -> bytes:
        number = field.number
        if self._hostile() and self._rng.random() < 0.3:
            return self._wrong_type(number)
        wire = _SCALARS.get(field.type, VARINT)
        if wire == LENGTH:
            return delimited(number, self._body(field, depth))
        if wire == VARINT:
            written = varint(self._integer(field))
            if self._hostile():
                written = self._rng.choice((b"\xff" * 9 + b"\x01", b"\xff" * 10 + b"\x01", b"\x80\x80\x00"))
            if field.is_repeated and self._rng.random() < 0.5:
                return delimited(number, written * 3)
            return varint(number << 3 | VARINT) + written
        pattern = "<d" if wire == FIXED64 else "<f"
        value = self._rng.choice(_FLOATS) if pattern == "<d" else 1.5
        return varint(number << 3 | wire) + struct.pack(pattern, value)

    def _body(self, field: FieldDescriptor, depth: int) -> bytes:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            kind = field.message_type
            if kind.full_name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
                return self._time(duration=kind.name == "Duration")
            return self.message(kind, depth + 1)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._rng.randbytes(self._rng.choice((0, 1, 64)))
        return self._hostile_text() if self._hostile() else self._rng.choice(self._words.of(field)).encode()

    def _time(self, *, duration: bool) -> bytes:
        seconds = self._rng.choice((60, 3600, 86_400)) + (0 if duration else int(time.time()) - self._rng.choice((0, 7200)))
        nanos = 0
        if self._hostile():
            seconds = self._rng.choice((*_LONG, 253_402_300_800, -62_135_596_801, 2**32))
            nanos = self._rng.choice((0, -1, 10**9, 2**31 - 1))
        return varint(1 << 3) + varint(seconds) + (varint(2 << 3) + varint(nanos) if nanos else b"")

    def _integer(self, field: FieldDescriptor) -> int:
        if field.type == FieldDescriptor.TYPE_ENUM:
            if self._hostile():
                return self._rng.choice((99, -1, 2**31 - 1))
            return int(self._rng.choice(field.enum_type.values).number)
        if self._hostile():
            return self._rng.choice(_LONG)
        if field.name == "expected_version":
            return self._rng.choice((0, 0, 0, 1, 2))
        known = [each for each in self._words.of(field) if each.isdigit()]
        return int(self._rng.choice(known)) if known else self._rng.choice((0, 1, 2, 10))

    def _hostile_text(self) -> bytes:
        rng = self._rng
        canary = rng.choice(self._canaries)
        if rng.random() < 0.05:
            return rng.choice((b"\xed\xa0\x80" + canary.encode(), b"\xff\xfe\xc0\x80"))
        texts: tuple[Callable[[], bytes], ...] = (
            canary.encode,
            canary.encode,
            f"x\0{canary}".encode,
            lambda: b"\0",
            lambda: "\u202e\u200f\u0627".encode() + canary.encode(),
            "\U0001f600\ufeff\u0000\r\n".encode,
            lambda: b"9" * rng.choice((19, 40, 400, 5000)),
            "\u0661\u0662\u0663".encode,
            lambda: "é".encode() * rng.choice((64, 65, 128, 4096)),
            lambda: b"1e308",
            lambda: b"",
            lambda: b" ",
            lambda: rng.choice((b"a", canary.encode())) * (rng.choice((_MIB, 20_000)) // 18 if rng.random() < 0.2 else 2),
            lambda: b"%s%n{0}{}'\";--\\",
        )
        return rng.choice(texts)()

    def _wrong_type(self, number: int) -> bytes:
        rng = self._rng
        kinds: tuple[Callable[[], bytes], ...] = (
            lambda: varint(number << 3 | VARINT) + varint(rng.choice(_LONG)),
            lambda: varint(number << 3 | FIXED64) + rng.randbytes(8),
            lambda: varint(number << 3 | FIXED32) + rng.randbytes(4),
            lambda: varint(number << 3 | LENGTH) + varint(rng.choice((5, 2**20, 2**31, 2**63))) + b"abc",
            lambda: varint(number << 3 | GROUP) + delimited(1, b"x") + varint(number << 3 | GROUP_END),
            lambda: varint(number << 3 | GROUP),
            lambda: varint(number << 3 | GROUP_END),
            lambda: varint(number << 3 | 6) + b"\0",
        )
        return rng.choice(kinds)()

    def _noise(self, kind: Descriptor) -> bytes:
        """Fields that the schema does not have, and nesting as deep as parsers go and deeper."""
        rng = self._rng
        deep = rng.choice((10, 98, 99, 100, 101, 5000))
        kinds: tuple[Callable[[], bytes], ...] = (
            lambda: delimited(rng.choice((500, 19_000, 2**29 - 1)), rng.choice(self._canaries).encode()),
            lambda: varint(0) + b"\0",
            lambda: varint(99 << 3 | GROUP) * deep + varint(99 << 3 | GROUP_END) * deep,
            lambda: nested([field.number for field in kind.fields] or [1], deep),
        )
        return rng.choice(kinds)()

    def _hostile(self) -> bool:
        return self._rng.random() < self._hostility


def nested(numbers: Sequence[int], depth: int) -> bytes:
    """Write a field within a field, over and over."""
    body = b""
    for place in range(min(depth, 2000)):
        body = delimited(numbers[place % len(numbers)], body)
    return body


def mutated(rng: random.Random, body: bytes, other: bytes) -> bytes:
    """Spoil bytes: bits, pieces of others, ends cut off, pieces repeated, a few times over."""
    data = bytearray(body or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, end = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                place = rng.randrange(len(data)) if data else 0
                data[place : place + 1] = bytes([(data[place] if data else 0) ^ 1 << rng.randrange(8)])
            case 1:
                data[at:at] = other[: rng.randrange(len(other) + 1)]
            case 2:
                del data[at:]
            case 3:
                data[at:at] = data[min(at, end) : max(at, end)][:4096] * rng.choice((1, 2, 8))
            case 4:
                del data[min(at, end) : min(at, end) + 4]
            case _:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
        del data[1_200_000:]
    return bytes(data)
