"""The connections of the relay's receivers, bounded in number and in the time that one may take to ask something.

They are open to whoever reaches the port, before any key is looked at. The process that serves them also feeds the feed and
signs the journal: without a bound, connections that ask nothing would take its file descriptors away.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS: Final = 256
"""How many connections are held at the same time; one more is dropped at once."""

ASK_WITHIN_S: Final = 10.0
"""How long a connection may stand without a whole request's head on it."""


class HeldConnection(H11Protocol):
    """One connection of uvicorn's, which is dropped where it is one too many or asks nothing."""

    _asking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or drop it."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._await_request()

    def _await_request(self) -> None:
        self._stop_waiting()
        self._asking = self.loop.call_later(ASK_WITHIN_S, self._drop_idle)

    def _stop_waiting(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _drop_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
