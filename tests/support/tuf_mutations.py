"""Changes to published files that no follower may accept, chosen by a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Mutation = Callable[[random.Random, bytes, Mapping[str, bytes]], bytes]
"""Changes a file; the other files of the snapshot are there to be mixed in."""


def truncated(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    return data[: chance.randrange(len(data))]


def bit_flipped(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def bytes_replaced(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    place, length = chance.randrange(len(data)), chance.randint(1, 40)
    return data[:place] + chance.randbytes(length) + data[place + length :]


def bytes_removed(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + data[place + chance.randint(1, 40) :]


def bytes_added(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice([b" ", b"\n", b"\0", chance.randbytes(9)]) + data[place:]


def piece_moved(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    first, second = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[second:] + data[first:second] + data[:first]


def digit_changed(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    places = [place for place, byte in enumerate(data) if chr(byte) in "0123456789abcdef"]
    if not places:
        return data
    place = chance.choice(places)
    return data[:place] + chance.choice(b"0123456789abcdefABCDEF").to_bytes(1, "big") + data[place + 1 :]


def other_file(chance: random.Random, _data: bytes, others: Mapping[str, bytes]) -> bytes:
    return others[chance.choice(sorted(others))]


def spliced(chance: random.Random, data: bytes, others: Mapping[str, bytes]) -> bytes:
    other = other_file(chance, data, others)
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def value_changed(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    """Change one value of the document and spell it as the publisher does."""
    content = _content(data)
    if content is None:
        return bit_flipped(chance, data, _others)
    holder, key = chance.choice(list(_places(content)))
    holder[key] = chance.choice([_nearby(chance, holder[key]), None, 0, -1, 1 << 62, "", "x", [], {}, True, 1.5])
    return _spelled(content)


def value_removed(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    content = _content(data)
    if content is None:
        return bytes_removed(chance, data, _others)
    holder, key = chance.choice(list(_places(content)))
    del holder[key]
    return _spelled(content)


def value_added(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    content = _content(data)
    if content is None:
        return bytes_added(chance, data, _others)
    holders = [content, *(holder[key] for holder, key in _places(content) if isinstance(holder[key], dict | list))]
    holder = chance.choice(holders)
    if isinstance(holder, dict):
        holder[chance.choice(["x", "custom", "signatures", "version", "vouched_at_ms"])] = chance.choice([1, "x", [], {}])
    else:
        holder.insert(chance.randint(0, len(holder)), chance.choice([1, "x", {}, {"keyid": "x", "sig": "00"}]))
    return _spelled(content)


def respelled(chance: random.Random, data: bytes, _others: Mapping[str, bytes]) -> bytes:
    """Say the same in other bytes."""
    content = _content(data)
    if content is None:
        return bytes_added(chance, data, _others)
    spellings: list[dict[str, Any]] = [{"indent": 1}, {"separators": (", ", ":")}, {"separators": (",", ": ")}]
    text = json.dumps(content, sort_keys=True, **chance.choice(spellings))
    return chance.choice([text, " " + text, text + "\n"]).encode()


MUTATIONS: tuple[Mutation, ...] = (
    truncated,
    bit_flipped,
    bytes_replaced,
    bytes_removed,
    bytes_added,
    piece_moved,
    digit_changed,
    other_file,
    spliced,
    value_changed,
    value_removed,
    value_added,
    respelled,
)


def _content(data: bytes) -> Any:
    try:
        content = json.loads(data)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _spelled(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value in a document: what holds it, and under which key."""
    for key in list(content) if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def _nearby(chance: random.Random, value: Any) -> Any:
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 1000])
    if isinstance(value, str) and value:
        return chance.choice([value[:-1], value + "0", value.upper(), value[::-1]])
    return value
