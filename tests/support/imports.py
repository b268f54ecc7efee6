"""What the tests of imports share: files in memory, a clock that stands still, a registry with one list."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.domain.entries import EntryDraft, GivenIdentifier
from portcullis.domain.identifiers import Identifier
from portcullis.domain.policies import Policy, RestrictedList
from portcullis.domain.tokens import Tokeniser
from portcullis.registry.imports import Importer
from portcullis.registry.readers.rows import Row
from portcullis.registry.readers.sources import Meter, Source
from tests.support.people import passport
from tests.support.policies import NOW, YEAR_S, a_list

TOKENISER = Tokeniser(bytes(range(32)))
BEGINS = NOW - YEAR_S
ENDS = NOW + YEAR_S


class StillClock:
    """A clock that stands at NOW until it is set."""

    def __init__(self, now: float = NOW) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class BytesSource:
    """A file in memory."""

    def __init__(self, data: bytes | str, name: str = "list.jsonl") -> None:
        self._data = data.encode() if isinstance(data, str) else data
        self.name = name
        self.size = len(self._data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self._data)


def read(reader: Callable[[Sequence[Source], Meter], Iterator[Row]], *sources: Source) -> list[Row]:
    """Everything a reader makes of some files."""
    return list(reader(sources, Meter()))


def line(number: int, identifier: Identifier, **changes: Any) -> str:
    """One good JSON Lines row, ended."""
    values: dict[str, Any] = {
        "key": f"k{number}",
        "subject_type": "person",
        "identifiers": [{"kind": identifier.kind, "value": identifier.value, "country": identifier.country}],
        "case_reference": f"(2090) Demo {number}",
        "valid_from": "2026-05-01",
        "until": "2027-05-01",
    } | changes
    return json.dumps({name: value for name, value in values.items() if value is not None}) + "\n"


def a_draft(number: int = 1, **changes: Any) -> EntryDraft:
    """One good row of the court's list as an authority writes it: passport ``number`` under key ``k{number}``."""
    holds = passport(number)
    values: dict[str, Any] = {
        "key": f"k{number}",
        "subject_type": "person",
        "identifiers": (GivenIdentifier(holds.kind, holds.value, holds.country),),
        "case_reference": f"(2090) Demo {number}",
        "valid_from": BEGINS,
        "until": ENDS,
    }
    return EntryDraft(**(values | changes))


def registry(*lists: RestrictedList) -> MemoryRegistry:
    """A registry in memory with these lists, or with the court's alone."""
    store = MemoryRegistry(tokeniser=TOKENISER, clock=StillClock())
    store.apply_policy(Policy(lists=lists or (a_list(),)), actor="test")
    return store


def importer(store: MemoryRegistry, clock: StillClock | None = None) -> Importer:
    """An importer into that registry."""
    return Importer(store, index_tokens=TOKENISER.index_tokens, clock=clock or StillClock())
