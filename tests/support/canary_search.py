"""A search for texts, in every way in which they may stand in the clear, in whatever a run leaves behind.

A text counts as found in UTF-8, UTF-16, hexadecimal, base64 wherever in a longer text it begins, and JSON's escapes; as it
was written, in small letters, and a phone number without its plus.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis

_ANCHOR = 6
"""Bytes by which the search finds where to look closer; identifiers of a kind share few of them."""
_CHUNK = 1 << 22


class Search:
    """Finds texts, in every way that they may be written. ``texts`` are what to find, each with what to call it.

    None may be shorter than six bytes. One pass over the data finds the places where the first bytes of any text stand; only
    there it is looked closer.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._found_as = {needle: f"{what} as {form}" for text, what in texts.items() for needle, form in _written(text)}
        self._lengths: defaultdict[bytes, set[int]] = defaultdict(set)
        for needle in self._found_as:
            if len(needle) < _ANCHOR:
                raise ValueError(f"texts: one has fewer than {_ANCHOR} bytes")
            self._lengths[needle[:_ANCHOR]].add(len(needle))
        self._anchors = re.compile(_trie(self._lengths), re.DOTALL)
        self._longest = max(map(len, self._found_as))

    def data(self, data: bytes) -> set[str]:
        """Give what stands in some bytes."""
        found: set[str] = set()
        at = self._anchors.search(data)
        while at is not None:
            begin = at.start()
            for length in self._lengths[at[0]]:
                found.add(self._found_as.get(data[begin : begin + length], ""))
            at = self._anchors.search(data, begin + 1)
        return found - {""}

    def text(self, text: str) -> set[str]:
        """Give what stands in a text."""
        return self.data(text.encode())

    def file(self, path: Path) -> set[str]:
        """Give what stands in a file, or in the name of its path; holes are passed over."""
        found = self.text(str(path))
        before = b""
        for chunk in _chunks(path):
            found |= self.data(before + chunk)
            before = chunk[1 - self._longest :]
        return found

    def folder(self, folder: Path) -> dict[str, set[str]]:
        """Give what stands in every file under a folder, by the file's path in it."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): self.file(path) for path in paths}


def redis_contents(client: redis.Redis) -> Iterator[bytes]:
    """Give every key and value of a Redis or Valkey as they are, and the commands that it remembers as slow."""
    for key in client.scan_iter(count=1_000):
        yield key
        yield from _flat(_READS[client.type(key)](client, key))
    yield from _flat([entry["command"] for entry in client.slowlog_get(1_000)])


_READS: Mapping[bytes, Any] = {
    b"string": redis.Redis.get,
    b"hash": redis.Redis.hgetall,
    b"set": redis.Redis.smembers,
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"zset": lambda client, key: client.zrange(key, 0, -1),
    b"stream": redis.Redis.xrange,
    b"none": lambda _client, _key: b"",
}


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, dict):
        for each in value.items():
            yield from _flat(each)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for each in value:
            yield from _flat(each)


def _written(text: str) -> Iterator[tuple[bytes, str]]:
    """Give the ways in which a text may stand in bytes, with what they are called."""
    for form in {text, text.lower(), text.removeprefix("+")}:
        data, wide = form.encode(), form.encode("utf-16-le")
        yield data, "UTF-8"
        # Without its last zero an ASCII text stands so in the other byte order too.
        yield wide.removesuffix(b"\0"), "UTF-16"
        yield data.hex().encode(), "hexadecimal"
        yield data.hex().upper().encode(), "hexadecimal"
        for alphabet in (b"+/", b"-_"):
            for skipped in range(3):
                yield _base64_core(data, skipped, alphabet), "base64"
        if not form.isascii():
            yield form.encode("utf-16-be"), "UTF-16"
            yield json.dumps(form).strip('"').encode(), "JSON escapes"


def _base64_core(data: bytes, skipped: int, alphabet: bytes) -> bytes:
    """Give the letters that are the same whatever stands before and after."""
    coded = base64.b64encode(bytes(skipped) + data, altchars=alphabet)
    return coded[(8 * skipped + 5) // 6 : 8 * (skipped + len(data)) // 6]


def _trie(words: Collection[bytes]) -> bytes:
    """Write an expression for any of some words of one length; branching byte by byte keeps it quick."""
    heads: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for word in words:
        heads[word[:1]].append(word[1:])
    branches = [re.escape(head) + (_trie(tails) if any(tails) else b"") for head, tails in sorted(heads.items())]
    return branches[0] if len(branches) == 1 else b"(?:" + b"|".join(branches) + b")"


def _chunks(path: Path) -> Iterator[bytes]:
    """Read what a file holds; a hole between is one gap without a byte."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # a segment that was done with meanwhile
        return
    try:
        at = 0
        while True:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, begin, os.SEEK_HOLE)
            for place in range(begin, at, _CHUNK):
                yield os.pread(descriptor, min(_CHUNK, at - place), place)
    except OSError as fault:
        if fault.errno != errno.ENXIO:  # which says that there is no more
            raise
    finally:
        os.close(descriptor)
