"""Where a subject objects: a contact that a person can use, and that a page can link without doing harm (rule 1)."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_contact(url: str) -> bool:
    """Say whether this is an https URL with a host, a mailto: with an address, or a tel: with a number."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not url.isprintable() or " " in url:
        return False
    match parts.scheme:
        case "https":
            return bool(parts.hostname)
        case "mailto":
            user, at, host = parts.path.partition("@")
            return bool(user and at and host)
        case "tel":
            return any(character.isdigit() for character in parts.path)
    return False
