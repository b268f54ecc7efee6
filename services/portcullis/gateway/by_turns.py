"""Turns among strangers: of what waits, one of each address in its turn, be it many or few.

Nobody knows who asks before a credential is read, so what can be told apart is where something came from.

1. Turns go by address, which is a peer without its port. All of a Unix socket is one, and so are the 2**64 addresses of
   IPv6 that whoever has one has as well (RFC 4291, 2.5.4). Within an address they go by connection, and within a connection
   in the order in which things came.
2. Whoever has had a turn has the next one after everybody else's.
3. `WAITING_AT_MOST` wait. Beyond them a connection may have one that waits, and no more.

Example: a host has a thousand connections with four things on each, and another host has one thing. The first turn is of
the first host, and the second of the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

WAITING_AT_MOST: Final = 4096
"""What waits at most, each with its stream: the places of 128 connections to a gateway on grpcio, of 256 on native."""

_NETWORK_BITS: Final = 64

_T = TypeVar("_T", bound=Hashable)


class ByTurns(Generic[_T]):
    """What waits. Peers are as a call's context names them; moments are of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        # Addresses, their connections and what these have: each in the order in which turns come.
        self._waiting: OrderedDict[str, _Address[_T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """Count what waits."""
        return self._count

    def has_room(self, peer: str) -> bool:
        """Say whether something of a peer may wait."""
        if self._count < WAITING_AT_MOST:
            return True
        address = self._waiting.get(address_of(peer))
        return address is None or peer not in address.connections

    def add(self, peer: str, each: _T, now: float) -> None:
        """Have something wait that does not yet; whether there is room, `has_room` says."""
        name = address_of(peer)
        if name not in self._waiting:
            self._waiting[name] = _Address(now)
        self._waiting[name].connections.setdefault(peer, OrderedDict())[each] = None
        self._count += 1

    def discard(self, peer: str, each: _T) -> None:
        """Forget what waited; what does not wait is no fault."""
        name = address_of(peer)
        address = self._waiting.get(name)
        things = address.connections.get(peer) if address else None
        if address is None or things is None or each not in things:
            return
        del things[each]
        self._count -= 1
        if not things:
            del address.connections[peer]
        if not address.connections:
            del self._waiting[name]

    def first_since(self) -> float:
        """Give since when the address whose turn is next has waited for it; something must wait."""
        return next(iter(self._waiting.values())).since

    def take(self, now: float) -> _T:
        """Give what has the next turn; something must wait."""
        name, address = next(iter(self._waiting.items()))
        peer, things = next(iter(address.connections.items()))
        each = next(iter(things))
        self.discard(peer, each)
        if peer in address.connections:
            address.connections.move_to_end(peer)
        if name in self._waiting:
            address.since = now
            self._waiting.move_to_end(name)
        return each


class _Address(Generic[_T]):
    """What waits of one address, by connection, and since when it has waited for its turn."""

    __slots__ = ("connections", "since")

    def __init__(self, since: float) -> None:
        self.connections: OrderedDict[str, OrderedDict[_T, None]] = OrderedDict()
        self.since = since


def address_of(peer: str) -> str:
    """Give the address of a peer, as a call's context names it: without its port, and a Unix socket without its path.

    Of an address of IPv6 it is the network of 64 bits that it lies in, or the address of IPv4 that it stands for.
    """
    return "unix" if peer.startswith("unix:") else _folded(peer.rpartition(":")[0])


@lru_cache(maxsize=4096)
def _folded(address: str) -> str:
    given = unquote(address.removeprefix("ipv6:")).strip("[]").partition("%")[0]
    try:
        found = IPv6Address(given)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return f"ipv4:{found.ipv4_mapped}"
    return str(IPv6Network((found, _NETWORK_BITS), strict=False))
