"""What a receiver's answer means, and what follows.

    200, 202, 204              delivered                                  RFC 8935, 2.2; CloudEvents HTTP webhooks, 2.1
    400 with a code of its own the event is refused: the stream parks     RFC 8935, 2.3
        save invalid_key       tried again, with a new signature
    410                        the receiver is gone: the stream parks     CloudEvents HTTP webhooks, 2.1
    anything else              tried again, later every time; after 100 tries or a day the stream parks

The pause before try n+1 is ``min(300, 2 ** (n - 1))`` seconds times a random factor from 0.5 to 1, or what the receiver asks
for with Retry-After, up to an hour. What a receiver writes in its answer is never kept or logged, save a code of letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from portcullis.ports.relay import Fault, Place, Reply

MAX_ATTEMPTS: Final = 100
"""After how many tries of one event its stream parks,"""
PARK_AFTER_S: Final = 86_400.0
"""or after how many seconds of trying."""

PASSING_CODES: Final = frozenset({"invalid_key"})
"""Codes that are no last word: a receiver that keeps our keys for a while has not seen a new one yet."""

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 300.0
_LONGEST_ASKED_S: Final = 3_600.0
_TAKEN: Final = frozenset({200, 202, 204})
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,39}", re.ASCII)


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why an event was not taken. ``final``: trying again is of no use; ``after_s``: what the receiver asked for."""

    fault: Fault
    reason: str
    final: bool = False
    after_s: float | None = None


class _Refusal(msgspec.Struct):
    err: str


def judge(reply: Reply) -> Trouble | None:
    """Say what is wrong with an answer; None when it says that the event was taken."""
    if reply.status in _TAKEN:
        return None
    if reply.status == 400:
        code = _error_code(reply.body)
        if code:
            return Trouble(
                fault=Fault.REFUSED, reason=refused(code), final=code not in PASSING_CODES, after_s=reply.retry_after_s
            )
    if reply.status == 410:
        return Trouble(fault=Fault.REFUSED, reason="the receiver says that it is gone (status 410)", final=True)
    reason = f"the receiver answered with status {reply.status}"
    if 300 <= reply.status < 400:
        reason += "; redirects are not followed"
    return Trouble(fault=Fault.STATUS, reason=reason, after_s=reply.retry_after_s)


def refused(code: str) -> str:
    """Say that a receiver refused an event, with its code where that is one."""
    return f"the receiver refused the event: {code if _CODE.fullmatch(code) else 'with a code of its own'}"


def after_trouble(place: Place, trouble: Trouble, *, on: int, now: float, draw: Callable[[], float]) -> Place:
    """Give a stream's place after something was not taken.

    Args:
        place: as it was.
        trouble: why.
        on: what it was, as `Place.parked_on`.
        now: Unix seconds.
        draw: gives a random number in [0, 1).
    """
    attempts = place.attempts + 1
    since = place.failing_since or now
    failing = msgspec.structs.replace(place, attempts=attempts, failing_since=since)
    if trouble.final or attempts >= MAX_ATTEMPTS or now - since >= PARK_AFTER_S:
        return msgspec.structs.replace(failing, parked=trouble.reason, parked_at=now, parked_on=on, retry_at=0.0)
    return msgspec.structs.replace(failing, retry_at=now + _pause_s(attempts, trouble.after_s, draw))


def after_delivery(place: Place) -> Place:
    """Give a stream's place without the marks of trouble."""
    return msgspec.structs.replace(place, attempts=0, failing_since=0.0, retry_at=0.0)


def _pause_s(attempts: int, asked_s: float | None, draw: Callable[[], float]) -> float:
    pause: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30)) * (0.5 + draw() / 2)
    return pause if asked_s is None else max(pause, min(asked_s, _LONGEST_ASKED_S))


def _error_code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Refusal).err
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
