"""The snapshot store in Redis or Valkey: transport only, never authority.

Keys, all under ``portcullis:``:

* ``portcullis:metadata:NAME`` — string, one metadata file.
* ``portcullis:target:NAME`` — hash, one target: field ``chunks`` is their number, fields ``0``, ``1`` ... are the chunks.
  One key a target, so the server can lose or evict it only as a whole. An upload writes ``chunks`` last.
* ``portcullis:lease`` — string with a time to live, the name of the publisher that works (``lease.lua``, ``release.lua``).
* ``portcullis:acknowledged`` — hash, what each host's follower says it serves (``acknowledge.lua``, ``acknowledged.lua``).
* ``portcullis:published`` — channel; a message for each publish.

A publish is one MULTI/EXEC: small targets, metadata and the message. With a lease, the lease's key is watched and compared
before, so that a publisher which lost it while it slept changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from portcullis.adapters.chunks import in_chunks
from portcullis.domain.errors import LeaseLost, Refusal, SnapshotInvalid, StoreUnavailable
from portcullis.ports import ACKNOWLEDGED_KEPT_S, Acknowledgement

METADATA_KEY = "portcullis:metadata:"
TARGET_KEY = "portcullis:target:"
LEASE_KEY = "portcullis:lease"
ACKNOWLEDGED_KEY = "portcullis:acknowledged"
CHANNEL = "portcullis:published"

_COUNT_FIELD = "chunks"
_NO_KEYS = "-"
_BATCH = 500
_TRIES = 3
"""How often a publish is tried that was disturbed by its own publisher prolonging the lease."""

_Name = TypeVar("_Name", str, bytes)


class RedisSnapshotStore:
    """Published files in one Redis or Valkey.

    ``url`` is ``redis://``, ``rediss://`` or ``unix://``. ``timeout_s`` bounds the connecting and each answer. Construction
    does not connect. Not to be shared between threads; `acknowledge` and `acknowledged` may be.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0) -> None:
        # One fresh try covers a connection that the server closed while it was idle; the callers look again by themselves.
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1)
        )
        self._take_lease = self._client.register_script(_script("lease.lua"))
        self._release_lease = self._client.register_script(_script("release.lua"))
        self._acknowledge = self._client.register_script(_script("acknowledge.lua"))
        self._acknowledged = self._client.register_script(_script("acknowledged.lua"))
        self._subscription: Any = None

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, bytes], *, lease: str = "") -> None:
        """Put small targets and metadata in place and notify, in one MULTI/EXEC.

        Raises:
            LeaseLost: another has the lease, or nobody; nothing has changed.
            StoreUnavailable: nothing a reader can see has changed, or the server fell silent before it confirmed.
        """

        def queue(together: Pipeline) -> None:
            for name, data in targets.items():
                together.unlink(TARGET_KEY + name)
                together.hset(TARGET_KEY + name, mapping={"0": data, _COUNT_FIELD: "1"})
            for name, data in metadata.items():
                together.set(METADATA_KEY + name, data)
            together.publish(CHANNEL, b"")

        self._together(queue, lease)

    def _together(self, queue: Callable[[Pipeline], object], lease: str) -> list[Any]:
        with _unavailable():
            for _ in range(_TRIES - 1):
                with suppress(redis.WatchError):
                    return self._try_together(queue, lease)
            return self._try_together(queue, lease)

    def _try_together(self, queue: Callable[[Pipeline], object], lease: str) -> list[Any]:
        with self._client.pipeline(transaction=True) as together:
            if lease:
                together.watch(LEASE_KEY)  # type: ignore[no-untyped-call]
                if together.get(LEASE_KEY) != lease.encode():
                    raise LeaseLost("the publisher's lease is another's or has run out; it publishes again once it has it")
                together.multi()
            queue(together)
            return together.execute()

    def upload(self, name: str, chunks: Iterable[bytes]) -> Iterator[int]:
        """Put a target in place, one chunk of at most a mebibyte for each step.

        A whole target of the same content can be read all along.

        Raises:
            StoreUnavailable: the server can't be reached or refuses; so does the iterator.
        """
        key, count = TARGET_KEY + name, 0
        for chunk in in_chunks(chunks):
            with _unavailable():
                self._client.hset(key, str(count), chunk)
            count += 1
            yield len(chunk)
        self._complete(key, count)

    def _complete(self, key: str, count: int) -> None:
        """Make a target readable that has all its chunks, without what another upload has left beyond them."""
        with _unavailable(), self._client.pipeline(transaction=True) as together:
            found = cast("list[bytes]", self._client.hkeys(key))
            if strays := set(found) - {str(place).encode() for place in range(count)}:
                together.hdel(key, *strays)
            together.hset(key, _COUNT_FIELD, str(count))
            together.execute()

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

    def holds(self, names: Collection[str]) -> bool:
        """Say whether these targets are all there with all their chunks.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        return all(self._holds(batch) for batch in _batches(names))

    def _holds(self, names: Iterable[str]) -> bool:
        with _unavailable(), self._client.pipeline(transaction=False) as asked:
            for name in names:
                asked.hget(TARGET_KEY + name, _COUNT_FIELD)
                asked.hlen(TARGET_KEY + name)
            answers = iter(asked.execute())
        return all(count == str(fields - 1).encode() for count, fields in zip(answers, answers, strict=True))

    def collect(self, metadata: Collection[str], targets: Collection[str], *, lease: str = "") -> int:
        """Remove every metadata file and every target that is not named, some hundreds at a time.

        Raises:
            LeaseLost: another has the lease, or nobody; what was removed before stays so.
            StoreUnavailable: the server can't be reached or refuses.
        """
        return self._keep(METADATA_KEY, metadata, lease) + self._keep(TARGET_KEY, targets, lease)

    def _keep(self, prefix: str, names: Collection[str], lease: str) -> int:
        wanted = {(prefix + name).encode() for name in names}
        with _unavailable():
            gone = [key for key in self._client.scan_iter(match=prefix + "*", count=_BATCH) if key not in wanted]
        return sum(self._remove(batch, lease) for batch in _batches(gone))

    def _remove(self, keys: Collection[bytes], lease: str) -> int:
        (removed,) = self._together(lambda together: together.unlink(*keys), lease)
        return int(removed)

    def lease(self, holder: str, ttl_s: float) -> bool:
        """Take the publisher's lease, or prolong it.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        with _unavailable():
            return bool(self._take_lease(keys=[LEASE_KEY], args=[holder, max(1, round(ttl_s * 1000))]))

    def release(self, holder: str) -> None:
        """Give the lease back, if this holder has it.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        with _unavailable():
            self._release_lease(keys=[LEASE_KEY], args=[holder])

    def acknowledge(self, said: Acknowledgement) -> None:
        """Say what a host serves, in the place of what it said before.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        with _unavailable():
            keys = ",".join(said.token_keys) or _NO_KEYS
            told = f"{said.version} {said.registry_seq} {said.at!r} {keys}"
            self._acknowledge(keys=[ACKNOWLEDGED_KEY], args=[said.host, told])

    def acknowledged(self) -> Sequence[Acknowledgement]:
        """Give what every host has said last within a day by the server's clock, in the order of their names.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        with _unavailable():
            given = iter(self._acknowledged(keys=[ACKNOWLEDGED_KEY], args=[int(ACKNOWLEDGED_KEPT_S)]))
        said = (_read_acknowledgement(host, value) for host, value in zip(given, given, strict=True))
        return sorted(each for each in said if each is not None)

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


def _batches(names: Iterable[_Name]) -> Iterator[list[_Name]]:
    rest = iter(names)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _read_acknowledgement(host: bytes, value: bytes) -> Acknowledgement | None:
    """Read what a host said; None where it is not what this release writes."""
    try:
        # The release before this one says nothing of keys.
        version, registry_seq, at, *keys, _ = value.decode().split(" ")
        held = () if keys in ([], [_NO_KEYS]) else tuple(keys[0].split(","))
        return Acknowledgement(host.decode(), int(version), int(registry_seq), float(at), held)
    except ValueError:
        return None


def _script(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as fault:
        # The class alone: an address or a password of the URL must not reach a log.
        raise StoreUnavailable(f"the snapshot store can't be used ({type(fault).__name__}); see that it runs") from fault
