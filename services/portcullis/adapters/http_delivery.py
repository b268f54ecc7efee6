"""Posting to receivers over HTTP: https alone, or http on loopback; bounded in time and size; redirects are not followed.

No proxy of the environment is used, and nothing of a request or an answer is logged.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Final

import httpx

from portcullis.domain.endpoints import is_https, is_loopback
from portcullis.ports.relay import DeliveryFault, Fault, Reply

POST_TIMEOUT_S: Final = 10.0
"""How long a post may take, from the first try to connect to the last byte of the answer."""

MAX_BODY_BYTES: Final = 16 * 1024
"""How much of an answer is read."""

_PHASE_TIMEOUT_S: Final = 5.0
_CONNECTIONS: Final = 128
_AGENT: Final = "portcullis-relay"

# httpx logs every URL it asks for, and a URL may hold what only its receiver should know.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class HttpDelivery:
    """Implements `portcullis.ports.relay.Poster`; belongs to one event loop.

    Args:
        timeout_s: how long a post may take, in seconds.
        trust: whom to trust for TLS; None for the usual authorities.
    """

    def __init__(self, *, timeout_s: float = POST_TIMEOUT_S, trust: ssl.SSLContext | None = None) -> None:
        self._timeout_s = timeout_s
        self._trust = trust
        self._client: httpx.AsyncClient | None = None

    async def post(self, url: str, body: bytes, *, content_type: str, authorization: str) -> Reply:
        """Post a body and give the answer, whatever its status.

        Raises:
            DeliveryFault: no answer came in time, or the URL may not be used.
        """
        if not (is_https(url) or is_loopback(url)):
            raise DeliveryFault(Fault.ENDPOINT, "the endpoint is neither https nor on loopback")
        headers = {"content-type": content_type, "accept": "application/json"}
        if authorization:
            headers["authorization"] = authorization
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(url, body, headers)
        except (TimeoutError, httpx.TimeoutException):
            raise DeliveryFault(Fault.TIMEOUT, "the receiver did not answer in time") from None
        except ssl.SSLError:
            raise DeliveryFault(Fault.TLS, "the receiver's certificate can't be trusted") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as fault:
            raise _connection_fault(fault) from None

    async def close(self) -> None:
        """Give up the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _exchange(self, url: str, body: bytes, headers: dict[str, str]) -> Reply:
        async with self._opened().stream("POST", url, content=body, headers=headers) as response:
            read = b""
            async for chunk in response.aiter_raw(MAX_BODY_BYTES):
                read += chunk
                if len(read) >= MAX_BODY_BYTES:
                    break
            return Reply(response.status_code, read[:MAX_BODY_BYTES], _retry_after_s(response.headers))

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._trust if self._trust is not None else True,
                follow_redirects=False,
                trust_env=False,
                timeout=min(_PHASE_TIMEOUT_S, self._timeout_s),
                limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS // 2),
                headers={"user-agent": _AGENT, "accept-encoding": "identity"},
            )
        return self._client


def _retry_after_s(headers: httpx.Headers) -> float | None:
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _connection_fault(fault: Exception) -> DeliveryFault:
    if isinstance(fault.__cause__ or fault.__context__, ssl.SSLError) or "CERTIFICATE" in str(fault).upper():
        return DeliveryFault(Fault.TLS, "the receiver's certificate can't be trusted")
    return DeliveryFault(Fault.CONNECTION, f"the receiver can't be reached ({type(fault).__name__})")
