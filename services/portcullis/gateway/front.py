"""The front: admission before every method, and one way for errors out.

Methods get the raw bytes of a request, so that a caller is admitted before anything of its body is parsed, and so that
bytes which are no protobuf become INVALID_ARGUMENT rather than the transport's INTERNAL. Every handler of a service is made
here; there is no interceptor, since one costs 25 µs a call.

A handler is made under the method's full name, by which `portcullis.domain.roles` says who may call it: that is looked up
when the handler is made, and a method that has no row there is not made.
"""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from grpc_status import rpc_status

from portcullis.config import Settings
from portcullis.domain.errors import PortcullisError, Refused, Unauthenticated
from portcullis.domain.roles import Role, roles_of
from portcullis.gateway.admission import ANYBODY, Caller, Callers
from portcullis.gateway.messages.refusals import KeptStatuses
from portcullis.gateway.messages.requests import parse, parse_texts
from portcullis.gateway.messages.statuses import to_status
from portcullis.gateway.transport.peers import Peers
from portcullis.gateway.transport.shedding import Pressure
from portcullis.gateway.transport.vital import VITAL
from portcullis.metrics import CheckTally

# The stubs make these generic, the library does not: the aliases are texts.
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Handlers: TypeAlias = "Mapping[str, Handler]"
UnaryBytes: TypeAlias = "Callable[[bytes, Context], Awaitable[bytes]]"
StreamBytes: TypeAlias = "Callable[[AsyncIterator[bytes], Context], Awaitable[None]]"
ClientStreamBytes: TypeAlias = "Callable[[AsyncIterator[bytes], Context], Awaitable[bytes]]"
ServerStreamBytes: TypeAlias = "Callable[[bytes, Context], Awaitable[None]]"
Admission: TypeAlias = "Callable[[Callers, Context, Collection[Role]], Caller]"

_M = TypeVar("_M", bound=Message)
_log = structlog.get_logger(__name__)


class Front:
    """Makes handlers. Each maker raises LookupError for a method that no row says who may call it.

    Args:
        callers: gives the callers that are known now; may raise NoSnapshot.
        tally: counts errors by reason.
        peers: reads callers' certificates; None where no caller can have shown one.

    Attributes:
        pressure: how far the event loop is behind.
        admit_among: names the caller of a call among those that an edition knows; raises as `admit`.
    """

    def __init__(self, callers: Callable[[], Callers], tally: CheckTally, peers: Peers | None = None) -> None:
        self._callers = callers
        self._tally = tally
        self._kept_statuses = KeptStatuses()
        self.pressure = Pressure()
        self.admit_among: Admission = admit_by_key if peers is None else _admission_by(peers)

    def admit(self, context: Context, roles: Collection[Role]) -> Caller:
        """Name the caller; a method that goes on for long asks again, for its key may be revoked meanwhile.

        Raises:
            Unauthenticated: no credential, or no key that is in force.
            RoleRequired: a good key of another role.
            NoSnapshot: it is not known yet who may call.
        """
        return self.admit_among(self._callers(), context, roles)

    def unary(self, name: str, kind: type[_M], method: Callable[[Caller, _M], Awaitable[Message]]) -> Handler:
        """Make a unary method out of one that takes the caller and the parsed request; ``name`` is its full one."""
        admit = self._admission(name)

        async def call(body: bytes, context: Context) -> bytes:
            caller = admit(context)
            return (await method(caller, parse_texts(kind, body))).SerializeToString()

        return self.raw_unary(name, call)

    def client_stream(
        self, name: str, kind: type[_M], method: Callable[[Caller, AsyncIterator[_M]], Awaitable[Message]]
    ) -> Handler:
        """Make a client-streaming method out of one that takes the caller and the parsed requests.

        The caller is admitted anew for each request and when all have come: its credential may have ended meanwhile.
        """
        admit = self._admission(name)

        async def call(bodies: AsyncIterator[bytes], context: Context) -> bytes:
            caller = admit(context)

            async def requests() -> AsyncIterator[_M]:
                async for body in bodies:
                    _demand_same(caller, admit(context))
                    yield parse(kind, body)
                _demand_same(caller, admit(context))

            return (await method(caller, requests())).SerializeToString()

        return self.raw_client_stream(name, call)

    def demand_still(self, caller: Caller, context: Context, roles: Collection[Role]) -> None:
        """Have the caller of a stream be let in still, as whom it began.

        Raises:
            Unauthenticated: its credential has ended, or is another's by now, as a certificate's name can be.
            RoleRequired, NoSnapshot: as `admit` says.
        """
        _demand_same(caller, self.admit(context, roles))

    def _admission(self, name: str) -> Callable[[Context], Caller]:
        """Give what admits the callers of a method, its roles looked up once."""
        roles = roles_of(name)
        if Role.ANYONE in roles:
            return lambda context: ANYBODY  # noqa: ARG005
        return lambda context: self.admit(context, roles)

    def raw_client_stream(self, name: str, method: ClientStreamBytes) -> Handler:
        """Make a client-streaming method out of one that admits and parses by itself."""
        roles_of(name)

        async def call(bodies: AsyncIterator[bytes], context: Context) -> bytes:
            try:
                return await method(bodies, context)
            except Exception as fault:  # noqa: BLE001 - the one way out
                status = self.status_of(fault)
            return await end_with(status, context)

        return grpc.stream_unary_rpc_method_handler(call)

    def raw_server_stream(self, name: str, method: ServerStreamBytes) -> Handler:
        """Make a server-streaming method out of one that admits and parses by itself, and writes to the context.

        It writes rather than yields so that it learns how long a message waits for its reader.
        """
        roles_of(name)

        async def call(body: bytes, context: Context) -> None:
            try:
                await method(body, context)
            except grpc.aio.InternalError:
                # So grpcio says that a message can't be written: the caller is gone, and nobody is there to be told.
                return
            except Exception as fault:  # noqa: BLE001 - the one way out
                status = self.status_of(fault)
            else:
                return
            await end_with(status, context)

        return grpc.unary_stream_rpc_method_handler(call)

    def raw_unary(self, name: str, method: UnaryBytes) -> Handler:
        """Make a unary method out of one that admits and parses by itself."""
        roles_of(name)
        # What must live through a flood looks at one that never rises.
        pressure = Pressure() if f"/{name}".startswith(VITAL) else self.pressure

        async def call(body: bytes, context: Context) -> bytes:
            try:
                if pressure.behind_s:
                    pressure.demand_time(context)
                return await method(body, context)
            except Exception as fault:  # noqa: BLE001 - the one way out
                status = self.status_of(fault)
            return await end_with(status, context)

        return grpc.unary_unary_rpc_method_handler(call)

    def raw_stream(self, name: str, method: StreamBytes) -> Handler:
        """Make a bidirectional method out of one that admits and parses by itself, and writes to the context.

        It writes rather than yields so that it ends with the call: a generator that is given up while it yields goes on
        holding what it holds until somebody collects it.
        """
        roles_of(name)

        async def call(bodies: AsyncIterator[bytes], context: Context) -> None:
            try:
                await method(bodies, context)
            except grpc.aio.InternalError:
                # So grpcio says that a message can't be written: the caller is gone, and nobody is there to be told.
                return
            except Exception as fault:  # noqa: BLE001 - the one way out
                status = self.status_of(fault)
            else:
                return
            await end_with(status, context)

        return grpc.stream_stream_rpc_method_handler(call)

    def status_of(self, fault: Exception) -> grpc.Status:
        """Count an error, and give the status that a call ends with for it (`end_with`)."""
        self.count(fault)
        return self._kept_statuses.of(fault) if isinstance(fault, Refused) else rpc_status.to_status(to_status(fault))

    def count(self, fault: Exception) -> None:
        """Count an error by its reason; log a fault of ours by its type and place alone, since its text may name someone."""
        if isinstance(fault, PortcullisError):
            self._tally.error(fault.reason)
            return
        self._tally.error(PortcullisError.reason)
        frames = traceback.extract_tb(fault.__traceback__)[-6:]
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
        _log.error("unexpected fault", type=type(fault).__name__, places=places)


def _demand_same(caller: Caller, now: Caller) -> None:
    if now.holder != caller.holder:
        raise Unauthenticated


async def end_with(status: grpc.Status, context: Context) -> bytes:
    """End a call with an error's status; its handler returns at once what this gives.

    To be called outside of the ``except`` that caught the error: should the call be over already, grpcio logs what comes of
    this with all that it is chained to, and an unforeseen error's text may name someone.
    """
    try:
        await context.abort_with_status(status)
    except grpc.aio.AbortError as abort:
        # grpcio keeps it beside the call, and it would keep this frame, which has the call: a ring of objects, left to the
        # garbage collector, which stopped a worker under a flood for 10 ms every second. grpcio raises it again by itself.
        abort.__traceback__ = None
    return b""


def admit_by_key(callers: Callers, context: Context, roles: Collection[Role]) -> Caller:
    """Name the caller where keys are the only credentials; raises as `Front.admit`."""
    return callers.admit(metadata_of(context), roles)


def _admission_by(peers: Peers) -> Admission:
    """Give what names callers by certificates too."""

    def admit(callers: Callers, context: Context, roles: Collection[Role]) -> Caller:
        metadata = metadata_of(context)
        return callers.admit(metadata, roles, peers.certificate_of(context, metadata))

    return admit


def peers_of(settings: Settings) -> Peers | None:
    """Give what reads callers' certificates; None where these settings let no caller show one."""
    if settings.tls_client_ca is None and not settings.forwarded_by:
        return None
    return Peers(settings.forwarded_by)


def metadata_of(context: Context) -> Any:
    """Give a call's metadata as pairs.

    The native transport's public method builds a named tuple of every pair, which costs a sixth of a miss; admission wants
    the pairs that it is built from. A context that keeps none there, as grpcio's and those of another release, is asked
    in the public way.
    """
    pairs = getattr(getattr(context, "_call", None), "metadata", None)
    return (context.invocation_metadata() or ()) if pairs is None else pairs
