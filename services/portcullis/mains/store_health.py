"""Whether the store of snapshots answers."""

from __future__ import annotations

import redis


def store_fault(url: str) -> str | None:
    """Say why the store at this URL can't be reached, or give None."""
    client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        client.ping()
    except redis.RedisError as fault:
        return f"the store does not answer: {type(fault).__name__}"
    finally:
        client.close()
    return None
