"""The world of a run: a home whose replica holds a million made-up people, a key that may ask, and the questions to ask.

The policy is the demonstration's own. Every listed person has one entry on the court's list, which is the cheapest way to
make a million index keys; a check for a G train is then RESTRICT for a listed person and ALLOW for any other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

import portcullis.demo
from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb import LmdbReplica, LmdbReplicaWriter
from portcullis.demo import people
from portcullis.domain.editions import FORMAT, Credential, Edition, Legal
from portcullis.domain.identifiers import Identifier
from portcullis.domain.records import Record, encode_records
from portcullis.domain.tokens import Tokeniser
from portcullis.mains.keys import TOKEN_KEY, ensure_keys, read_key
from portcullis.registry.policy_files import load_policy
from portcullis.v1 import check_service_pb2 as pb

PARTNER, PURPOSE, ACTION = "ticketing", "ticketing", "rail.ticket.purchase"
LIST = "court-judgment-defaulters"
KIND = "cn.resident-id"
BATCH = 1000
VERSION = 1

_KEY = "pcl_benchmrk_" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
_YEAR_S = 365 * 86_400


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks, and of whom. ``listed`` and ``unlisted`` are resident IDs; there are `BATCH` of the latter."""

    home: Path
    key: str
    entries: int
    edition: Edition
    listed: tuple[str, ...]
    unlisted: tuple[str, ...]

    @property
    def headers(self) -> dict[str, str]:
        """The call's metadata."""
        return {"authorization": f"Bearer {self.key}"}

    @property
    def miss(self) -> pb.CheckRequest:
        """A check that nothing is found for."""
        return _question(self.unlisted[0])

    @property
    def hit(self) -> pb.CheckRequest:
        """A check that a court's entry refuses."""
        return _question(self.listed[0])

    @property
    def batch(self) -> pb.BatchCheckRequest:
        """As many checks as a batch may hold, each of another person whom nothing is found for."""
        return pb.BatchCheckRequest(requests=[_question(number) for number in self.unlisted])

    def tokeniser(self) -> Tokeniser:
        """Give the tokeniser of this home's key."""
        return Tokeniser(read_key(self.home / "keys", TOKEN_KEY))

    def replica(self) -> LmdbReplica:
        """Open the replica as a worker does."""
        return LmdbReplica(self.home / "replica", SystemClock())

    def vouch(self) -> None:
        """Say that the lists are fresh, as the publisher would every second."""
        writer = LmdbReplicaWriter(self.home / "replica", SystemClock())
        writer.vouch(VERSION, 0.0)
        writer.close()


def _question(number: str) -> pb.CheckRequest:
    request = pb.CheckRequest(action=ACTION, purpose=PURPOSE)
    request.identifiers.add(kind=KIND, value=number)
    request.attributes.add(name="train").string_value = "G101"
    return request


def build(home: Path, entries: int) -> World:
    """Make the home: keys, and a replica of this many entries. It takes about ten seconds a million."""
    home.mkdir(mode=0o700, parents=True)
    ensure_keys(home / "keys")
    tokeniser = Tokeniser(read_key(home / "keys", TOKEN_KEY))
    listed = [people.resident_id(number).value for number in range(entries)]
    edition = _edition(entries)
    writer = LmdbReplicaWriter(home / "replica", SystemClock())
    writer.install(edition, sorted(_records(listed, edition, tokeniser)))
    writer.vouch(VERSION, 0.0)
    writer.close()
    unlisted = tuple(people.resident_id(entries + number).value for number in range(BATCH))
    return World(home=home, key=_KEY, entries=entries, edition=edition, listed=tuple(listed[:BATCH]), unlisted=unlisted)


def _edition(entries: int) -> Edition:
    policy = load_policy(Path(portcullis.demo.__file__).parent / "policy")
    source = policy.list_named(LIST)
    assert source is not None  # noqa: S101 - the demonstration policy is ours
    digest = hashlib.sha256(_KEY.encode()).hexdigest()
    return Edition(
        format=FORMAT,
        version=VERSION,
        published_at=time.time(),
        registry_seq=1,
        policy=policy,
        legal=(Legal(source.legal_basis, source.redress_url),),
        credentials=(Credential("benchmrk", PARTNER, digest),),
        records=entries,
    )


def _records(listed: list[str], edition: Edition, tokeniser: Tokeniser) -> Iterator[tuple[bytes, bytes]]:
    place = [each.name for each in edition.policy.lists].index(LIST)
    until = int(edition.published_at) + _YEAR_S
    for number, value in enumerate(listed, start=1):
        record = Record(place, 0, until, number, f"(2090) Demo {number}")
        (token,) = tokeniser.index_tokens(Identifier(KIND, value))
        yield token, encode_records((record,))
