"""The short path of a check, alone or in a batch: the same question again, about another customer.

A partner's tills ask the same thing all day: only the identifier differs. What follows the identifier in the request's bytes
(action, purpose, attributes) is then the same to the byte, so what the whole path once found out about it, the plan and that
the attributes are sound, is kept under these bytes. A check whose tail is known needs no parsing beyond its identifier.

The short path only ever says "nothing speaks". It judges what it finds itself, so that somebody who stands on a list which
does not speak here costs what a stranger costs, but for the look at the record: else a partner could tell by the clock who
is on lists that are none of its business. Whatever is not plain, such as a second identifier, a reference, a redress
number, an entry that speaks, a stale list, a number that is wrong or not canonical, is left to the whole path, which gives
every answer and every error. A test holds the two against each other.

Example: ``0a 24 · 0a 0e "cn.resident-id" 12 12 "11010120900101…" · 12 0a "loan.apply" 1a 07 "lending"`` is one identifier
of 36 bytes, then a tail of 21 bytes (Protocol Buffers, "Encoding": a field is a tag byte, a length, and so many bytes).
"""

from __future__ import annotations

from collections.abc import Callable

from portcullis.domain.decisions import Speaking
from portcullis.domain.plans import Plan
from portcullis.v1 import check_service_pb2

MOST_TAILS = 4096
LONGEST_TAIL = 256

_REQUESTS = 0x0A  # BatchCheckRequest.requests = 1
_IDENTIFIERS = 0x0A  # CheckRequest.identifiers = 1
_KIND, _VALUE, _COUNTRY = 0x0A, 0x12, 0x1A  # Identifier.kind = 1, .value = 2, .country = 3
_ONE_BYTE = 0x80
"""Lengths below this take one byte; a longer field is left to the whole path."""

Customer = tuple[str, str, str, bytes]
"""Kind, value and country of the one identifier, and the bytes after it."""


def split(body: bytes) -> Customer | None:
    """Take a request's one leading identifier from its bytes; None when they do not begin with a plain one."""
    try:
        end = body[1] + 2
        kind_end = body[3] + 4
        value_end = body[kind_end + 1] + kind_end + 2
        if not (
            body[0] == _IDENTIFIERS
            and body[2] == _KIND
            and body[kind_end] == _VALUE
            and value_end <= end < _ONE_BYTE
            and end < len(body)
        ):
            return None
        country = ""
        if value_end != end:
            if body[value_end] != _COUNTRY or body[value_end + 1] != end - value_end - 2:
                return None
            country = body[value_end + 2 : end].decode()
        return body[4:kind_end].decode(), body[kind_end + 2 : value_end].decode(), country, body[end:]
    except (IndexError, UnicodeDecodeError):
        return None


def split_batch(body: bytes, most: int) -> list[bytes] | None:
    """Take the checks of a batch from its bytes; None when they are not one plain field after another.

    Where there are more than ``most``, so many and one more: the rest, which would be thrown away, is not looked at.
    """
    items: list[bytes] = []
    place, end = 0, len(body)
    try:
        while place < end and len(items) <= most:
            length = body[place + 1]
            start = place + 2
            if length >= _ONE_BYTE:
                if body[start] >= _ONE_BYTE:
                    return None
                length += (body[start] - 1) * _ONE_BYTE
                start += 1
            if body[place] != _REQUESTS:
                return None
            place = start + length
            items.append(body[start:place])
    except IndexError:
        return None
    return items if place <= end else None


Meaning = tuple[Plan, Speaking]
"""What a tail means: its plan, and the measures that could speak there, with the tail's attributes."""


class Tails:
    """The tails that the whole path has found sound, and what they mean, for one policy. Bounded; nothing of a customer.

    Attributes:
        known: gives what a tail means, by its holder and bytes; None of one that is not known.
    """

    __slots__ = ("_known", "known")

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Meaning] = {}
        self.known = self._known.get

    def learn(
        self, holder: str, body: bytes, request: check_service_pb2.CheckRequest, meaning: Callable[[], Meaning]
    ) -> None:
        """Keep the tail of a request that the whole path has just answered.

        One that names a transaction or a customer, by a redress number, is not kept. ``meaning`` gives what it means.
        """
        customer = split(body)
        if customer is None or len(customer[3]) > LONGEST_TAIL:
            return
        if request.partner_reference or request.at_least_snapshot or request.redress_number:
            return
        # As many identifiers as before the tail: then the tail itself holds none.
        if len(request.identifiers) == 1:
            if len(self._known) >= MOST_TAILS:
                # Questions that never come again, such as loans of every amount, must not keep the common ones out: those
                # are learned again by the next check.
                self._known.clear()
            self._known[holder, customer[3]] = meaning()
