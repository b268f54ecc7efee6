"""A stream that is open obeys what is agreed when each of its messages goes, not what was agreed when it began.

The agreement ends by the clock, is cut or loses its partner, the credential ends or becomes another's, while the stream is
open: the next message obeys.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import grpc
import msgspec
import pytest

from portcullis.adapters.dev_ca import DevAuthority, general_name
from portcullis.config import Transport
from portcullis.domain.caller_certificates import CallerCertificate
from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import NotFound
from portcullis.domain.policies import Credentials, Policy
from portcullis.domain.shared_events import EventKind
from portcullis.gateway.transport.peers import FORWARDED, read_certificate
from portcullis.v1 import check_service_pb2 as check
from portcullis.v1 import sharing_service_pb2 as sharing
from portcullis.v1 import types_pb2
from tests.support.gateways import refusal
from tests.support.people import resident_id
from tests.support.tenants import OWN, MovedClock, Tenants, agreeing, an_event, bare_tenants, bearer, the_policy, wire

DENIED, UNAUTHENTICATED = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
SHOP = "spiffe://portcullis.example/partner/shop"

Change = Callable[["World"], Awaitable[None]]


class World:
    """A gateway, its clock, and what may be changed about the second partner."""

    def __init__(self, tenants: Tenants, clock: MovedClock) -> None:
        self.tenants = tenants
        self.clock = clock

    async def agree(self, **changes: Any) -> None:
        """Change what is agreed with the second partner, which else holds for a while."""
        changes = {"valid_until": int(self.clock.now()) + 1000, **changes}
        await self.tenants.publish(agreeing(the_policy(), "shop", **changes))

    def check(self, metadata: list[tuple[str, str]]) -> Any:
        return self.tenants.bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(
            metadata=metadata, timeout=20
        )

    def watch(self, metadata: list[tuple[str, str]], *lists: str) -> Any:
        body = sharing.WatchChangesRequest(lists=lists).SerializeToString()
        return self.tenants.bench.channel.unary_stream("/portcullis.v1.SharingService/WatchChanges")(
            body, metadata=metadata, timeout=20
        )

    def report(self, metadata: list[tuple[str, str]]) -> Any:
        return self.tenants.bench.channel.stream_unary("/portcullis.v1.SharingService/StreamEvents")(
            metadata=metadata, timeout=20
        )


@pytest.fixture(params=get_args(Transport))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    clock = MovedClock()
    async with bare_tenants(request.param, tmp_path, clock) as tenants:
        yield World(tenants, clock)


KEY = bearer("shop-key")


async def the_clock_passes(world: World) -> None:
    world.clock.ahead_s += 2000


async def the_agreement_is_shortened(world: World) -> None:
    await world.agree(valid_until=int(time.time()) - 1)


async def the_partner_leaves(world: World) -> None:
    whole = the_policy()
    partners = tuple(each for each in whole.partners if each.name != "shop")
    await world.tenants.publish(msgspec.structs.replace(whole, partners=partners))


async def the_key_is_revoked(world: World) -> None:
    world.tenants.home.desks.keys.revoke("id-shop-key", actor="olga")
    await world.tenants.publish()


def without(**changes: Any) -> Change:
    """Take something out of the agreement."""

    async def cut(world: World) -> None:
        await world.agree(**changes)

    return cut


ENDS: dict[str, Change] = {
    "its end comes": the_clock_passes,
    "its end is moved": the_agreement_is_shortened,
    "its partner leaves": the_partner_leaves,
}
"""How an agreement ends."""


async def ask(stream: Any, number: int = 7) -> check.CheckResult:
    """Ask whether somebody may hire a bike."""
    question = check.CheckRequest(identifiers=[wire(resident_id(number))], action="bike.hire", purpose="hiring")
    await stream.write(check.StreamCheckRequest(check=question).SerializeToString())
    return check.StreamCheckResponse.FromString(await stream.read()).result


CUT_FROM_CHECKS: dict[str, tuple[Change, int]] = {
    **{name: (change, DENIED.value[0]) for name, change in ENDS.items()},
    "its action is taken out": (without(actions=("call.identify",)), DENIED.value[0]),
    "its purpose is taken out": (without(purposes=("caller-identification",)), DENIED.value[0]),
    "all of its lists on the action are taken out": (
        without(lists=("books",)),
        grpc.StatusCode.FAILED_PRECONDITION.value[0],
    ),
}


async def test_a_check_on_an_open_stream_is_refused_when_what_it_rests_on_ends(world: World) -> None:
    stream = world.check(KEY)
    for name, (cut, code) in CUT_FROM_CHECKS.items():
        await world.agree()
        assert (name, types_pb2.OUTCOME_RESTRICT) == (name, (await ask(stream)).response.outcome)
        await cut(world)
        refused = await ask(stream)
        assert (name, code, False) == (name, refused.error.code, refused.HasField("response"))
    stream.cancel()


async def test_a_list_that_leaves_the_agreement_gives_no_reason_on_an_open_stream(world: World) -> None:
    stream = world.check(KEY)
    assert [OWN] == [each.list for each in (await ask(stream)).response.reasons]
    await world.agree(lists=("court",))
    told = (await ask(stream)).response
    assert (types_pb2.OUTCOME_ALLOW, []) == (told.outcome, list(told.reasons))
    assert ["court"] == [each.list for each in (await ask(stream, 1)).response.reasons]
    stream.cancel()


async def test_checks_on_an_open_stream_end_with_the_key(world: World) -> None:
    stream = world.check(KEY)
    await ask(stream)
    await the_key_is_revoked(world)
    code, reason, _, _ = await refusal(ask(stream))
    assert (UNAUTHENTICATED, "UNAUTHENTICATED") == (code, reason)


async def read(stream: Any) -> sharing.WatchChangesResponse:
    return sharing.WatchChangesResponse.FromString(await stream.read())


async def changes(stream: Any, count: int = 1) -> list[str]:
    """Give the lists of the next changes; heartbeats pass."""
    found: list[str] = []
    while len(found) < count:
        told = await read(stream)
        found += [told.change.list] if told.HasField("change") else []
    return found


async def outcome_of(stream: Any) -> tuple[grpc.StatusCode, list[str]]:
    """Read until a watch ends; gives its code and the lists of the changes that it told before."""
    told: list[str] = []
    while True:
        try:
            message = await read(stream)
        except grpc.aio.AioRpcError as fault:
            return fault.code(), told
        told += [message.change.list] if message.HasField("change") else []


CUT_FROM_WATCHES: dict[str, tuple[Change, tuple[str, ...], grpc.StatusCode]] = {
    **{name: (change, (), DENIED) for name, change in ENDS.items()},
    "the list that it named is taken out": (without(lists=("court",)), (OWN,), DENIED),
    "the key is revoked": (the_key_is_revoked, (), UNAUTHENTICATED),
}


async def test_an_open_watch_ends_and_tells_nothing_more_when_what_it_rests_on_ends(world: World) -> None:
    for name, (cut, lists, code) in CUT_FROM_WATCHES.items():
        await world.agree()
        stream = world.watch(KEY, *lists)
        await read(stream)
        world.tenants.grow(OWN)
        assert (name, [OWN]) == (name, await changes(stream))
        await cut(world)
        world.tenants.grow(OWN, "court")
        assert (name, code, []) == (name, *await outcome_of(stream))


async def test_an_open_watch_is_told_of_no_list_that_has_left_the_agreement(world: World) -> None:
    stream = world.watch(KEY)
    await read(stream)
    world.tenants.grow(OWN, "court", "books")
    assert [OWN, "court"] == await changes(stream, 2)
    await world.agree(lists=("court",))
    world.tenants.grow(OWN, "books", "court")
    assert ["court"] == await changes(stream)
    stream.cancel()


async def test_an_open_watch_is_told_of_no_kind_of_change_that_has_left_the_agreement(world: World) -> None:
    stream = world.watch(KEY)
    await read(stream)
    await world.agree(changes=tuple(each for each in ChangeKind if each is not ChangeKind.ENTRY_ADDED))
    world.tenants.grow(OWN)
    quiet = [await read(stream) for _ in range(3)]
    assert [False] * 3 == [each.HasField("change") for each in quiet]
    await world.agree()
    world.tenants.grow("court")
    assert ["court"] == await changes(stream)
    stream.cancel()


def settled(event_id: str, list_name: str = OWN) -> bytes:
    event = an_event(event_id, settled=sharing.Settled(list=list_name, case_reference="case-7"))
    return sharing.StreamEventsRequest(event=event).SerializeToString()


async def recorded(world: World, event_id: str) -> None:
    """Wait until an event of the second partner's is in the journal."""
    deadline = time.monotonic() + 10
    while True:
        try:
            world.tenants.home.journal.receipt("shop", event_id)
        except NotFound:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        else:
            return


def codes(results: Iterable[sharing.EventResult]) -> list[int]:
    return [each.error.code for each in results]


CUT_FROM_EVENTS: dict[str, Change] = {
    **ENDS,
    "its list is taken out": without(lists=("court",)),
    "its kind of event is taken out": without(events=tuple(each for each in EventKind if each is not EventKind.SETTLED)),
}


async def test_an_event_on_an_open_stream_is_refused_when_what_it_rests_on_ends(world: World) -> None:
    for place, (name, cut) in enumerate(CUT_FROM_EVENTS.items()):
        await world.agree()
        stream = world.report(KEY)
        await stream.write(settled(f"one-{place}"))
        await recorded(world, f"one-{place}")
        await cut(world)
        await stream.write(settled(f"two-{place}"))
        await stream.done_writing()
        results = sharing.StreamEventsResponse.FromString(await stream).results
        assert (name, [0, DENIED.value[0]]) == (name, codes(results))
        with pytest.raises(NotFound):
            world.tenants.home.journal.receipt("shop", f"two-{place}")


async def decided(world: World) -> str:
    """Have a customer refused; gives the decision, which is in the journal."""
    response = await world.tenants.check(resident_id(7), "shop-key", action="bike.hire", purpose="hiring")
    world.tenants.record()
    return response.decision_id


async def report(world: World, *events: sharing.Event) -> list[int]:
    request = sharing.ReportEventsRequest(events=events)
    method = "SharingService/ReportEvents"
    answer = await world.tenants.staff.call(method, request, sharing.ReportEventsResponse, "shop-key")
    return codes(answer.results)


CUT_FROM_REPORTS: dict[str, Change] = {
    **ENDS,
    "the decision's list is taken out": without(lists=("court",)),
    "the kind is taken out": without(events=(EventKind.SETTLED,)),
}


async def test_what_was_done_about_a_decision_is_taken_under_the_agreement_of_the_day_it_is_reported(world: World) -> None:
    for place, (name, cut) in enumerate(CUT_FROM_REPORTS.items()):
        await world.agree()
        done = sharing.Enforced(decision_id=await decided(world))
        first, second = (an_event(f"{each}-{place}", enforced=done) for each in ("one", "two"))
        assert (name, [0]) == (name, await report(world, first))
        await cut(world)
        assert (name, [DENIED.value[0]]) == (name, await report(world, second))
        own = sharing.GetReceiptRequest(event_id=first.event_id)
        kept = await world.tenants.staff.call("SharingService/GetReceipt", own, sharing.GetReceiptResponse, "shop-key")
        assert first.event_id == kept.receipt.event_id
        await world.agree()
        assert (name, [0]) == (name, await report(world, second))


@asynccontextmanager
async def behind_a_proxy(transport: Transport, folder: Path) -> AsyncIterator[World]:
    """The same, behind a proxy that tells of certificates, and the shop known by its certificate alone."""
    clock = MovedClock()
    async with bare_tenants(transport, folder, clock, forwarded_by="loopback") as tenants:
        await tenants.publish(named("shop"))
        yield World(tenants, clock)


def certificate_of(world: World) -> tuple[CallerCertificate, list[tuple[str, str]]]:
    """Make a certificate of the shop's; gives it, and the header in which the proxy tells of it."""
    pem, _ = DevAuthority(world.clock).issue("shop", [general_name(SHOP)]).pem()
    return read_certificate(pem), [(FORWARDED, f'Cert="{quote(pem.decode(), safe="")}"')]


def named(partner: str) -> Policy:
    """The policy in which the shop's certificates name this partner."""
    whole = the_policy(lists=("court", OWN))
    partners = tuple(
        msgspec.structs.replace(each, credentials=Credentials.CERTIFICATE, certificates=(SHOP,))
        if each.name == partner
        else each
        for each in whole.partners
    )
    return msgspec.structs.replace(whole, partners=partners)


ENDS_OF_CERTIFICATES = ["it is revoked", "its time ends", "its name becomes another partner's"]


async def end(world: World, certificate: CallerCertificate, how: str) -> None:
    """End what a certificate is good for."""
    if how == "it is revoked":
        await world.tenants.publish(named("shop"), revoked=(certificate.serial,))
    elif how == "its time ends":
        world.clock.ahead_s += certificate.not_after - world.clock.now() + 1
    else:
        await world.tenants.publish(named("lender"))


@pytest.mark.parametrize("how", ENDS_OF_CERTIFICATES)
@pytest.mark.parametrize("transport", get_args(Transport))
async def test_an_open_watch_ends_with_the_certificate_that_opened_it(
    transport: Transport, tmp_path: Path, how: str
) -> None:
    async with behind_a_proxy(transport, tmp_path) as world:
        certificate, metadata = certificate_of(world)
        watch = world.watch(metadata)
        await read(watch)
        await end(world, certificate, how)
        world.tenants.grow("court", "books")
        assert (UNAUTHENTICATED, []) == await outcome_of(watch)


@pytest.mark.parametrize("how", ENDS_OF_CERTIFICATES)
async def test_what_is_sent_on_an_open_stream_is_refused_once_its_certificate_ends(tmp_path: Path, how: str) -> None:
    async with behind_a_proxy("grpcio", tmp_path) as world:
        certificate, metadata = certificate_of(world)
        checks, events = world.check(metadata), world.report(metadata)
        assert types_pb2.OUTCOME_RESTRICT == (await ask(checks)).response.outcome
        await events.write(settled("one"))
        await recorded(world, "one")
        await end(world, certificate, how)
        await events.write(settled("two", "court"))
        await events.done_writing()
        assert UNAUTHENTICATED == await events.code()
        for partner in ("shop", "lender"):
            with pytest.raises(NotFound):
                world.tenants.home.journal.receipt(partner, "two")
        if how == ENDS_OF_CERTIFICATES[-1]:
            # Each check is judged for whom the credential names at that moment: the lender may not ask for hiring.
            assert DENIED.value[0] == (await ask(checks)).error.code
            checks.cancel()
        else:
            assert UNAUTHENTICATED == (await refusal(ask(checks)))[0]


@pytest.mark.parametrize("transport", get_args(Transport))
async def test_a_check_that_waits_is_answered_for_whom_its_credential_names_in_the_end(
    transport: Transport, tmp_path: Path
) -> None:
    async with behind_a_proxy(transport, tmp_path) as world:
        _, metadata = certificate_of(world)
        bench = world.tenants.bench
        question = check.CheckRequest(identifiers=[wire(resident_id(7))], action="bike.hire", purpose="hiring")
        question.at_least_snapshot = str(bench.version + 1)
        batch = check.BatchCheckRequest(requests=[question])
        admitted = count_admissions(world)
        waiting = [
            asyncio.ensure_future(_unary(world, method, request.SerializeToString(), metadata))
            for method, request in (("Check", question), ("BatchCheck", batch))
        ]
        deadline = time.monotonic() + 10
        while len(admitted) < len(waiting):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        assert [False, False] == [each.done() for each in waiting]
        await world.tenants.publish(named("lender"))
        assert [DENIED, UNAUTHENTICATED] == [(await refusal(each))[0] for each in waiting]


def count_admissions(world: World) -> list[str]:
    """Note whom the present snapshot's callers are admitted as."""
    callers, admitted = world.tenants.bench.gateway.callers(), []
    admit = callers.admit

    def counted(*args: Any) -> Any:
        caller = admit(*args)
        admitted.append(caller.holder)
        return caller

    callers.admit = counted  # type: ignore[method-assign]
    return admitted


async def _unary(world: World, method: str, body: bytes, metadata: list[tuple[str, str]]) -> bytes:
    call = world.tenants.bench.channel.unary_unary(f"/portcullis.v1.CheckService/{method}")
    answer: bytes = await call(body, metadata=metadata, timeout=10)
    return answer


async def test_what_is_sent_on_a_native_stream_believes_no_proxy_since_its_peer_is_not_told(tmp_path: Path) -> None:
    async with behind_a_proxy("native", tmp_path) as world:
        _, metadata = certificate_of(world)
        for call in (ask(world.check(metadata)), world.report(metadata)):
            assert UNAUTHENTICATED == (await refusal(call))[0]


@pytest.mark.parametrize("how", ENDS_OF_CERTIFICATES[:2])
async def test_a_native_stream_ends_with_the_certificate_that_a_proxy_told_of_though_its_key_is_good(
    tmp_path: Path, how: str
) -> None:
    async with behind_a_proxy("native", tmp_path) as world:
        certificate, told = certificate_of(world)
        both = [*told, *bearer("lender-key")]
        question = check.CheckRequest(identifiers=[wire(resident_id(7))], action="loan.apply", purpose="lending")
        item = check.StreamCheckRequest(check=question).SerializeToString()
        standing = world.check(both)
        await standing.write(item)
        assert check.StreamCheckResponse.FromString(await standing.read()).result.HasField("response")
        await end(world, certificate, how)
        # It may have been ended before anything more is asked.
        with suppress(asyncio.InvalidStateError):
            await standing.write(item)
        for refused in (standing.read(), world.check(both).read(), world.report(both)):
            assert UNAUTHENTICATED == (await refusal(refused))[0]
        # Who forges the header has had their own call refused, and nobody else's.
        alone = world.check(bearer("lender-key"))
        await alone.write(item)
        assert check.StreamCheckResponse.FromString(await alone.read()).result.HasField("response")
        alone.cancel()
