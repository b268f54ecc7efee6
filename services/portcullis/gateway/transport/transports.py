"""The gRPC servers that can carry the servicers, each with its limits.

grpcio is the default: TLS, all RPCs. native is `pygrpc-native`: HTTP/2 and gRPC in Rust outside the GIL, for unary speed; it
has no TLS, so it belongs behind Envoy or on loopback. Both take the same handlers.

Neither gets ``maximum_concurrent_rpcs``: with it, streams that send headers and nothing else starve everyone. What bounds a
flood, and what was measured, is in docs/reference/overload.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import grpc

from portcullis.config import Settings, Transport
from portcullis.domain.errors import SetupFault
from portcullis.gateway.transport.shedding import shedding
from portcullis.gateway.transport.turning import NOBODY, TurnsAway

STREAMS: Mapping[Transport, int] = {"grpcio": 32, "native": 16}
"""Streams of one connection to a gateway. A caller with more to ask waits on its own side, which costs this one nothing.

A worker answers one call after another, so a few under way on each connection keep it busy, while to refuse a call costs a
fifth of answering it. What callers hold back cures a burst, and no overload (docs/reference/overload.md).
grpcio has more, for its core refuses some of the streams that come as others end.
"""

STREAMS_OF_DESKS = 128
"""Streams of one connection where no checks are answered, and many are held open: watches of the exchange."""

CONNECTIONS = 1024
"""Connections of one worker on grpcio; whoever comes then is hung up on."""

WAITING, WAITING_AT_MOST = 512, 1024
"""Calls of one method that wait on grpcio for their turn: above the first some are refused at random, above the second all.

So many come from 16 and 32 connections whose callers ask all that they may; who waits behind 512 has an answer in about a
quarter of a second. The native transport lets the second number wait, of all methods but the vital ones, where that is not
too long.
"""

_MINUTE_MS = 60_000

Options = list[tuple[str, Any]]


def build_server(
    settings: Settings, streams: int, shed: Callable[[], object], turned_away: TurnsAway = NOBODY
) -> grpc.aio.Server:
    """Build a server of the transport that the settings name; call it on the event loop that will serve.

    Args:
        settings: which transport, and the limits of messages and metadata.
        streams: how many a connection may have.
        shed: is called for each call that is refused before anything of ours sees it; grpcio's core refuses by itself.
        turned_away: is asked by the native transport before a call is begun.

    Raises:
        SetupFault: the transport is not installed.
    """
    options = _shared_options(settings, streams)
    return _native(options, shed, turned_away) if settings.transport == "native" else _grpcio(options)


def available(transport: Transport) -> bool:
    """Tell whether a transport is installed."""
    if transport == "grpcio":
        return True
    try:
        import pygrpc_native.aio  # noqa: F401, PLC0415 - an extra
    except ImportError:
        return False
    return True


def _shared_options(settings: Settings, streams: int) -> Options:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes * 2),
        ("grpc.max_concurrent_streams", streams),
        ("grpc.keepalive_time_ms", 2 * _MINUTE_MS),
        ("grpc.keepalive_timeout_ms", _MINUTE_MS // 3),
    ]


def _grpcio(options: Options) -> grpc.aio.Server:
    own: Options = [
        ("grpc.server_handshake_timeout_ms", 10_000),
        # A peer that never acknowledges the settings is not held to them.
        ("grpc.http2.settings_timeout", 10_000),
        ("grpc.max_allowed_incoming_connections", CONNECTIONS),
        ("grpc.server.max_pending_requests", WAITING),
        ("grpc.server.max_pending_requests_hard_limit", WAITING_AT_MOST),
        ("grpc.max_connection_age_ms", 60 * _MINUTE_MS),
        ("grpc.max_connection_age_grace_ms", 5 * _MINUTE_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 3),
    ]
    return grpc.aio.server(options=options + own)


def _native(options: Options, shed: Callable[[], object], turned_away: TurnsAway) -> grpc.aio.Server:
    try:
        import pygrpc_native.aio  # noqa: PLC0415 - an extra
    except ImportError:
        raise SetupFault(
            "the native transport is not installed: install portcullis[native], or use --transport grpcio"
        ) from None
    run_in_batches()
    # One I/O thread: the interpreter is the bottleneck of a worker, and a second thread only takes its core away.
    kind = shedding(pygrpc_native.aio.Server, WAITING_AT_MOST, shed, turned_away)
    server: grpc.aio.Server = kind(options=options, io_threads=1)
    return server


def run_in_batches() -> None:
    """Ask the kernel not to let a thread that wakes up interrupt the one that runs.

    Each answer wakes the I/O thread; without this it takes the core from the interpreter at every answer, and calls are no
    longer read and written by the dozen (measured in docs/adr/0008). It needs no privilege, and where a sandbox forbids it
    only speed is lost. Threads started later inherit it.
    """
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
