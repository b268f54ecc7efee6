"""Everything that the embedded stack's workers serve, on one port over real databases, with something to find in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.config import Transport
from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.policies import Disclosure, Effect, Partner, Policy
from portcullis.domain.quotas import UNLIMITED
from portcullis.domain.records import Record
from portcullis.domain.roles import Role
from portcullis.exchange.proving import Prover
from portcullis.exchange.reporting import EventDesk
from portcullis.exchange.watching import FeedWatch
from portcullis.gateway.front import Handlers
from portcullis.gateway.server import Gateway
from portcullis.gateway.servicers.sharing import SERVICE, SharingDesks, SharingServicer
from portcullis.ports import Acknowledgement, DecisionRecord
from portcullis.registry.page_tokens import make_page_token
from portcullis.v1 import redress_service_pb2 as redress_pb
from portcullis.v1 import registry_service_pb2 as pb
from tests.support.gateways import SUBJECTS, TOKENISER, Bench, arrival, running_gateway
from tests.support.people import passport, phone, resident_id
from tests.support.policies import CALL, LOAN, KnownBy, a_list, agreement, measure, policy
from tests.support.staff import KEYS, StaffHome, an_entry, staff_home

UNTIL: Final = 4_000_000_000
PEOPLE: Final = [resident_id(number) for number in (0, 1, 3, 4, 5)] + [passport(1), passport(2), phone(1), phone(2)]
SUBJECT: Final = resident_id(2)
"""Listed, and asked about by nobody else: to erase them ends their session."""
CANARIES: Final = (resident_id(90_001).value, passport(77_770_001).value, phone(777).value.removeprefix("+"))
"""Numbers that are right in form: planted where they belong and where they do not."""
WORDS: Final[Mapping[str, Sequence[str]]] = {
    "list": ["court", "court", "bikes", "notices", "nowhere"],
    "lists": ["court", "bikes"],
    "name": ["court", "bikes", "amount", "divisor"],
    "key": [f"key-{number}" for number in range(6)],
    "key_prefix": ["", "key"],
    "case_reference": [f"case-{number}" for number in range(6)],
    "case_reference_prefix": ["", "case"],
    "action": ["loan.apply", "loan.apply", "call.identify"],
    "purpose": ["lending", "lending", "caller-identification", "an audit"],
    "phone": [phone(1).value, phone(2).value],
    "why": ["as told", "the court said so"],
    "document": ["D-1", ""],
    "legal_basis": ["", "Demonstration Act, section 1"],
    "redress": ["", "https://redress.example/court"],
    "measures": ["loans"],
    "names": ["Nobody Atall"],
    "reviewer": ["rita"],
    "holder": ["lender", "nadia"],
    "partner": ["lender"],
    "role": ["partner", "auditor", "reviewer"],
    "note": ["a note"],
    "locale": ["", "en", "zh-CN"],
    "at_least_snapshot": ["", "1"],
    "event_id": [f"event-{number:08d}" for number in range(40)],
    "reference": ["", "R-1"],
    "partner_reference": ["", "order-1"],
    "url": ["https://provider.example/letter"],
    "evidence": ["letter/1"],
    "request_id": ["r-1"],
    "cursor": [""],
    "redress_number": [""],
    "CheckRequest.action": ["loan.apply"],
    "CheckRequest.purpose": ["lending"],
    "Entry.purpose": ["", "judgment-enforcement"],
    "Entry.list": ["court", "bikes"],
    "Opening.list": ["court", "bikes"],
    "EntryQuery.list": ["court", "bikes"],
    "LookupCallerRequest.purpose": ["", "caller-identification"],
    "Attribute.name": ["amount"],
    "page_token": ["", make_page_token("court", "1"), make_page_token("court", "9" * 5000), make_page_token("court", "\0")],
    "first_size": ["1"],
    "second_size": ["2"],
}


class JournalSpool:
    """A spool that ships before it answers: what the journal can't take shows at the call that brought it."""

    def __init__(self, journal: SqlJournal) -> None:
        self._journal = journal

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        await asyncio.to_thread(self._journal.record_decisions, list(records))

    def close(self) -> None: ...


def the_policy() -> Policy:
    """Three lists, and a partner that may ask all of them as often as it likes."""
    lists = (
        a_list("court", measure(when="amount >= 0.0 && divisor != 7"), takes_terminations=True),
        a_list("bikes", four_eyes=True),
        a_list(
            "notices",
            measure("label", actions=("call.identify",), effect=Effect.NOTICE, message="A known nuisance."),
            disclosure=Disclosure.PUBLIC,
            published_from=0,
            published_until=UNTIL,
        ),
    )
    agreements = (
        agreement(("court", "bikes"), valid_from=0, valid_until=UNTIL, purposes=("lending", "an audit")),
        agreement(
            ("notices",), actions=("call.identify",), purposes=("caller-identification",), valid_from=0, valid_until=UNTIL
        ),
    )
    return policy(
        *lists,
        actions=(LOAN, CALL),
        partners=(Partner(name="lender", title="A lender", agreements=agreements, quota=UNLIMITED),),
    )


def the_index() -> dict[bytes, list[Record]]:
    """Somebody on each list."""
    index: dict[bytes, list[Record]] = {}
    until = int(time.time()) + 86_400
    for number, person in ((1, PEOPLE[0]), (1, passport(1)), (2, PEOPLE[1]), (3, phone(1))):
        for token in TOKENISER.index_tokens(person):
            made = Record(number, legal_index=0, until=until, entry_id=len(index) + 1, case_reference=f"case-{number}")
            index.setdefault(token, []).append(made)
    return index


async def stock(bench: Bench, home: StaffHome) -> None:
    """Put entries on the lists, a proposal that waits among them, and open a case."""
    home.hosts.acknowledge(Acknowledgement(host="gw-1", version=1, registry_seq=10**9, at=time.time()))
    for number in range(6):
        entry = an_entry(number, list="court" if number < 5 else "bikes")
        request = pb.PutEntryRequest(entry=entry, why="as told").SerializeToString()
        await bench.call("RegistryService/PutEntry", request, key="editor-key")


async def a_case(bench: Bench, number: int) -> str:
    """Open a dispute about an entry, and give the case's id."""
    ground = redress_pb.DISPUTE_GROUND_WRONG_FACTS
    request = redress_pb.OpenDisputeRequest(list="court", key=f"key-{number}", ground=ground)
    answer = await bench.call("RedressService/OpenDispute", request.SerializeToString(), key="reviewer-key")
    return redress_pb.OpenDisputeResponse.FromString(answer).case.case_id


def credentials_of(home: StaffHome) -> dict[Role | None, str | None]:
    """A credential of every role, the subject's from a proof."""
    keys = {role: key for key, (_, role) in KEYS.items()}
    given = GivenIdentifier(SUBJECT.kind, SUBJECT.value, SUBJECT.country)
    code, _ = home.desks.subjects.issue_code(given, actor="olga")
    session, _ = home.desks.subjects.begin_session(given, code)
    return {**keys, Role.SUBJECT: session}


@asynccontextmanager
async def fuzzed_worker(
    transport: Transport, folder: Path, registry_url: str, journal_url: str
) -> AsyncIterator[tuple[Bench, StaffHome]]:
    """Serve all services over these migrated databases."""
    clock = SystemClock()
    with (
        closing(SqlJournal(journal_url, seal_key=bytes(32), clock=clock)) as journal,
        staff_home(folder, the_policy(), url=registry_url, journal=journal) as home,
    ):
        watch = FeedWatch(MemoryFeed(), MemoryAnnouncer(), SUBJECTS, KnownBy(home.registry.policy), clock, heartbeat_s=0.05)
        desks = SharingDesks(EventDesk(journal, Prover(journal), clock), watch)

        def sharing(gateway: Gateway) -> Mapping[str, Handlers]:
            return {SERVICE: SharingServicer(desks, gateway.policy, gateway.front, gateway.gates).handlers()}

        spool = JournalSpool(journal)
        async with (
            watch,
            running_gateway(transport, home.desks, spool=spool, journal=journal, also=sharing) as bench,
        ):
            with home.registry.view() as view:
                bench.credentials[:] = view.credentials
            await arrival(bench, bench.publish(home.registry.policy(), the_index()))
            await stock(bench, home)
            yield bench, home
