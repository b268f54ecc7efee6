"""Two partners on one gateway, everything of the first made for real: what the other must neither see nor guess.

Besides them there are a partner whose agreement has ended and one whose agreement is still to come; keys of the staff that
are good for one list alone; and two subjects in sessions of their own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.config import Transport
from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.identifiers import Identifier
from portcullis.domain.policies import Action, Disclosure, Effect, Partner, Policy
from portcullis.domain.records import Record
from portcullis.domain.redress_numbers import format_number, make_number
from portcullis.domain.roles import Role
from portcullis.exchange.proving import Prover
from portcullis.exchange.reporting import EventDesk
from portcullis.exchange.watching import FeedWatch
from portcullis.gateway.front import Handlers
from portcullis.gateway.server import Gateway
from portcullis.gateway.servicers.sharing import SERVICE, SharingDesks, SharingServicer
from portcullis.ports import Clock, Progress
from portcullis.registry.settling import PartnerReports
from portcullis.v1 import check_service_pb2 as check
from portcullis.v1 import redress_service_pb2 as redress
from portcullis.v1 import registry_service_pb2 as registry
from portcullis.v1 import sharing_service_pb2 as sharing
from portcullis.v1 import types_pb2
from tests.support.gateways import SUBJECTS, TOKENISER, arrival, running_gateway
from tests.support.people import passport, phone, resident_id
from tests.support.policies import CALL, LOAN, KnownBy, a_list, agreement, measure, policy
from tests.support.sharing_gateways import FAR, a_change, fresh_journal
from tests.support.staff import Staff, StaffHome, an_entry, staff_home

OWN = "bikes"
"""The list of the second partner and of the limited keys; "court" is everybody's, "books" the first partner's alone."""
BEGUN = int(time.time())
"""When all events happened, in Unix seconds."""
LIMITED = (Role.AUTHORITY_EDITOR, Role.AUTHORITY_APPROVER, Role.REVIEWER, Role.OPERATOR, Role.AUDITOR)


@dataclass(frozen=True)
class Names:
    """What requests may name: one of the first partner's and its staff's, or one that was never given out.

    ``mark`` is in the names that an asker makes up itself.
    """

    mark: str
    decision_id: str
    event_id: str
    receipt_of: str
    cursor: str
    subject: str
    partner_list: str
    list: str
    key: str
    case_reference: str
    case_id: str
    mismatch_id: str
    number_id: str
    redress_number: str
    import_id: int
    key_id: str
    partner: str
    reviewer: str
    entries_token: str
    cases_token: str
    plan: str
    action: str
    attribute: str
    purpose: str
    person: Identifier
    phone: str

    def texts(self) -> dict[str, str]:
        """Give the texts among them, by their names."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        told |= {"person": self.person.value}
        return {name: value for name, value in told.items() if isinstance(value, str)}


def the_policy(**of_shop: Any) -> Policy:
    """The lists and the four partners; ``of_shop`` changes the second one's agreement."""
    ring = measure("ring", actions=("call.identify",), effect=Effect.NOTICE, message="A known nuisance.")
    public: dict[str, Any] = {"disclosure": Disclosure.PUBLIC, "published_from": 0, "published_until": FAR}
    lists = (
        a_list(
            "court",
            measure(),
            measure("hire", actions=("bike.hire",)),
            settled_days=3,
            takes_terminations=True,
            guard_percent=0,
            guard_entries=0,
        ),
        a_list("books", measure(), ring, **public),
        a_list(OWN, measure("hire", actions=("bike.hire",)), ring, **public),
    )
    lending: dict[str, Any] = {
        "lists": ("court", "books"),
        "actions": ("loan.apply", "call.identify"),
        "purposes": ("lending", "caller-identification"),
        "valid_from": 0,
        "valid_until": FAR,
    }
    hiring = lending | {
        "lists": ("court", OWN),
        "actions": ("bike.hire", "call.identify"),
        "purposes": ("hiring", "caller-identification"),
    }
    agreed = {
        "lender": lending,
        "shop": hiring | of_shop,
        "former": lending | {"valid_until": int(time.time()) - 10},
        "coming": lending | {"valid_from": FAR - 10},
    }
    partners = tuple(Partner(name=name, title=name, agreements=(agreement(**values),)) for name, values in agreed.items())
    return policy(*lists, actions=(LOAN, CALL, Action(name="bike.hire")), partners=partners)


class Tenants:
    """A running gateway with all of its services, and who calls it."""

    def __init__(self, staff: Staff, feed: MemoryFeed, announcer: MemoryAnnouncer) -> None:
        self.staff = staff
        self.home: StaffHome = staff.home
        self.bench = staff.bench
        self._feed = feed
        self._announcer = announcer
        self.index: dict[bytes, list[Record]] = {}
        self.foreign: Names
        self.absent: Names
        self.sessions: dict[int, str] = {}

    async def publish(self, the_policy: Policy | None = None, **changes: Any) -> None:
        """Let the gateway know the keys, the policy and the index."""
        with self.home.registry.view() as view:
            self.bench.credentials[:] = view.credentials
        version = self.bench.publish(the_policy or self.home.registry.policy(), self.index, **changes)
        await arrival(self.bench, version)

    def grow(self, *lists: str) -> None:
        """Let the feed grow by one change of each of these lists."""
        numbers = {each.name: number for number, each in enumerate(self.home.registry.policy().lists, start=1)}
        before = self._feed.progress()
        changes = [a_change(list=name, list_number=numbers[name]) for name in lists]
        assert self._feed.append(changes, Progress(before.registry_seq + 1, before.ended_until), expected=before)
        self._announcer.announce(self._feed.ends())

    async def check(self, person: Identifier, key: str, **changes: Any) -> check.CheckResponse:
        """Ask about a person."""
        request = check.CheckRequest(identifiers=[wire(person)], **changes)
        return await self.staff.call("CheckService/Check", request, check.CheckResponse, key)

    async def watch(self, key: str, cursor: str = "", lists: Sequence[str] = ()) -> sharing.WatchChangesResponse:
        """Give the first message of a watch."""
        call = self.bench.channel.unary_stream(f"/{SERVICE}/WatchChanges")(
            sharing.WatchChangesRequest(cursor=cursor, lists=lists).SerializeToString(), metadata=bearer(key), timeout=10
        )
        body = await call.read()
        call.cancel()
        return sharing.WatchChangesResponse.FromString(body)

    async def ask(self, key: str | None, method: str, request: Any) -> Any:
        """Call a unary method of the staff's; gives its answer."""
        kind = getattr(redress if method.startswith("Redress") else registry, f"{method.split('/')[1]}Response")
        return kind.FromString(await self.bench.call(method, request.SerializeToString(), key=key))

    def record(self) -> None:
        """Take what is in the spool into the journal."""
        self.home.journal.record_decisions(list(self.bench.spool.records.values()))


def wire(person: Identifier) -> types_pb2.Identifier:
    return types_pb2.Identifier(kind=person.kind, value=person.value, country=person.country)


def bearer(key: str | None) -> list[tuple[str, str]]:
    return [] if key is None else [("authorization", f"Bearer {key}")]


def an_event(mark: str, **detail: Any) -> sharing.Event:
    """An event with one detail, the same for the same arguments."""
    event = sharing.Event(event_id=mark, **detail)
    event.occurred_at.FromSeconds(BEGUN)
    return event


class MovedClock(SystemClock):
    """The clock of this host, moved by hand."""

    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


@asynccontextmanager
async def tenants(transport: Transport, folder: Path) -> AsyncIterator[Tenants]:
    """Serve all of it, with everything of the first partner in place."""
    with staff_home(folder, the_policy(), journal=fresh_journal(folder)) as home:
        for name in ("shop", "former", "coming"):
            home.give_key(f"{name}-key", name, Role.PARTNER)
        for role in LIMITED:
            home.give_key(f"{OWN}-{role}", f"lena-{role}", role, lists=[OWN])
        home.give_key("court-reviewer", "carl", Role.REVIEWER, lists=["court"])
        async with _serving(transport, home, home.clock) as world:
            await _furnish(world)
            yield world


@asynccontextmanager
async def bare_tenants(transport: Transport, folder: Path, clock: Clock, **options: Any) -> AsyncIterator[Tenants]:
    """Serve the second partner by a clock, with nothing in place but an entry of each list; for `running_gateway`."""
    with staff_home(folder, the_policy(), journal=fresh_journal(folder)) as home:
        home.give_key("shop-key", "shop", Role.PARTNER)
        async with _serving(transport, home, clock, **options) as world:
            await _put(world, an_entry(1))
            await _put(world, an_entry(7, list=OWN))
            await world.publish()
            yield world


@asynccontextmanager
async def _serving(transport: Transport, home: StaffHome, clock: Clock, **options: Any) -> AsyncIterator[Tenants]:
    """Serve everything by this clock, with the keys of a home."""
    feed, announcer = MemoryFeed(), MemoryAnnouncer()
    served: list[Gateway] = []

    def in_force() -> Policy:
        return served[0].policy()

    watch = FeedWatch(feed, announcer, SUBJECTS, KnownBy(in_force), clock, heartbeat_s=0.05)
    reports = EventDesk(home.journal, Prover(home.journal), clock, patience_s=0.01)

    def sharing_service(gateway: Gateway) -> Mapping[str, Handlers]:
        served.append(gateway)
        return {
            SERVICE: SharingServicer(SharingDesks(reports, watch), gateway.policy, gateway.front, gateway.gates).handlers()
        }

    serving = running_gateway(transport, home.desks, clock, journal=home.journal, also=sharing_service, **options)
    async with watch, serving as bench:
        staff = Staff(home, bench)
        await home.publish(bench)
        yield Tenants(staff, feed, announcer)


async def _furnish(world: Tenants) -> None:
    """Make everything that is the first partner's and of the court, and something of the others'."""
    staff = world.staff
    for number in (1, 2, 3):
        await _put(world, an_entry(number))
    await _put(world, an_entry(4, list="books"), phone(1))
    await _put(world, an_entry(7, list=OWN))
    await world.publish()
    refused = await world.check(resident_id(1), "lender-key", action="loan.apply", purpose="lending")
    assert types_pb2.OUTCOME_RESTRICT == refused.outcome
    world.record()
    settled = an_event("event-a-1", settled=sharing.Settled(list="court", case_reference="case-3"))
    mismatch = an_event("event-a-2", identity_mismatch=sharing.IdentityMismatch(decision_id=refused.decision_id))
    reported = await staff.call(
        "SharingService/ReportEvents",
        sharing.ReportEventsRequest(events=[settled, mismatch]),
        sharing.ReportEventsResponse,
        "lender-key",
    )
    assert ["receipt", "receipt"] == [each.WhichOneof("result") for each in reported.results]
    assert (
        2 == PartnerReports(world.home.registry, world.home.rights, world.home.journal, clock=world.home.clock).take_over()
    )
    world.grow("court", "books")
    watched = await world.watch("lender-key", cursor="oldest")
    dispute = redress.OpenDisputeRequest(list="court", key="key-1", ground=redress.DISPUTE_GROUND_WRONG_FACTS)
    case = (await world.ask("operator-key", "RedressService/OpenDispute", dispute)).case
    dispute.list, dispute.key = OWN, "key-7"
    await world.ask("operator-key", "RedressService/OpenDispute", dispute)
    listed = await world.ask("auditor-key", "RedressService/ListCases", redress.ListCasesRequest(list="court", page_size=1))
    both = (await world.ask("auditor-key", "RedressService/ListCases", redress.ListCasesRequest(list="court"))).cases
    (found,) = (each.case_id for each in both if each.kind == redress.CASE_KIND_IDENTITY_MISMATCH)
    number = await world.ask(
        "reviewer-key",
        "RedressService/IssueRedressNumber",
        redress.IssueRedressNumberRequest(
            list="court", key="key-1", mistaken=wire(resident_id(1)), own=wire(passport(1)), why="a namesake"
        ),
    )
    entries = await world.ask(
        "auditor-key", "RegistryService/ListEntries", registry.ListEntriesRequest(list="court", page_size=1)
    )
    plan = await world.ask(
        "operator-key",
        "RegistryService/PlanBulk",
        registry.PlanBulkRequest(
            step=registry.BULK_STEP_RELEASE,
            ground=registry.RELEASE_GROUND_PAID,
            query=registry.EntryQuery(list="court", key_prefix="key-2"),
        ),
    )
    for person in (1, 2):
        given = GivenIdentifier(resident_id(person).kind, resident_id(person).value, "")
        code, _ = world.home.desks.subjects.issue_code(given, actor="olga")
        world.sessions[person], _ = world.home.desks.subjects.begin_session(given, code)
    world.foreign = Names(
        mark="event-foreign",
        decision_id=refused.decision_id,
        event_id="event-a-1",
        receipt_of="event-a-2",
        cursor=watched.cursor,
        subject=refused.reasons[0].subject,
        partner_list="books",
        list="court",
        key="key-1",
        case_reference="case-1",
        case_id=case.case_id,
        mismatch_id=found,
        number_id=number.number_id,
        redress_number=number.redress_number,
        import_id=await _held_import(world),
        key_id="id-lender-key",
        partner="lender",
        reviewer="carl",
        entries_token=entries.next_page_token,
        cases_token=listed.next_page_token,
        plan=plan.plan,
        action="loan.apply",
        attribute="amount",
        purpose="lending",
        person=resident_id(4),
        phone=phone(1).value,
    )
    world.absent = _never_given(world.foreign)


def _never_given(given: Names) -> Names:
    """Make up names of the same form as those that were given out."""
    feed, mark = given.cursor.split("-")
    return Names(
        mark="event-absence",
        decision_id=_turned(given.decision_id),
        event_id="event-a-9",
        receipt_of="event-a-8",
        cursor=f"{feed}-{_turned(mark)}",
        subject=_turned(given.subject),
        partner_list="moons",
        list="caves",
        key="key-9",
        case_reference="case-9",
        case_id=_turned(given.case_id),
        mismatch_id=_turned(given.mismatch_id),
        number_id=_turned(given.number_id),
        redress_number=format_number(make_number(lambda count: b"\x5a" * count)),
        import_id=given.import_id + 9,
        key_id="id-nobody-key",
        partner="nobody",
        reviewer="cora",
        entries_token=_turned(given.entries_token),
        cases_token=_turned(given.cases_token),
        plan=_turned(given.plan),
        action="tea.drinks",
        attribute="amours",
        purpose="knowing",
        person=resident_id(5),
        phone=phone(5).value,
    )


def _turned(text: str) -> str:
    """Make another text of the same characters up."""
    assert text[::-1] != text
    return text[::-1]


async def _put(world: Tenants, entry: registry.Entry, *more: Identifier) -> None:
    entry.identifiers.extend(wire(each) for each in more)
    stored = (await world.staff.put(entry)).entry
    names = [each.name for each in world.home.registry.policy().lists]
    record = Record(
        names.index(entry.list) + 1, legal_index=0, until=FAR, entry_id=stored.entry_id, case_reference=entry.case_reference
    )
    for given in entry.identifiers:
        for token in TOKENISER.index_tokens(Identifier(given.kind, given.value, given.country)):
            world.index.setdefault(token, []).append(record)


async def _held_import(world: Tenants) -> int:
    """Import the court's list without most of its entries: that takes a second person."""
    opening = registry.ImportEntriesRequest.Opening(list="court", mode=registry.IMPORT_MODE_FULL)
    rows = registry.ImportEntriesRequest.Rows(entries=[an_entry(1)])
    parts = (registry.ImportEntriesRequest(opening=opening), registry.ImportEntriesRequest(rows=rows))
    call = world.bench.channel.stream_unary("/portcullis.v1.RegistryService/ImportEntries")
    answer = await call(iter([each.SerializeToString() for each in parts]), metadata=bearer("editor-key"), timeout=10)
    report = registry.ImportEntriesResponse.FromString(answer)
    assert report.held
    return int(report.import_id)


def pairs(one: Names, other: Names) -> Iterable[tuple[str, str, str]]:
    """Give the texts of both by their names, the longest first, so that none is looked for within another."""
    others = other.texts()
    told = ((name, value, others[name]) for name, value in one.texts().items())
    return sorted(told, key=lambda each: -len(each[1]))


def agreeing(the_policy: Policy, name: str, **changes: Any) -> Policy:
    """Change what is agreed with one partner."""
    partners = tuple(
        msgspec.structs.replace(each, agreements=tuple(msgspec.structs.replace(one, **changes) for one in each.agreements))
        if each.name == name
        else each
        for each in the_policy.partners
    )
    return msgspec.structs.replace(the_policy, partners=partners)
