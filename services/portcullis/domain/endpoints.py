"""URLs that events may be sent to: https, or http to this host itself."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

MAX_URL = 512
"""The most characters of a URL."""


def is_https(url: str) -> bool:
    """Say whether a URL is https, plainly written: no user, no fragment, nothing that can't be shown."""
    parts = _plain(url)
    return parts is not None and parts.scheme == "https"


def is_loopback(url: str) -> bool:
    """Say whether a URL is http to this host itself, plainly written."""
    parts = _plain(url)
    return parts is not None and parts.scheme == "http" and _is_this_host(parts.hostname or "")


def _plain(url: str) -> SplitResult | None:
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "#" in url:
        return None
    try:
        parts = urlsplit(url)
        fits = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return None
    return parts if fits else None


def _is_this_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
