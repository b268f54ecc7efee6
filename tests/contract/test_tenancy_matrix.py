"""Every method of a running server, found by reflection: what is another's and what never was get one answer.

For each question of `tests.support.tenancy_table` everybody who may call the method, and every partner, asks
twice: with names of the first partner's and the court's, and with names of the same form that were never given out. The
two answers are equal in code, reason, message, details and size. That the names are real is shown by their owner, who gets
two different answers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from portcullis.config import Transport
from portcullis.domain.roles import MATRIX, Role
from tests.support.reflection import methods_of
from tests.support.tenancy_table import CONTENT, NAMING, ROWS
from tests.support.tenants import LIMITED, OWN, Tenants, bearer, pairs, tenants

PARTNERS = ("shop-key", "former-key", "coming-key")
MADE_ANEW = {
    "decision_id",
    "sequence",
    "recorded_at",
    "entry_hash",
    "age",
    "published_at",
    "padding",
    "Receipt.event_id",
    "ImportEntriesResponse.import_id",
    "IssueSubjectCodeResponse.code",
    "IssueSubjectCodeResponse.expires_at",
}
"""Fields of answers that are others at each call, or came with the request."""
_OWNERS = {
    Role.PARTNER: "lender-key",
    Role.AUTHORITY_EDITOR: "editor-key",
    Role.AUTHORITY_APPROVER: "approver-key",
    Role.REVIEWER: "reviewer-key",
    Role.OPERATOR: "operator-key",
    Role.AUDITOR: "auditor-key",
}
_ID = re.compile(r"\b[0-9a-f]{32}\b")


@pytest.fixture(params=get_args(Transport))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tenants]:
    async with tenants(request.param, tmp_path) as made:
        yield made


class Answer(NamedTuple):
    """All that a caller can tell of an answer, names and what is made anew taken out."""

    code: str
    text: str
    details: str
    size: int


class Methods:
    """The methods of a server."""

    def __init__(self, port: int) -> None:
        self.by_name: dict[str, MethodDescriptor] = methods_of(port)

    async def ask(
        self, world: Tenants, name: str, requests: Sequence[Message], key: str | None, more: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """Call a method; of an answer without end, the first message counts."""
        method = self.by_name[name]
        bodies = [each.SerializeToString() for each in requests]
        try:
            async with asyncio.timeout(10):
                told = await _call(world.bench.channel, name, method, bodies, [*bearer(key), *more])
        except grpc.aio.AioRpcError as fault:
            return _refused(fault, world)
        kind = GetMessageClass(method.output_type)
        texts = []
        for body in told:
            message = kind.FromString(body)
            _strip(message)
            texts.append(str(message))
        text = _masked("\n".join(texts), world)
        return Answer("OK", text, "", len(text))


async def _call(
    channel: grpc.aio.Channel, name: str, method: MethodDescriptor, bodies: Sequence[bytes], metadata: list[tuple[str, str]]
) -> list[bytes]:
    path = f"/{name}"
    body = bodies[0] if bodies else b""
    if method.client_streaming and method.server_streaming:
        return [each async for each in channel.stream_stream(path)(iter(bodies), metadata=metadata)]
    if method.client_streaming:
        return [await channel.stream_unary(path)(iter(bodies), metadata=metadata)]
    if method.server_streaming:
        stream = channel.unary_stream(path)(body, metadata=metadata)
        first = await stream.read()
        stream.cancel()
        return [first]
    return [await channel.unary_unary(path)(body, metadata=metadata)]


def _refused(fault: grpc.aio.AioRpcError, world: Tenants) -> Answer:
    status = rpc_status.from_call(fault)  # type: ignore[arg-type]
    details = []
    for detail in status.details if status else ():
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if detail.Unpack(message):
                details.append(f"{kind.DESCRIPTOR.name} {message}")
    trailing = sorted(str(key) for key, _ in fault.trailing_metadata() or ())
    text, told = _masked(str(fault.details()), world), _masked(f"{details} {trailing}", world)
    return Answer(fault.code().name, text, told, status.ByteSize() if status else 0)


def _strip(message: Message) -> None:
    """Take out what is made anew at each call, at any depth."""
    for field, value in message.ListFields():
        if not MADE_ANEW.isdisjoint((field.name, f"{message.DESCRIPTOR.name}.{field.name}")):
            message.ClearField(field.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in value if isinstance(value, Sequence) or hasattr(value, "add") else (value,):
                if isinstance(each, Message):
                    _strip(each)


def _masked(text: str, world: Tenants) -> str:
    """Put one word for each name, whether it was given out or not."""
    for name, foreign, absent in pairs(world.foreign, world.absent):
        text = text.replace(foreign, f"<{name}>").replace(absent, f"<{name}>")
    return _ID.sub("<id>", text)


def askers(method: str, world: Tenants) -> Iterator[tuple[str, str | None]]:
    """Give who asks: every partner, one of them alone where none may, and of the others who may."""
    roles = MATRIX[method]
    yield from ((key, key) for key in PARTNERS[: None if Role.PARTNER in roles or Role.ANYONE in roles else 1])
    yield from ((f"{role} of {OWN}", f"{OWN}-{role}") for role in LIMITED if role in roles)
    if Role.SUBJECT in roles:
        yield "another subject", world.sessions[2]
    if Role.ANYONE in roles:
        yield "anyone", None


def owners(method: str, world: Tenants) -> Iterator[tuple[str, str]]:
    """Give whose the names are, of those who may call the method."""
    for role in sorted(MATRIX[method]):
        if role == Role.SUBJECT:
            yield "the subject", world.sessions[1]
        elif role in _OWNERS:
            yield str(role), _OWNERS[role]


async def test_what_is_anothers_and_what_never_was_get_one_answer(world: Tenants) -> None:
    methods = await asyncio.to_thread(Methods, world.bench.port)
    assert set(ROWS) == set(methods.by_name)
    leaks, cells = {}, 0
    for name in methods.by_name:
        for ask in ROWS[name].asks:
            for who, key in askers(name, world):
                foreign = await methods.ask(world, name, ask.requests(world.foreign), key)
                absent = await methods.ask(world, name, ask.requests(world.absent), key)
                cells += 1
                if foreign != absent:
                    leaks[name, ask.what, who] = (foreign, absent)
    assert {} == leaks
    assert cells > 400


async def test_whose_the_names_are_gets_two_answers_so_the_names_are_real(world: Tenants) -> None:
    methods = await asyncio.to_thread(Methods, world.bench.port)
    blind = []
    for name in methods.by_name:
        for ask in ROWS[name].asks:
            told = [
                await methods.ask(world, name, ask.requests(world.foreign), key)
                != await methods.ask(world, name, ask.requests(world.absent), key)
                for _, key in owners(name, world)
            ]
            if bool(ask.alike) == any(told) and Role.ANYONE not in MATRIX[name]:
                blind.append((name, ask.what, ask.alike))
    assert [] == blind


@pytest.mark.parametrize("world", ["grpcio"], indirect=True)
async def test_names_that_were_given_out_and_those_that_were_not_are_of_one_form(world: Tenants) -> None:
    for name, foreign, absent in pairs(world.foreign, world.absent):
        assert (name, len(foreign)) == (name, len(absent))
        assert foreign != absent, name


@pytest.mark.parametrize("world", ["grpcio"], indirect=True)
async def test_every_field_of_a_request_that_names_something_is_asked_with(world: Tenants) -> None:
    methods = await asyncio.to_thread(Methods, world.bench.port)
    unknown, unasked = set(), []
    for name, method in methods.by_name.items():
        if not name.startswith("portcullis.") or not ROWS[name].asks:
            continue
        asked = {
            field
            for ask in ROWS[name].asks
            for one, other in zip(ask.requests(world.foreign), ask.requests(world.absent), strict=True)
            for field in _differing(one, other)
        }
        for field in _leaves(method.input_type):
            if field in NAMING or field.partition(".")[2] in NAMING:
                unasked += [] if field in asked else [(name, field)]
            elif field.partition(".")[2] not in CONTENT:
                unknown.add((name, field))
    assert set() == unknown
    assert [] == unasked


def _leaves(message: Descriptor, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Give the fields of a request that hold a value, at any depth, as Message.field."""
    for field in message.fields:
        if field.message_type is not None and field.message_type.full_name not in seen:
            yield from _leaves(field.message_type, seen | {message.full_name})
        elif field.message_type is None and field.enum_type is None:
            yield f"{message.name}.{field.name}"


def _differing(one: Message, other: Message) -> Iterator[str]:
    """Give the fields that two requests differ in, as Message.field."""
    for field in one.DESCRIPTOR.fields:
        mine, others = getattr(one, field.name), getattr(other, field.name)
        if mine == others:
            continue
        if field.message_type is None:
            yield f"{one.DESCRIPTOR.name}.{field.name}"
        elif isinstance(mine, Message):
            yield from _differing(mine, others)
        else:
            for each, another in zip(mine, others, strict=True):
                yield from _differing(each, another)


FORGED: tuple[tuple[str, str], ...] = (
    ("x-partner", "lender"),
    ("partner", "lender"),
    ("x-portcullis-partner", "lender"),
    ("x-tenant-id", "lender"),
    ("x-forwarded-user", "lender"),
    ("x-forwarded-for", "10.0.0.1"),
    ("forwarded", "for=lender;host=lender"),
    ("x-forwarded-client-cert", 'By=spiffe://x;Hash=00;Cert="";URI=spiffe://example/lender'),
    ("x-api-key", "lender-key"),
    ("proxy-authorization", "Bearer lender-key"),
    ("cookie", "authorization=Bearer lender-key"),
    ("authorization", "Bearer lender-key"),
)
"""Headers by which a caller could pretend to be the lender; the last comes after the caller's own."""


async def test_no_header_makes_a_call_anothers(world: Tenants) -> None:
    methods = await asyncio.to_thread(Methods, world.bench.port)
    asked = [
        ("portcullis.v1.CheckService/Check", "an action and its purpose"),
        ("portcullis.v1.SharingService/GetReceipt", "a receipt"),
        ("portcullis.v1.SharingService/WatchChanges", "a cursor"),
        ("portcullis.v1.SharingService/ReportEvents", "ENFORCED"),
    ]
    for name, what in asked:
        (requests,) = (each.requests(world.foreign) for each in ROWS[name].asks if each.what == what)
        own = await methods.ask(world, name, requests, "shop-key")
        assert "OK" == (await methods.ask(world, name, requests, "lender-key")).code
        for header in FORGED:
            assert own == await methods.ask(world, name, requests, "shop-key", [header]), (name, header[0])
            if header[0] != "authorization":
                assert "UNAUTHENTICATED" == (await methods.ask(world, name, requests, None, [header])).code


async def test_no_authority_that_is_called_by_makes_a_call_anothers(world: Tenants) -> None:
    name = "portcullis.v1.SharingService/GetReceipt"
    (ask,) = ROWS[name].asks
    (request,) = ask.requests(world.foreign)
    options = [("grpc.default_authority", "lender")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.bench.port}", options=options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{name}")(request.SerializeToString(), metadata=bearer("shop-key"))
    assert grpc.StatusCode.NOT_FOUND == caught.value.code()


@pytest.mark.parametrize("world", ["grpcio"], indirect=True)
async def test_a_partner_named_in_a_request_gives_no_partner_more(world: Tenants) -> None:
    """No request of a partner's has such a field; one of the staff's is refused by the role before it is read."""
    methods = await asyncio.to_thread(Methods, world.bench.port)
    naming = {
        name
        for name, method in methods.by_name.items()
        if any(".partner" == each[-8:] for each in _leaves(method.input_type))
    }
    assert naming
    assert not any(Role.PARTNER in MATRIX[name] or Role.ANYONE in MATRIX[name] for name in naming)
