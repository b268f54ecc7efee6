"""The relay's streams in memory, for one process: product code for trials and tests."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from portcullis.domain.errors import NotFound
from portcullis.ports.relay import Stream


@dataclass
class _Held:
    stream: Stream
    token_digest: bytes
    secret: str
    owner: str = ""
    leased_until: float = 0.0


class MemoryRelay:
    """Implements `portcullis.ports.relay.RelayStore`; safe for threads. What it holds ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def add(self, stream: Stream, *, token_digest: bytes = b"", secret: str = "") -> None:
        """Add a stream."""
        with self._lock:
            self._held[stream.stream_id] = _Held(stream, token_digest, secret)

    def streams(self) -> Sequence[Stream]:
        """Give all streams, the oldest first."""
        with self._lock:
            streams = [each.stream for each in self._held.values()]
        return sorted(streams, key=lambda each: (each.created_at, each.stream_id))

    def stream(self, stream_id: str) -> Stream:
        """Give one stream.

        Raises:
            NotFound: there is no such stream.
        """
        return self._find(stream_id).stream

    def by_token(self, token_digest: bytes) -> Stream | None:
        """Give the stream that a token was made for."""
        with self._lock:
            found = (each.stream for each in self._held.values() if token_digest and each.token_digest == token_digest)
            return next(found, None)

    def secret(self, stream_id: str) -> str:
        """Give the authorization header of a stream, "" where it has none.

        Raises:
            NotFound: there is no such stream.
        """
        return self._find(stream_id).secret

    def put(self, stream: Stream, *, secret: str | None = None) -> bool:
        """Write settings and place, if the turn is still the stream's."""
        with self._lock:
            held = self._held.get(stream.stream_id)
            if held is None or held.stream.turn != stream.turn:
                return False
            held.stream = msgspec.structs.replace(stream, turn=stream.turn + 1)
            held.secret = held.secret if secret is None else secret
            return True

    def lease(self, stream_id: str, owner: str, *, now: float, until: float) -> bool:
        """Take or prolong the lease of a stream."""
        with self._lock:
            held = self._held.get(stream_id)
            if held is None or (held.owner != owner and held.leased_until > now):
                return False
            held.owner, held.leased_until = owner, until
            return True

    def release(self, stream_id: str, owner: str) -> None:
        """Give the lease back, where it is held."""
        with self._lock:
            held = self._held.get(stream_id)
            if held is not None and held.owner == owner:
                held.owner, held.leased_until = "", 0.0

    def remove(self, stream_id: str) -> bool:
        """Remove a stream; False where there was none."""
        with self._lock:
            return self._held.pop(stream_id, None) is not None

    def close(self) -> None:
        """Nothing is open."""

    def _find(self, stream_id: str) -> _Held:
        with self._lock:
            held = self._held.get(stream_id)
        if held is None:
            raise NotFound("stream: there is none of this id; `portcullis stream list` shows them")
        return held
