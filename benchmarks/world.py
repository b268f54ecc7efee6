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
from portcullis.domain.editions import FORMAT, Credential, Edition, Legal, ListEdition
from portcullis.domain.identifiers import Identifier
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.policies import Policy
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import Change
from portcullis.domain.subjects import SubjectNames
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

    def subjects(self) -> SubjectNames:
        """Give the names of entries by this home's key."""
        return SubjectNames(read_key(self.home / "keys", TOKEN_KEY))

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
    policy = load_policy(Path(portcullis.demo.__file__).parent / "policy")
    records = sorted(_records(listed, number_of(policy), tokeniser))
    edition = _edition(policy, records)
    writer = LmdbReplicaWriter(home / "replica", SystemClock())
    writer.install(edition, records)
    writer.vouch(VERSION, 0.0)
    writer.close()
    unlisted = tuple(people.resident_id(entries + number).value for number in range(BATCH))
    return World(home=home, key=_KEY, entries=entries, edition=edition, listed=tuple(listed[:BATCH]), unlisted=unlisted)


def number_of(policy: Policy) -> int:
    """Give the number of the list that everybody is on; lists are numbered from 1, in the policy's order."""
    return [each.name for each in policy.lists].index(LIST) + 1


def _edition(policy: Policy, records: list[Change]) -> Edition:
    return Edition(
        format=FORMAT,
        version=VERSION,
        published_at=time.time(),
        registry_seq=1,
        policy=policy,
        lists=tuple(list_editions(policy, records, VERSION)),
        credentials=(Credential("benchmrk", PARTNER, hashlib.sha256(_KEY.encode()).hexdigest()),),
    )


def list_editions(policy: Policy, records: list[Change], version: int) -> Iterator[ListEdition]:
    """Describe a policy's lists as a snapshot has them: one legal basis each, and these bodies."""
    for number, each in enumerate(policy.lists, start=1):
        digest = MultisetDigest()
        digest.add_all((token, body) for token, owner, body in records if owner == number)
        yield ListEdition(
            name=each.name,
            number=number,
            legal=(Legal(each.legal_basis, each.redress_url),),
            measures=tuple(measure.name for measure in each.measures),
            version=version,
            records=digest.count,
            digest=digest.hex(),
        )


def _records(listed: list[str], number: int, tokeniser: Tokeniser) -> Iterator[Change]:
    until = int(time.time()) + _YEAR_S
    for entry, value in enumerate(listed, start=1):
        record = Record(number, 0, until, entry, f"(2090) Demo {entry}")
        (token,) = tokeniser.index_tokens(Identifier(KIND, value))
        yield token, number, encode_body((record,))
