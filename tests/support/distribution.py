"""What the tests of distribution share: a registry as a dictionary, counts that remember, editions made by hand."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from portcullis.domain.editions import FORMAT, Credential, Edition
from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.policies import Policy
from portcullis.ports import IndexedEntry, ReadTransaction
from tests.support.policies import NOW, YEAR_S, a_list


def token(number: int) -> bytes:
    """A token that looks as tokens do: 16 bytes spread evenly."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def records(numbers: Iterable[int], mark: bytes = b"v") -> list[tuple[bytes, bytes]]:
    """Records of tokens in ascending order; the value tells ``mark`` and token apart from any other."""
    return [(each, mark + each[:4]) for each in sorted(token(number) for number in numbers)]


def edition(version: int, count: int, **changes: object) -> Edition:
    """An edition of a policy with one list."""
    values: dict[str, object] = {
        "format": FORMAT,
        "version": version,
        "published_at": float(NOW),
        "registry_seq": version,
        "policy": Policy(lists=(a_list(),)),
        "legal": (),
        "credentials": (),
        "records": count,
    }
    return Edition(**(values | changes))  # type: ignore[arg-type]


def entry(entry_id: int, list_name: str = "court", **changes: object) -> IndexedEntry:
    """An entry in force."""
    values: dict[str, object] = {
        "list": list_name,
        "entry_id": entry_id,
        "case_reference": f"XA-2026-{entry_id}",
        "legal_basis": "Demonstration Act, section 1",
        "redress": "https://redress.example/court",
        "valid_from": NOW - 60,
        "until": NOW + YEAR_S,
        "stayed": False,
        "measures": (),
    }
    return IndexedEntry(**(values | changes))  # type: ignore[arg-type]


class DictRegistry:
    """A registry in a dictionary of (token, entry_id) to entry; also the reading of itself. Threads may share it."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(lists=(a_list(),))
        self.credentials: tuple[Credential, ...] = ()
        self.entries: dict[tuple[bytes, int], IndexedEntry] = {}
        self.seq = 0
        self.down = False
        self._writing = threading.Lock()

    def put(self, number: int, indexed: IndexedEntry | None = None) -> None:
        """List an entry under one token."""
        indexed = indexed or entry(number)
        with self._writing:
            self.entries = self.entries | {(token(number), indexed.entry_id): indexed}
            self.seq += 1

    def withdraw(self, number: int) -> None:
        """Take out every entry under one token."""
        with self._writing:
            self.entries = {key: indexed for key, indexed in self.entries.items() if key[0] != token(number)}
            self.seq += 1

    def head(self) -> int:
        if self.down:
            raise RegistryUnavailable("the registry is down")
        return self.seq

    @contextmanager
    def view(self) -> Iterator[DictRegistry]:
        self.head()
        with self._writing:
            reading = copy.copy(self)
        yield reading

    def index(self) -> Iterator[tuple[bytes, IndexedEntry]]:
        for (key, _), indexed in sorted(self.entries.items(), key=lambda item: item[0]):
            yield key, indexed


class PublisherTally:
    """Remembers what a publisher counted."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.failures: Counter[str] = Counter()

    def published(self, version: int, seconds: float) -> None:
        assert seconds >= 0
        self.versions.append(version)

    def failed(self, reason: str) -> None:
        self.failures[reason] += 1


class FollowerTally:
    """Remembers what a follower counted."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.refusals: Counter[str] = Counter()

    def installed(self, version: int) -> None:
        self.versions.append(version)

    def refused(self, reason: str) -> None:
        self.refusals[reason] += 1


def contents(transaction: ReadTransaction, numbers: Iterable[int]) -> dict[int, bytes]:
    """Read what a version holds under each of some tokens."""
    found = ((number, transaction.get(token(number))) for number in numbers)
    return {number: value for number, value in found if value is not None}
