"""Serving: our services on a transport, with the standard ones beside them, health and reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.gateway.front import Handlers
from portcullis.gateway.server_certificates import server_credentials
from portcullis.gateway.transports import build_server

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """grpc.health.v1, for the server as a whole ("") and for each of its services. It begins with NOT_SERVING."""

    def __init__(self, services: Iterable[str]) -> None:
        self._servicer = health_aio.HealthServicer()
        self._services = ("", *services)
        self._serving: bool | None = None

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Add the service to a server."""
        await self.set(serving=False)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set(self, *, serving: bool) -> None:
        """Say whether checks are answered; the same again costs nothing."""
        if serving == self._serving:
            return
        self._serving = serving
        for service in self._services:
            await self._servicer.set(service, _SERVING if serving else _NOT_SERVING)

    async def drain(self) -> None:
        """Say NOT_SERVING from now on."""
        await self._servicer.enter_graceful_shutdown()


def add_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Add server reflection under both of its names: v1alpha, and v1, whose messages are the same on the wire."""
    names = (*services, HEALTH, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(names)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_REFLECTION_V1, methods),))


@asynccontextmanager
async def serving(
    settings: Settings, services: Mapping[str, Handlers], *, socket: str = ""
) -> AsyncIterator[tuple[int, Health]]:
    """Serve these services, health and reflection; gives the port and the health to set.

    Args:
        settings: the address, limits and certificates.
        services: the handlers by the name of their service.
        socket: a Unix socket that is served beside the port, in plain text; "" for none.

    Raises:
        SetupFault: the transport is not installed, the address is taken, or a certificate's file can't be used.
    """
    credentials = server_credentials(settings)
    server = build_server(settings)
    for name, handlers in services.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, dict(handlers)),))
        server.add_registered_method_handlers(name, dict(handlers))
    health = Health(services)
    await health.add_to(server)
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
        await health.drain()
        await server.stop(settings.drain_s)
