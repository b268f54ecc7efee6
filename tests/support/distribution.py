"""What the tests of distribution share: a registry as a dictionary, counts that remember, editions made by hand."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby

from portcullis.domain.editions import FORMAT, Credential, Edition, Legal, ListEdition
from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.policies import Policy
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import Change
from portcullis.domain.token_keys import TokenKey
from portcullis.ports import ENDED_KEPT_S, Clock, IndexedEntry, ReadTransaction
from tests.support.clocks import HandClock
from tests.support.policies import NOW, YEAR_S, a_list

COURT, CARRIERS, BANK = 1, 2, 3
NAMES: Mapping[int, str] = {COURT: "court", CARRIERS: "carriers", BANK: "bank"}
"""The lists of these tests by their number."""

LEGAL = (Legal("Demonstration Act, section 1", "https://redress.example/court"),)


def token(number: int) -> bytes:
    """A token that looks as tokens do: 16 bytes spread evenly."""
    return hashlib.blake2b(str(number).encode(), digest_size=16).digest()


def body(number: int, mark: str = "v") -> bytes:
    """A body of one record; ``mark`` tells it from another of the same token."""
    return encode_body([Record(0, 0, NOW + YEAR_S, number, f"XA-{mark}-{number}")])


def records(numbers: Iterable[int], mark: str = "v", *, on: int = COURT) -> list[Change]:
    """Bodies of tokens on one list, in ascending order."""
    return sorted((token(number), on, body(number, mark)) for number in numbers)


def list_edition(number: int, version: int, bodies: Iterable[Change], **changes: object) -> ListEdition:
    """A list whose records and digest are those of the bodies that are its own."""
    digest = MultisetDigest()
    digest.add_all((key, value) for key, owner, value in bodies if owner == number)
    values: dict[str, object] = {
        "name": NAMES[number],
        "number": number,
        "legal": LEGAL,
        "measures": ("loans",),
        "version": version,
        "records": digest.count,
        "digest": digest.hex(),
    }
    return ListEdition(**(values | changes))  # type: ignore[arg-type]


def edition(version: int, bodies: Sequence[Change] = (), *, of: Sequence[int] = (COURT,), **changes: object) -> Edition:
    """An edition of some lists that hold exactly these bodies."""
    values: dict[str, object] = {
        "format": FORMAT,
        "version": version,
        "published_at": float(NOW),
        "registry_seq": version,
        "policy": Policy(lists=tuple(a_list(NAMES[number]) for number in of)),
        "lists": tuple(list_edition(number, version, bodies) for number in of),
        "credentials": (),
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

    def __init__(self, policy: Policy | None = None, clock: Clock | None = None) -> None:
        self.clock = clock or HandClock()
        self.policy = policy or Policy(lists=(a_list(),))
        self.credentials: tuple[Credential, ...] = ()
        self.revoked: tuple[str, ...] = ()
        self.token_keys: tuple[TokenKey, ...] = ()
        self.entries: dict[tuple[bytes, int], IndexedEntry] = {}
        self.list_numbers: dict[str, int] = {}
        self.forgotten_up_to = 0
        self.seq = 0
        self.down = False
        self._changed: dict[tuple[bytes, str], int] = {}
        self._changed_at: dict[int, float] = {}
        self._writing = threading.Lock()
        self._number_lists()

    @property
    def now(self) -> float:
        return self.clock.now()

    def put(self, number: int, indexed: IndexedEntry | None = None) -> None:
        """List an entry under one token."""
        indexed = indexed or entry(number)
        with self._writing:
            self.entries = self.entries | {(token(number), indexed.entry_id): indexed}
            self._note([(token(number), indexed.list)])

    def withdraw(self, number: int, list_name: str | None = None) -> None:
        """Take out every entry under one token, of one list or of all."""
        with self._writing:
            gone = {
                key: each.list
                for key, each in self.entries.items()
                if key[0] == token(number) and list_name in (None, each.list)
            }
            self.entries = {key: each for key, each in self.entries.items() if key not in gone}
            self._note([(key, name) for (key, _), name in gone.items()])

    def apply(self, policy: Policy) -> None:
        """Put another policy in force."""
        with self._writing:
            self.policy = policy
            self._number_lists()
            self._note([])

    def _note(self, touched: Iterable[tuple[bytes, str]]) -> None:
        self.seq += 1
        self._changed = self._changed | dict.fromkeys(touched, self.seq)
        self._changed_at = self._changed_at | {self.seq: self.clock.now()}

    def changed_at(self, seq: int) -> float:
        return self._changed_at.get(seq, 0.0)

    def _number_lists(self) -> None:
        numbers = dict(self.list_numbers)
        for each in self.policy.lists:
            numbers.setdefault(each.name, len(numbers) + 1)
        self.list_numbers = numbers

    def head(self) -> int:
        if self.down:
            raise RegistryUnavailable("the registry is down")
        return self.seq

    @contextmanager
    def view(self) -> Iterator[DictRegistry]:
        self.head()
        with self._writing:
            reading = copy.copy(self)
            reading.clock = HandClock(self.clock.now())
        yield reading

    def forgot_renewals(self, after: int, /) -> bool:
        return after < self.forgotten_up_to

    def index(self, lists: Collection[str]) -> Iterator[tuple[bytes, IndexedEntry]]:
        for (key, _), indexed in sorted(self.entries.items(), key=lambda item: item[0]):
            if indexed.list in lists and indexed.until > self.now - ENDED_KEPT_S:
                yield key, indexed

    def touched(self, after: int, now_then: float) -> Iterator[tuple[bytes, str, tuple[IndexedEntry, ...]]]:
        changed = {pair for pair, seq in self._changed.items() if seq > after}
        for (key, _), each in self.entries.items():
            if now_then - ENDED_KEPT_S < each.until <= self.now - ENDED_KEPT_S:
                changed.add((key, each.list))
        standing = {
            pair: tuple(each for _, each in group)
            for pair, group in groupby(
                sorted(self.index(self.list_numbers), key=lambda item: (item[0], item[1].list, item[1].entry_id)),
                key=lambda item: (item[0], item[1].list),
            )
        }
        for key, name in sorted(changed):
            yield key, name, standing.get((key, name), ())


class PublisherTally:
    """Remembers what a publisher counted."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.failures: Counter[str] = Counter()
        self.refills = 0
        self.stalled_lists: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.folded = 0
        self.compacted = 0
        self.has_lease = False

    def published(self, version: int, seconds: float, sent_bytes: int) -> None:
        assert seconds >= 0
        assert sent_bytes > 0
        self.versions.append(version)

    def failed(self, part: str) -> None:
        self.failures[part] += 1

    def refilled(self) -> None:
        self.refills += 1

    def stalled(self, lists: Collection[str]) -> None:
        self.stalled_lists = set(lists)

    def faulty(self, list_name: str, entries: int) -> None:
        self.faults[list_name] += entries

    def reworked(self, *, folded: int, compacted: bool) -> None:
        self.folded += folded
        self.compacted += compacted

    def leased(self, *, held: bool) -> None:
        self.has_lease = held


class FollowerTally:
    """Remembers what a follower counted."""

    def __init__(self) -> None:
        self.installs: list[int] = []
        self.applies: list[int] = []
        self.refusals: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.holding = (0, 0.0)

    @property
    def versions(self) -> list[int]:
        """The versions that came into the replica, either way."""
        return sorted(self.installs + self.applies)

    def installed(self, version: int, seconds: float) -> None:
        assert seconds >= 0
        self.installs.append(version)

    def applied(self, version: int, seconds: float) -> None:
        assert seconds >= 0
        self.applies.append(version)

    def refused(self, reason: str) -> None:
        self.refusals[reason] += 1

    def fell_back(self, reason: str) -> None:
        self.fallbacks[reason] += 1

    def fetched(self, kind: str, size: int) -> None:
        self.bytes[kind] += size

    def holds(self, version: int, age_s: float) -> None:
        self.holding = (version, age_s)


def contents(transaction: ReadTransaction, numbers: Iterable[int]) -> dict[int, bytes]:
    """Read what a version holds under each of some tokens."""
    found = ((number, transaction.get(token(number))) for number in numbers)
    return {number: value for number, value in found if value is not None}
