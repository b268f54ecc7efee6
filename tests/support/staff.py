"""A registry in SQLite with the desks behind RegistryService, RedressService and AdminService, and keys of every role."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.log_signing import LogSigner
from portcullis.adapters.memory.alarms import MemoryAlarmBoard
from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.sql.migrating import migrate_registry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.rights.rights import SqlRights
from portcullis.config import Transport
from portcullis.domain.policies import Policy
from portcullis.domain.roles import Role
from portcullis.gateway.front import Handlers
from portcullis.gateway.operators import OperatorDesks
from portcullis.gateway.server import Gateway
from portcullis.ports import Acknowledgement, ApiKey, Journal
from portcullis.registry.aftermath import Aftermath
from portcullis.registry.disputes import Disputes
from portcullis.registry.entries import EntryDesk
from portcullis.registry.held_imports import HeldImports
from portcullis.registry.imports import Importer
from portcullis.registry.keys import KeyDesk
from portcullis.registry.life import EntryLife
from portcullis.registry.reported_names import ReportedNames
from portcullis.registry.subject_codes import SubjectCodes
from portcullis.registry.subject_records import SubjectRecords
from portcullis.registry.subjects import Subjects
from portcullis.v1 import registry_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.databases import sqlite_url
from tests.support.gateways import TOKENISER, Bench, arrival, running_gateway
from tests.support.people import resident_id
from tests.support.policies import a_list, policy
from tests.support.registry_entries import SEAL_KEY
from tests.support.rights_homes import SUBJECTS

UNTIL = int(time.time()) + 3600

KEYS = {
    "lender-key": ("lender", Role.PARTNER),
    "editor-key": ("edith", Role.AUTHORITY_EDITOR),
    "approver-key": ("abel", Role.AUTHORITY_APPROVER),
    "reviewer-key": ("rita", Role.REVIEWER),
    "operator-key": ("olga", Role.OPERATOR),
    "other-operator-key": ("bob", Role.OPERATOR),
    "auditor-key": ("aude", Role.AUDITOR),
}
"""Who holds which key, as what."""

_M = TypeVar("_M", bound=Message)


class StaffHome:
    """The databases and the desks, by the system's clock."""

    def __init__(
        self, folder: Path, the_policy: Policy | None = None, *, url: str = "", journal: Journal | None = None
    ) -> None:
        self.clock = SystemClock()
        url = url or sqlite_url(folder, "registry.db", migrate_registry)
        self.registry = SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=self.clock)
        self.rights = SqlRights(url, clock=self.clock)
        self.journal: Journal = journal or MemoryJournal(clock=self.clock)
        self.registry.apply_policy(the_policy or policy(a_list("court"), a_list("bikes")), actor="test")
        self.hosts = Hosts()
        self.signer = LogSigner(bytes(range(32)), folder)
        self.desks = self._desks()
        for key, (holder, role) in KEYS.items():
            self.give_key(key, holder, role)

    def _desks(self) -> OperatorDesks:
        registry, rights, journal, clock = self.registry, self.rights, self.journal, self.clock
        importer = Importer(registry, index_tokens=TOKENISER.index_tokens, clock=clock)
        codes = SubjectCodes(rights, tokeniser=TOKENISER, clock=clock)
        names = ReportedNames(rights, SUBJECTS)
        return OperatorDesks(
            alarms=MemoryAlarmBoard(),
            registry=EntryDesk(registry, importer),
            imports=HeldImports(registry),
            keys=KeyDesk(registry, clock=clock),
            life=EntryLife(registry, index_tokens=TOKENISER.index_tokens, clock=clock),
            disputes=Disputes(registry, registry, rights, clock=clock),
            subjects=Subjects(
                registry,
                rights,
                journal,
                tokeniser=TOKENISER,
                codes=codes,
                verifier=codes,
                records=SubjectRecords(registry=registry, life=registry, rights=rights, journal=journal, clock=clock),
                names=names,
                clock=clock,
            ),
            aftermath=Aftermath(
                registry=registry,
                life=registry,
                rights=rights,
                journal=journal,
                acknowledgements=self.hosts,
                signer=self.signer,
                names=names,
                clock=clock,
            ),
        )

    def give_key(self, key: str, holder: str, role: Role, *, lists: Sequence[str] = ()) -> None:
        """Give somebody a key of this text; gateways know it with the next `publish`."""
        made = ApiKey(
            key_id=f"id-{key}",
            holder=holder,
            role=role,
            note="",
            created_at=self.clock.now(),
            revoked_at=None,
            lists=tuple(lists),
        )
        self.registry.add_key(made, hashlib.sha256(key.encode()).hexdigest(), actor="test")

    async def publish(self, bench: Bench) -> None:
        """Let a gateway know the policy and the keys as they stand."""
        with self.registry.view() as view:
            bench.credentials[:] = view.credentials
        await arrival(bench, bench.publish(self.registry.policy(), {}))

    def close(self) -> None:
        """Give up the databases."""
        self.rights.close()
        self.registry.close()
        self.journal.close()


class Hosts:
    """What the followers of hosts say they serve, as a test sets it."""

    def __init__(self) -> None:
        self.said: list[Acknowledgement] = []

    def acknowledge(self, said: Acknowledgement) -> None:
        self.said.append(said)

    def acknowledged(self) -> Sequence[Acknowledgement]:
        return self.said


@contextmanager
def staff_home(
    folder: Path, the_policy: Policy | None = None, *, url: str = "", journal: Journal | None = None
) -> Iterator[StaffHome]:
    """Open an empty registry with its desks and keys, on SQLite and with a journal in memory unless others are given."""
    with closing(StaffHome(folder, the_policy, url=url, journal=journal)) as home:
        yield home


class Staff:
    """Calls a running gateway with the keys of a home."""

    def __init__(self, home: StaffHome, bench: Bench) -> None:
        self.home = home
        self.bench = bench

    async def call(self, method: str, request: Message, kind: type[_M], key: str = "operator-key") -> _M:
        """Call a unary method."""
        return kind.FromString(await self.bench.call(method, request.SerializeToString(), key=key))

    async def put(self, entry: pb.Entry, key: str = "editor-key", **more: Any) -> pb.PutEntryResponse:
        """Put an entry."""
        request = pb.PutEntryRequest(entry=entry, **more)
        return await self.call("RegistryService/PutEntry", request, pb.PutEntryResponse, key)


@asynccontextmanager
async def running_staff(
    transport: Transport, home: StaffHome, also: Callable[[Gateway], Mapping[str, Handlers]] | None = None
) -> AsyncIterator[Staff]:
    """Serve a home's desks, with its keys published."""
    async with running_gateway(transport, home.desks, journal=home.journal, also=also) as bench:
        await home.publish(bench)
        yield Staff(home, bench)


def an_entry(number: int = 1, **changes: Any) -> pb.Entry:
    """An entry of the court's about somebody who is nobody, in force for an hour."""
    person = resident_id(number)
    values: dict[str, Any] = {
        "list": "court",
        "key": f"key-{number}",
        "subject_type": pb.SUBJECT_TYPE_PERSON,
        "identifiers": [types_pb2.Identifier(kind=person.kind, value=person.value)],
        "case_reference": f"case-{number}",
    }
    entry = pb.Entry(**(values | changes))
    entry.valid_from.seconds, entry.until.seconds = UNTIL - 7200, UNTIL
    return entry
