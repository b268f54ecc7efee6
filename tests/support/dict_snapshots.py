"""Snapshots in a dictionary: what a publisher would sign, and the trusted side of it, which can be made to misbehave."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

from portcullis.domain.editions import FORMAT, Legal
from portcullis.domain.errors import Refusal, SnapshotInvalid, StoreUnavailable
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC, write_frames
from portcullis.domain.manifests import (
    HEAD_TARGET,
    Base,
    Delta,
    Head,
    HeadList,
    Manifest,
    Terms,
    base_target,
    delta_target,
    encode_document,
    manifest_target,
    terms_target,
)
from portcullis.domain.multisets import MultisetDigest
from portcullis.ports import Clock, Vouched
from tests.support.distribution import COURT, LEGAL, NAMES, body, token
from tests.support.policies import NOW, a_list

Spoil = Callable[[bytes], bytes | None]


class DictSnapshots:
    """The trusted side: it gives what is in ``targets``, proven by nothing.

    ``spoil`` (by target) changes what is read; None is a target that is missing. ``refusal`` is why a look is refused.
    ``opened`` names the files of records that were asked for. ``before`` is called with a target before it is read.
    """

    def __init__(self) -> None:
        self.vouched: Vouched | None = None
        self.targets: dict[str, bytes] = {}
        self.spoil: dict[str, Spoil] = {}
        self.refusal: Refusal | None = None
        self.down = False
        self.opened: list[str] = []
        self.left_open = 0
        self.looks = 0
        self.before: Callable[[str], None] = lambda _name: None

    def behave(self) -> None:
        """Be good again."""
        self.spoil.clear()
        self.refusal = None
        self.down = False

    def root_version(self) -> int:
        return 1

    def look(self) -> Vouched:
        self.looks += 1
        self._demand_up()
        if self.refusal or self.vouched is None:
            raise SnapshotInvalid("the metadata is refused", refusal=self.refusal or Refusal.STORE_EMPTY)
        return self.vouched

    def read(self, name: str, longest: int) -> bytes:
        self._demand_up()
        self.before(name)
        data = self.targets.get(name)
        spoil = self.spoil.get(name)
        if spoil and data is not None:
            data = spoil(data)
        if data is None or len(data) > longest:
            raise SnapshotInvalid("the store lacks a target", refusal=Refusal.TARGET_MISSING)
        return data

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        self.opened.append(name)
        data = self.read(name, 1 << 40)
        self.left_open += 1
        try:
            yield io.BytesIO(data)
        finally:
            self.left_open -= 1

    def _demand_up(self) -> None:
        if self.down:
            raise StoreUnavailable("the store is down")


class _Published:
    """One list as it is published."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = NAMES[number]
        self.bodies: dict[bytes, bytes] = {}
        self.changed: set[bytes] = set()
        self.version = 0
        self.base: Base | None = None
        self.deltas: list[Delta] = []
        self.legal: tuple[Legal, ...] = LEGAL
        self.title = "Court list"


class DictPublisher:
    """Publishes the bodies in its dictionaries; each publish makes a delta of every list that changed."""

    def __init__(self, snapshots: DictSnapshots, clock: Clock, of: Iterable[int] = (COURT,)) -> None:
        self.snapshots = snapshots
        self.clock = clock
        self.lists = {number: _Published(number) for number in of}
        self.credentials = ()

    def put(self, numbers: Iterable[int], mark: str = "v", *, on: int = COURT) -> None:
        """Give tokens a body."""
        for number in numbers:
            self._set(on, token(number), body(number, mark))

    def withdraw(self, numbers: Iterable[int], *, on: int = COURT) -> None:
        """Take tokens' bodies away."""
        for number in numbers:
            self._set(on, token(number), b"")

    def _set(self, on: int, key: bytes, value: bytes) -> None:
        each = self.lists[on]
        each.bodies[key] = value
        if not value:
            del each.bodies[key]
        each.changed.add(key)

    def add(self, number: int) -> None:
        """Begin a list."""
        self.lists[number] = _Published(number)

    def publish(self, version: int, *, compacted: bool = False, **head: object) -> None:
        """Publish what changed; ``compacted`` also makes new bases and forgets the deltas."""
        for each in self.lists.values():
            if each.base is None or (each.changed and compacted):
                self._write_base(each, version)
            elif each.changed:
                self._write_delta(each, version)
            self._describe(each)
        self._write_head(version, head)
        self.vouch(version)

    def vouch(self, version: int = 0) -> None:
        """Vouch for the version published, or for another."""
        last = self.snapshots.vouched or Vouched(0, 0, 0.0)
        self.snapshots.vouched = Vouched(version or last.version, last.serial + 1, self.clock.now())

    def _write_base(self, each: _Published, version: int) -> None:
        target = base_target(each.name, version)
        length = self._write(target, BASE_MAGIC, each.bodies)
        each.version = version
        each.base = Base(target=target, version=version, records=len(each.bodies), length=length)
        each.deltas = []
        each.changed = set()

    def _write_delta(self, each: _Published, version: int) -> None:
        target = delta_target(each.name, each.version, version)
        length = self._write(target, DELTA_MAGIC, {key: each.bodies.get(key, b"") for key in each.changed})
        changes = len(each.changed)
        each.deltas.append(Delta(target=target, since=each.version, version=version, changes=changes, length=length))
        each.version = version
        each.changed = set()

    def _write(self, target: str, magic: bytes, bodies: Mapping[bytes, bytes]) -> int:
        data = self.snapshots.targets[target] = b"".join(write_frames(magic, sorted(bodies.items())))
        return len(data)

    def _describe(self, each: _Published) -> None:
        assert each.base is not None
        digest = MultisetDigest()
        digest.add_all(each.bodies.items())
        terms = Terms(
            format=FORMAT,
            number=each.number,
            definition=a_list(each.name, title=each.title),
            legal=each.legal,
            measures=("loans",),
        )
        manifest = Manifest(
            format=FORMAT,
            list=each.name,
            number=each.number,
            version=each.version,
            records=digest.count,
            digest=digest.hex(),
            terms=terms_target(each.name, 1),
            base=each.base,
            deltas=tuple(each.deltas),
        )
        self.snapshots.targets[manifest.terms] = encode_document(terms)
        self.snapshots.targets[manifest_target(each.name)] = encode_document(manifest)

    def _write_head(self, version: int, changes: Mapping[str, object]) -> None:
        values: dict[str, object] = {
            "format": FORMAT,
            "version": version,
            "published_at": float(NOW),
            "registry_seq": version,
            "actions": (),
            "partners": (),
            "credentials": self.credentials,
            "lists": tuple(HeadList(name=each.name, number=each.number) for each in self.lists.values()),
        }
        self.snapshots.targets[HEAD_TARGET] = encode_document(Head(**(values | changes)))  # type: ignore[arg-type]
