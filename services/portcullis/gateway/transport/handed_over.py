"""Calls as `pygrpc_native` hands them over, in the release that is pinned, before they have a task or a context.

Each is a tuple: its kind, its number, its method's number, its request, something else, and the details, which are the
metadata, the peer and the seconds that are left.
"""

from __future__ import annotations

from typing import Any


def size_of(event: tuple[Any, ...]) -> int:
    """Give the bytes of a call's request; a stream's come later."""
    return len(event[3] or b"")


def peer_of(event: tuple[Any, ...]) -> str:
    """Give whose call it is, as its context will name its peer."""
    peer: str = event[-1][1]
    return peer


def later(event: tuple[Any, ...], by_s: float) -> tuple[Any, ...]:
    """Give a call whose deadline is nearer by so many seconds."""
    *head, (metadata, peer, remaining) = event
    return (*head, (metadata, peer, None if remaining is None else max(remaining - by_s, 0.0)))
