"""A home whose lists were published: a repository signed with real keys, a store that holds it, and a replica of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.domain.editions import FORMAT, Edition, Legal
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC
from portcullis.domain.manifests import (
    HEAD_TARGET,
    Base,
    Delta,
    Head,
    HeadList,
    Manifest,
    Terms,
    assemble,
    base_target,
    delta_target,
    manifest_target,
    terms_target,
)
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import Change
from portcullis.publisher.drafts import Draft, put_document
from portcullis.publisher.folding import Fold
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.signed_snapshots import make_keys, put

Bodies = Mapping[int, bytes]
"""Tokens by a number that stands for them, with their bodies; an empty body is none."""


def token(number: int) -> bytes:
    """A token that numbers order."""
    return number.to_bytes(16, "big")


def body(*entries: int, until: int = NOW + YEAR_S) -> bytes:
    """A body of one record for each entry."""
    return encode_body(Record(0, 0, until, entry, f"secret-case-{entry}") for entry in entries)


class PublishedHome:
    """A home that published some lists, numbered from 1; versions are the tests' own."""

    def __init__(self, home: Path, store_url: str, *lists: str) -> None:
        self.home = home
        self.clock = SystemClock()
        self.store_url = store_url
        keys = make_keys(home / "keys" / "trust", *lists, clock=self.clock)
        self.repository = TufRepository(home / "publisher" / "repository", keys, self.clock)
        self.states: dict[str, dict[int, bytes]] = {name: {} for name in lists}
        self.manifests: dict[str, Manifest] = {}
        self.terms: dict[str, Terms] = {}
        self.head = Head(
            format=FORMAT,
            version=1,
            published_at=self.clock.now(),
            registry_seq=1,
            actions=(),
            partners=(),
            credentials=(),
            lists=tuple(HeadList(name=name, number=number) for number, name in enumerate(lists, 1)),
        )

    def publish(self, version: int, changes: Mapping[str, Bodies]) -> None:
        """Publish a version in which these lists change; a list's first is its base."""
        for each in self.head.lists:
            if each.name not in self.manifests:
                self._begin(each, version, changes.get(each.name, {}))
            elif each.name in changes:
                self._lead_on(each.name, version, changes[each.name])
        self.sign(version)

    def sign(self, version: int) -> None:
        """Sign what the documents say, and put it into the store."""
        self.head = msgspec.structs.replace(
            self.head, version=version, published_at=self.clock.now(), registry_seq=self.head.registry_seq + 1
        )
        put_document(self.repository, HEAD_TARGET, self.head)
        names = {HEAD_TARGET}
        for name, manifest in self.manifests.items():
            put_document(self.repository, manifest_target(name), manifest)
            names |= {
                manifest_target(name),
                manifest.terms,
                manifest.base.target,
                *(each.target for each in manifest.deltas),
            }
        self.repository.sign(version, now=self.clock.now(), targets=names)
        with closing(RedisSnapshotStore(self.store_url)) as store:
            put(self.repository, store)

    def fold(self, name: str, count: int, version: int) -> None:
        """Publish a version in which the first deltas of a list are folded."""
        fold = Fold(self.repository, self.manifests[name], self.manifests[name].deltas[:count])
        for _ in fold.steps():
            pass
        folded = fold.applied(self.manifests[name])
        assert folded is not None
        self.manifests[name] = folded
        self.sign(version)

    def edition(self) -> Edition:
        """The edition that a follower assembles."""
        return assemble(self.head, self.manifests, self.terms)

    def records(self) -> Iterable[Change]:
        """Every body of the present version, ascending."""
        numbers = {each.name: each.number for each in self.head.lists}
        return sorted(
            (token(number), numbers[name], content)
            for name, state in self.states.items()
            for number, content in state.items()
        )

    def install(self, edition: Edition | None = None) -> None:
        """Bring the home's replica to the present version, or to another edition of the same records."""
        with closing(LmdbReplicaWriter(self.home / "replica", self.clock)) as writer:
            edition = edition or self.edition()
            writer.install(edition, self.records())
            writer.vouch(edition.version, 0.0)

    def _begin(self, each: HeadList, version: int, bodies: Bodies) -> None:
        self._advance(each.name, bodies)
        draft = self._draft(base_target(each.name, version), BASE_MAGIC, self.states[each.name])
        terms = Terms(
            format=FORMAT,
            number=each.number,
            definition=a_list(each.name),
            legal=(Legal("Demonstration Act, section 1", "https://redress.example"),),
            measures=tuple(measure.name for measure in a_list(each.name).measures),
        )
        self.terms[each.name] = terms
        put_document(self.repository, terms_target(each.name, version), terms)
        records, digest = self._digest(each.name)
        self.manifests[each.name] = Manifest(
            format=FORMAT,
            list=each.name,
            number=each.number,
            version=version,
            records=records,
            digest=digest,
            terms=terms_target(each.name, version),
            base=Base(target=draft.target, version=version, records=draft.frames, length=draft.length),
        )

    def _lead_on(self, name: str, version: int, bodies: Bodies) -> None:
        manifest = self.manifests[name]
        self._advance(name, bodies)
        draft = self._draft(delta_target(name, manifest.version, version), DELTA_MAGIC, bodies)
        delta = Delta(
            target=draft.target, since=manifest.version, version=version, changes=draft.frames, length=draft.length
        )
        records, digest = self._digest(name)
        self.manifests[name] = msgspec.structs.replace(
            manifest, version=version, records=records, digest=digest, deltas=(*manifest.deltas, delta)
        )

    def _advance(self, name: str, bodies: Bodies) -> None:
        state = {**self.states[name], **bodies}
        self.states[name] = {number: content for number, content in state.items() if content}

    def _draft(self, target: str, magic: bytes, bodies: Bodies) -> Draft:
        draft = Draft(self.repository, target, magic)
        for number, content in sorted(bodies.items()):
            draft.put(token(number), content)
        draft.close()
        return draft

    def _digest(self, name: str) -> tuple[int, str]:
        digest = MultisetDigest()
        digest.add_all((token(number), content) for number, content in self.states[name].items())
        return digest.count, digest.hex()
