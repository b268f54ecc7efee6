"""The exchange of quotas in Redis or Valkey: where the workers of all hosts meet (``quotas.lua`` says under which keys).

Who reads the server learns how much each partner asks, and of whom it asks nothing: a subject's name is a hash with a key
that no server has and that is another one each day and for each partner, and what is kept of it is a bit of a HyperLogLog
(Flajolet, Fusy, Gandouet and Meunier, 2007; the server's standard error is 0.81 %). Watches for probing tell sums, and
hashes of the same kind of each new subject and of its cells, with whether it was found: those of some thousands are kept,
whole, for two days. Who writes to it can have a partner refused, or let through once at each worker, and nothing else: no
gateway takes a share above the quota from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portcullis.domain.errors import StoreUnavailable
from portcullis.ports.quotas import DAYS_KEPT, POOLED, SEEN_AT_LEAST, SILENT_MS, NewSubject, Standing, Use, Used

ASKED_KEY: Final = "portcullis:quotas:asked"
LABELS_KEY: Final = "portcullis:quotas:labels"
SUBJECTS_KEY: Final = "portcullis:quotas:subjects"
COUNTED_KEY: Final = "portcullis:quotas:counted"

_KEPT_S: Final = DAYS_KEPT * 86_400


class RedisQuotaExchange:
    """Meets at one server. Implements `portcullis.ports.quotas.QuotaExchange`; for one thread at a time.

    ``url`` is ``redis://``, ``rediss://`` or ``unix://``. Construction does not connect.

    Args:
        url: the server.
        timeout_s: bounds the connecting and each answer.
        silent_ms: how long a silent worker is remembered.
    """

    def __init__(self, url: str, *, timeout_s: float = 0.25, silent_ms: int = SILENT_MS) -> None:
        self._silent_ms = silent_ms
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0), max_connections=1
        )
        script = (Path(__file__).parent / "quotas.lua").read_text(encoding="utf-8")
        self._turn = self._client.register_script(script)

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        """Tell and learn, in one round trip; as `QuotaExchange.turn`."""
        told = [
            (use.partner, use.checks_per_s, use.events_per_s, use.labels, use.counted, use.calls, use.streams)
            for use in uses
        ]
        keys = [ASKED_KEY, f"{LABELS_KEY}:{day}", f"{COUNTED_KEY}:{day}", *(key for use in uses for key in _keys(use, day))]
        names = (text for use in uses for text in (b"".join(use.subjects), b"".join(map(_packed, use.fresh))))
        limits = (self._silent_ms, _KEPT_S, SEEN_AT_LEAST, POOLED)
        try:
            answer = self._turn(keys=keys, args=[worker, msgspec.json.encode(told), *limits, *names])
            workers, *rows = msgspec.json.decode(cast("bytes", answer), type=list[int | Used])
            used = {use.partner: cast("Used", row) for use, row in zip(uses, rows, strict=True)}
        except (redis.RedisError, OSError, msgspec.MsgspecError, ValueError, TypeError) as fault:
            raise StoreUnavailable(f"the exchange of quotas does not answer as it should ({type(fault).__name__})") from None
        return Standing(cast("int", workers), used)

    def close(self) -> None:
        """Close the connection."""
        with suppress(redis.RedisError, OSError):
            self._client.close()


def _keys(use: Use, day: int) -> Iterator[str]:
    yield f"{SUBJECTS_KEY}:{day}:{use.depth}:{use.partner}"
    for name in ("young", "old", "cells", "pool"):
        yield f"portcullis:quotas:{name}:{day}:{use.partner}"


def _packed(subject: NewSubject) -> bytes:
    return subject.name + b"".join(subject.cells) + (b"1" if subject.found else b"0")
