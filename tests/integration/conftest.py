"""What the integration tests share."""

from __future__ import annotations

from tests.support.databases import postgres

__all__ = ["postgres"]
