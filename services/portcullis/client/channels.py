"""How the SDK talks: the gRPC service config and channel options, the same for both clients.

Retries are gRPC's own. Tried again are UNAVAILABLE, which the gateway sends when it has given no decision or acknowledged no
event, and CANCELLED by the other side: so gRPC's core ends a call that found no place in a busy server's queue and was not
begun (`grpc.server.max_pending_requests`). An event that is reported twice is one event. A throttle stops retries while a
gateway fails, so that they can't pile up on it. RESOURCE_EXHAUSTED is the gateway's plea to send less, so it is never tried
again. A stream is not retried: what was asked on it is the caller's to ask anew, and a watch resumes by itself
(`portcullis.client.resuming`).
"""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError, version

import grpc

ChannelOptions = tuple[tuple[str, str | int], ...]

_RETRIED = (
    {"service": "portcullis.v1.CheckService", "method": "Check"},
    {"service": "portcullis.v1.CheckService", "method": "BatchCheck"},
    {"service": "portcullis.v1.CallerService", "method": "LookupCaller"},
    {"service": "portcullis.v1.SharingService", "method": "ReportEvents"},
    {"service": "portcullis.v1.SharingService", "method": "GetReceipt"},
    {"service": "portcullis.v1.SharingService", "method": "GetCheckpoint"},
    {"service": "portcullis.v1.SharingService", "method": "GetConsistencyProof"},
)

SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": _RETRIED,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.4s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.1},
    }
)
"""The service config, as JSON (gRFC A2, A6). Every target of a name is used in turn."""

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
"""The method that says whether a gateway serves; its name is fixed by gRPC's health protocol."""

_LOOPBACK = ("127.", "localhost", "[::1]", "::1", "unix:", "ipv4:127.", "ipv6:[::1]")


def channel_options(target: str) -> ChannelOptions:
    """Give the options of a channel to ``target``.

    A ping goes out every five minutes and only while a call is under way, which is as often as a gRPC server takes by
    default; a peer that has vanished is noticed 10 s after something was sent to it.
    """
    return (
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", 300_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.max_receive_message_length", 32 * 1024 * 1024),
        # A forward proxy of the environment has no business between two processes of one host.
        ("grpc.enable_http_proxy", int(not target.startswith(_LOOPBACK))),
        ("grpc.primary_user_agent", f"portcullis-python/{_version()}"),
    )


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Open a blocking channel; without credentials in plain text, which is for loopback and private networks."""
    options = channel_options(target)
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def call_metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    """Give the metadata of every call.

    Raises:
        ValueError: the key can't be sent as a header; the message does not repeat it.
    """
    if api_key is None:
        return ()
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError("api_key: it is empty or holds characters that no key has; copy it again")
    return (("authorization", f"Bearer {key}"),)


class ChannelGuard:
    """Refuses calls on a channel that is closed, or that another process made.

    gRPC's threads do not survive a fork, so a call on an inherited channel would hang; this says so at once.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._closed = False

    def check(self) -> None:
        """Let a call through.

        Raises:
            RuntimeError: the client is closed, or was made before a fork.
        """
        if self._closed:
            raise RuntimeError("the client is closed; make another one")
        if self._process != os.getpid():
            raise RuntimeError("the client was made before a fork; make one in each process, after the fork")

    def close(self) -> None:
        """Refuse every later call."""
        self._closed = True


def _version() -> str:
    try:
        return version("portcullis")
    except PackageNotFoundError:
        return "unknown"
