"""The snapshot store in Redis or Valkey: transport only, never authority.

Keys, all under ``portcullis:``:

* ``portcullis:metadata:NAME`` — string, one metadata file. All of a publish are replaced in one MULTI/EXEC.
* ``portcullis:target:NAME`` — hash, one target: field ``chunks`` is their number, fields ``0``, ``1`` ... are the chunks.
  One key a target, so the server can lose or evict it only as a whole. ``chunks`` is written last.
* ``portcullis:published`` — channel; a message for each publish, sent inside its MULTI/EXEC.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portcullis.domain.errors import Refusal, SnapshotInvalid, StoreUnavailable

METADATA_KEY = "portcullis:metadata:"
TARGET_KEY = "portcullis:target:"
CHANNEL = "portcullis:published"

_COUNT_FIELD = "chunks"
_SCAN_BATCH = 100


class RedisSnapshotStore:
    """Published files in one Redis or Valkey.

    ``url`` is ``redis://``, ``rediss://`` or ``unix://``. ``timeout_s`` bounds the connecting and each answer. Construction
    does not connect. Not to be shared between threads.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        # One fresh try covers a connection that the server closed while it was idle; the callers look again by themselves.
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1)
        )
        self._subscription: Any = None

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, Iterable[bytes]]) -> None:
        """Write the targets, then replace the metadata and notify in one MULTI/EXEC.

        Raises:
            StoreUnavailable: nothing a reader can see has changed, or the server fell silent before it confirmed.
        """
        with _unavailable():
            for name, chunks in targets.items():
                self._write_target(TARGET_KEY + name, chunks)
            with self._client.pipeline(transaction=True) as together:
                for name, data in metadata.items():
                    together.set(METADATA_KEY + name, data)
                together.publish(CHANNEL, b"")
                together.execute()

    def _write_target(self, key: str, chunks: Iterable[bytes]) -> None:
        self._client.unlink(key)
        count = 0
        for chunk in chunks:
            self._client.hset(key, str(count), chunk)
            count += 1
        self._client.hset(key, _COUNT_FIELD, str(count))

    def read_metadata(self, name: str) -> bytes | None:
        """Give a metadata file, or None.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        with _unavailable():
            return cast("bytes | None", self._client.get(METADATA_KEY + name))

    def read_target(self, name: str) -> Iterator[bytes]:
        """Give a target chunk by chunk, one in memory at a time.

        Raises:
            SnapshotInvalid: no such target, or a chunk of it is missing.
            StoreUnavailable: the server can't be reached or refuses.
        """
        key = TARGET_KEY + name
        for place in range(self._chunk_count(key)):
            with _unavailable():
                chunk = cast("bytes | None", self._client.hget(key, str(place)))
            if chunk is None:
                raise SnapshotInvalid(f"the store lacks chunk {place} of the target", refusal=Refusal.CHUNK_MISSING)
            yield chunk

    def _chunk_count(self, key: str) -> int:
        with _unavailable():
            count = cast("bytes | None", self._client.hget(key, _COUNT_FIELD))
        if count is None or not count.isdigit():
            raise SnapshotInvalid("the store does not hold the target", refusal=Refusal.TARGET_MISSING)
        return int(count)

    def holds(self, name: str) -> bool:
        """Say whether a target is there with all its chunks.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        key = TARGET_KEY + name
        with _unavailable(), self._client.pipeline(transaction=True) as together:
            together.hget(key, _COUNT_FIELD)
            together.hlen(key)
            count, fields = together.execute()
        return count is not None and count == str(fields - 1).encode()

    def collect(self, keep: Iterable[str]) -> int:
        """Remove every target not named.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        wanted = {(TARGET_KEY + name).encode() for name in keep}
        with _unavailable():
            gone = {key for key in self._client.scan_iter(match=TARGET_KEY + "*", count=_SCAN_BATCH) if key not in wanted}
            removed: int = self._client.unlink(*gone) if gone else 0
            return removed

    def wait(self, timeout_s: float) -> bool:
        """Block until a publish is announced or the time is over.

        A subscription just made gives True: a publish may have come before it.
        """
        deadline = time.monotonic() + timeout_s
        try:
            if self._subscription is None:
                self._subscription = self._subscribed(timeout_s)
                return True
            return self._next_message(deadline)
        except (redis.RedisError, OSError):
            self._unsubscribe()
            time.sleep(max(0.0, deadline - time.monotonic()))
            return False

    def _subscribed(self, timeout_s: float) -> Any:
        subscription: Any = self._client.pubsub()  # type: ignore[no-untyped-call]
        try:
            subscription.subscribe(CHANNEL)
            confirmed = subscription.get_message(timeout=timeout_s)
        except BaseException:
            subscription.close()
            raise
        if confirmed is None:
            subscription.close()
            raise redis.TimeoutError("no answer to a subscription")
        return subscription

    def _next_message(self, deadline: float) -> bool:
        """Wait for one message, then take those that already lie behind it."""
        while (left := deadline - time.monotonic()) > 0:
            message = self._subscription.get_message(timeout=left)
            if message is not None and message["type"] == "message":
                while self._subscription.get_message(timeout=0) is not None:
                    pass
                return True
        return False

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            with suppress(redis.RedisError, OSError):
                self._subscription.close()
            self._subscription = None

    def close(self) -> None:
        """Give up the connections."""
        self._unsubscribe()
        with suppress(redis.RedisError, OSError):
            self._client.close()


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as fault:
        # The class alone: an address or a password of the URL must not reach a log.
        raise StoreUnavailable(f"the snapshot store can't be used ({type(fault).__name__}); see that it runs") from fault
