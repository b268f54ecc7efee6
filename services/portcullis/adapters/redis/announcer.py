"""How processes hear that the feed has grown: a stream in Redis or Valkey that says how far it goes, and nothing else.

* ``portcullis:feed`` — stream; field ``feed`` is the feed's name, field ``newest`` its last position. The last few are kept.

What has changed is read from the feed's own table, so whoever can write to Redis can't make a change up: all that a false
announcement does is to have the feed read once in vain. Without Redis the feed is read every second anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from portcullis.ports import FeedEnds

STREAM_KEY: Final = "portcullis:feed"

_KEPT: Final = 16
_ANNOUNCE_WITHIN_S: Final = 0.25
_LISTEN_MS: Final = 1_000
_ANSWER_WITHIN_S: Final = 3.0
_BELIEVED_S: Final = 1.0
_REST_S: Final = 1.0
"""How long a server that failed is left alone."""


class RedisAnnouncer:
    """Announces by one connection and listens by another, however many wait. Implements `portcullis.ports.Announcer`.

    ``url`` is ``redis://``, ``rediss://`` or ``unix://``. Construction does not connect. ``announce`` is for one thread at a
    time, ``wait`` and ``aclose`` for one event loop.

    Args:
        url: the server.
        count_fault: called for each fault of the server.
        monotonic: seconds.
    """

    def __init__(
        self, url: str, *, count_fault: Callable[[], object], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._count_fault = count_fault
        self._monotonic = monotonic
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=_ANNOUNCE_WITHIN_S,
            socket_connect_timeout=_ANNOUNCE_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
            max_connections=1,
        )
        self._resting_until = 0.0
        self._listener: redis.asyncio.Redis | None = None
        self._listening: asyncio.Task[None] | None = None
        self._last_read = "0-0"
        self._heard = 0
        self._believed_until = 0.0

    def announce(self, ends: FeedEnds) -> None:
        """Tell how far the feed goes; after a fault nothing is told for a second, so that the feed itself is not held up."""
        if self._monotonic() < self._resting_until:
            return
        try:
            self._client.xadd(STREAM_KEY, {"feed": ends.feed, "newest": str(ends.newest)}, maxlen=_KEPT, approximate=True)
        except (redis.RedisError, OSError):
            self._count_fault()
            self._resting_until = self._monotonic() + _REST_S

    async def wait(self, after: int, timeout_s: float) -> None:
        """Wait until the feed is said to have grown past a position, or the time is over, or nothing can be heard."""
        deadline = self._monotonic() + timeout_s
        while not self._says_more(after) and (left := deadline - self._monotonic()) > 0:
            if self._listening is None or self._listening.done():
                self._listening = asyncio.create_task(self._listen(), name="feed-announcements")
            await asyncio.wait([self._listening], timeout=left)

    def _says_more(self, after: int) -> bool:
        """Say whether the feed was said to go further, a moment ago: a false announcement is not believed for longer."""
        return self._heard > after and self._monotonic() < self._believed_until

    async def _listen(self) -> None:
        """Listen for about a second; where nothing can be heard, rest as long."""
        try:
            self._note(await self._read())
        except Exception:  # noqa: BLE001 - whatever it was, the feed is read every second anyway
            self._count_fault()
            await self._hang_up()
            await asyncio.sleep(_REST_S)

    async def _read(self) -> Sequence[Any]:
        if self._listener is None:
            self._listener = redis.asyncio.Redis.from_url(
                self._url,
                socket_timeout=_ANSWER_WITHIN_S,
                socket_connect_timeout=_ANSWER_WITHIN_S,
                retry=AsyncRetry(NoBackoff(), 0),
                max_connections=1,
            )
        answer = await self._listener.xread({STREAM_KEY: self._last_read}, block=_LISTEN_MS)
        return cast("Sequence[Any]", answer or ())

    def _note(self, answer: Sequence[Any]) -> None:
        for _, messages in answer:
            for number, fields in messages:
                self._last_read = number
                newest = fields.get(b"newest", b"")
                if newest.isdigit() and len(newest) < 19:
                    self._heard = int(newest)
                    self._believed_until = self._monotonic() + _BELIEVED_S

    async def _hang_up(self) -> None:
        listener, self._listener = self._listener, None
        # The server may come back without what it had.
        self._last_read = "0-0"
        if listener is not None:
            with suppress(redis.RedisError, OSError):
                await listener.aclose()

    async def aclose(self) -> None:
        """Give up listening, and the connections."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._hang_up()
        self.close()

    def close(self) -> None:
        """Give up announcing; a process that never waits needs no more than this."""
        with suppress(redis.RedisError, OSError):
            self._client.close()
