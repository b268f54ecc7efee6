"""Serving: our services on a transport, with the standard ones beside them, health and reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import grpc
from grpc_reflection.v1alpha import reflection

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.gateway.front import Handlers
from portcullis.gateway.servicers.health import HEALTH, Health, health_handlers
from portcullis.gateway.servicers.looks import Looks
from portcullis.gateway.servicers.standard import REFLECTION, REFLECTION_V1, reflection_handlers
from portcullis.gateway.transport.server_certificates import server_credentials
from portcullis.gateway.transport.transports import STREAMS_OF_DESKS, build_server
from portcullis.gateway.transport.turning import NOBODY, TurnsAway


def add_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Add server reflection under both of its names: v1alpha, and v1, whose messages are the same on the wire."""
    handlers = reflection_handlers(reflection.aio.ReflectionServicer((*services, HEALTH, REFLECTION)))
    for name in (REFLECTION, REFLECTION_V1):
        add_handlers(server, name, handlers)


def add_handlers(server: grpc.aio.Server, name: str, handlers: Handlers) -> None:
    """Add a service to a server."""
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, dict(handlers)),))
    server.add_registered_method_handlers(name, dict(handlers))


@asynccontextmanager
async def serving(
    settings: Settings,
    services: Mapping[str, Handlers],
    *,
    socket: str = "",
    streams: int = STREAMS_OF_DESKS,
    shed: Callable[[], object] = lambda: None,
    turned_away: TurnsAway = NOBODY,
) -> AsyncIterator[tuple[int, Health]]:
    """Serve these services, health and reflection; gives the port and the health to set.

    Args:
        settings: the address, limits and certificates.
        services: the handlers by the name of their service.
        socket: a Unix socket that is served beside the port, in plain text; "" for none.
        streams: how many a connection may have.
        shed: is called for each call that is refused before its handler for want of time.
        turned_away: refuses calls before their handlers, where the transport asks.

    Raises:
        SetupFault: the transport is not installed, the address is taken, or a certificate's file can't be used.
    """
    credentials = server_credentials(settings)
    server = build_server(settings, streams, shed, turned_away)
    for name, handlers in services.items():
        add_handlers(server, name, handlers)
    health = Health(services)
    add_handlers(server, HEALTH, health_handlers(health, Looks()))
    add_reflection(services, server)
    address = f"{settings.grpc_host}:{settings.grpc_port}"
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        raise SetupFault(
            f"can't listen on {address}: another program holds the port; stop it or choose --grpc-port"
        ) from None
    if socket:
        server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield port, health
    finally:
        health.drain()
        await server.stop(settings.drain_s)
