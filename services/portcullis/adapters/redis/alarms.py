"""The alarm board in Redis or Valkey.

* ``portcullis:alarms`` — hash; field ``PARTNER LEVEL`` is the last alarm of that level, as JSON.
* ``portcullis:releases`` — hash; field ``PARTNER`` is its last release, as JSON.

Both live for thirty days after the last change: far longer than any alarm holds and is shown, so that why a partner was
released can be read for so long. Two operators who release one
partner at once write the same number, which is as good as one release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portcullis.domain.alarms import KEPT_S, Alarm, Board, Release
from portcullis.domain.errors import StoreUnavailable

ALARMS_KEY: Final = "portcullis:alarms"
RELEASES_KEY: Final = "portcullis:releases"

_Kept = TypeVar("_Kept", Alarm, Release)


class RedisAlarmBoard:
    """Implements `portcullis.ports.AlarmBoard`. Construction does not connect.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        timeout_s: bounds the connecting and each answer.
    """

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1)
        )

    def put(self, alarms: Sequence[Alarm]) -> None:
        """Put alarms up.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        self._set(ALARMS_KEY, {f"{each.partner} {each.level}": msgspec.json.encode(each) for each in alarms})

    def release(self, partner: str, *, by: str, at: float, why: str) -> Release:
        """Release a partner.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        release = self.look().next_release(partner, by=by, at=at, why=why)
        self._set(RELEASES_KEY, {partner: msgspec.json.encode(release)})
        return release

    def look(self) -> Board:
        """Give what is up.

        Raises:
            StoreUnavailable: the server can't be reached or refuses.
        """
        with _unavailable(), self._client.pipeline(transaction=True) as together:
            together.hgetall(ALARMS_KEY)
            together.hgetall(RELEASES_KEY)
            alarms, releases = together.execute()
        return Board(
            tuple(_read(cast("Mapping[bytes, bytes]", alarms), Alarm)),
            {each.partner: each for each in _read(cast("Mapping[bytes, bytes]", releases), Release)},
        )

    def _set(self, key: str, fields: Mapping[str, bytes]) -> None:
        if not fields:
            return
        with _unavailable(), self._client.pipeline(transaction=True) as together:
            together.hset(key, mapping=cast("Any", fields))
            together.expire(key, KEPT_S)
            together.execute()

    def close(self) -> None:
        """Give up the connection."""
        with suppress(redis.RedisError, OSError):
            self._client.close()


def _read(fields: Mapping[bytes, bytes], kind: type[_Kept]) -> Iterator[_Kept]:
    for value in fields.values():
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            yield msgspec.json.decode(value, type=kind)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as fault:
        raise StoreUnavailable(f"the store can't be used just now ({type(fault).__name__}); try again") from None
