"""The world of a run: a home whose replica holds a million made-up people, a key that may ask, and the questions to ask.

The policy is the demonstration's own. Every listed person has one entry on the court's list, which is the cheapest way to
make a million index keys; a check for a G train is then RESTRICT for a listed person and ALLOW for any other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

import portcullis.demo
from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb import LmdbReplica, LmdbReplicaWriter
from portcullis.demo import people
from portcullis.domain.editions import FORMAT, Credential, Edition, Legal, ListEdition
from portcullis.domain.identifiers import Identifier
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.policies import Policy, Probing
from portcullis.domain.quotas import UNLIMITED
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import Change
from portcullis.domain.subjects import SubjectNames
from portcullis.domain.tokens import Tokeniser
from portcullis.mains.keys import TOKEN_KEY, ensure_keys, read_key
from portcullis.registry.policy_files import load_policy
from portcullis.v1 import check_service_pb2 as pb

PARTNER, PURPOSE, ACTION = "ticketing", "ticketing", "rail.ticket.purchase"
LIST = "court-judgment-defaulters"
OTHER_LIST = "self-exclusion"
"""A list that the partner has no agreement about."""

KIND = "cn.resident-id"
BATCH = 1000
VERSION = 1

_KEY = "pcl_benchmrk_" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
_YEAR_S = 365 * 86_400


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks, and of whom. ``listed`` and ``unlisted`` are resident IDs; there are `BATCH` of the latter.

    ``silent`` are on a list that is none of the partner's business, where the run wants some.
    """

    home: Path
    key: str
    entries: int
    edition: Edition
    listed: tuple[str, ...]
    unlisted: tuple[str, ...]
    silent: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """The call's metadata."""
        return {"authorization": f"Bearer {self.key}"}

    @property
    def miss(self) -> pb.CheckRequest:
        """A check that nothing is found for."""
        return question(self.unlisted[0])

    @property
    def hit(self) -> pb.CheckRequest:
        """A check that a court's entry refuses."""
        return question(self.listed[0])

    @property
    def batch(self) -> pb.BatchCheckRequest:
        """As many checks as a batch may hold, each of another person whom nothing is found for."""
        return pb.BatchCheckRequest(requests=[question(number) for number in self.unlisted])

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


def question(number: str, train: str = "G101") -> pb.CheckRequest:
    """Ask whether somebody may have a ticket for a train; the court's list has something to say of G trains."""
    request = pb.CheckRequest(action=ACTION, purpose=PURPOSE)
    request.identifiers.add(kind=KIND, value=number)
    request.attributes.add(name="train").string_value = train
    return request


def build(
    home: Path, entries: int, silent: int = 0, change: Callable[[Edition], Edition] = lambda edition: edition
) -> World:
    """Make the home: keys, and a replica of this many entries. It takes about ten seconds a million.

    So many others are on a list that the partner has no agreement about. ``change`` gives the edition to install in the
    place of the usual one.
    """
    home.mkdir(mode=0o700, parents=True)
    ensure_keys(home / "keys")
    tokeniser = Tokeniser(read_key(home / "keys", TOKEN_KEY))
    listed = [people.resident_id(number).value for number in range(entries)]
    policy = unlimited(load_policy(Path(portcullis.demo.__file__).parent / "policy"))
    others = [people.resident_id(entries + BATCH + number).value for number in range(silent)]
    records = sorted(
        (*_records(listed, number_of(policy), tokeniser), *_records(others, number_of(policy, OTHER_LIST), tokeniser))
    )
    edition = change(_edition(policy, records))
    writer = LmdbReplicaWriter(home / "replica", SystemClock())
    writer.install(edition, records)
    writer.vouch(VERSION, 0.0)
    writer.close()
    unlisted = tuple(people.resident_id(entries + number).value for number in range(BATCH))
    return World(
        home=home,
        key=_KEY,
        entries=entries,
        edition=edition,
        listed=tuple(listed[:BATCH]),
        unlisted=unlisted,
        silent=tuple(others),
    )


def unlimited(policy: Policy) -> Policy:
    """Give a policy whose partners may ask as much as they like: a load is not to measure how fast it is refused."""
    partners = tuple(msgspec.structs.replace(each, quota=UNLIMITED, probing=Probing.WATCH) for each in policy.partners)
    return msgspec.structs.replace(policy, partners=partners)


def number_of(policy: Policy, name: str = LIST) -> int:
    """Give the number of a list, of the one that everybody is on; lists are numbered from 1, in the policy's order."""
    return [each.name for each in policy.lists].index(name) + 1


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
