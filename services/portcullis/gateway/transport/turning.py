"""Turning away: what a transport asks before it begins a call, where it can ask at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import grpc

RATED: Final = frozenset(
    {
        "/portcullis.v1.CheckService/Check",
        "/portcullis.v1.CheckService/BatchCheck",
        "/portcullis.v1.CallerService/LookupCaller",
    }
)
"""The methods whose first step is to take a check from their caller's rate."""


class TurnsAway(Protocol):
    """Who is over a rate (`portcullis.gateway.quotas.turned_away`)."""

    def __len__(self) -> int:
        """Count them; while there is none, nobody is asked about."""
        ...

    def begin(self) -> None:
        """Begin a turn: what was let in before has been begun."""
        ...

    def status(self, metadata: Sequence[tuple[str, str | bytes]]) -> grpc.Status | None:
        """Give what refuses a call with this metadata; None where it is let in."""
        ...


class _Nobody:
    def __len__(self) -> int:
        return 0

    def begin(self) -> None:
        pass

    def status(self, metadata: Sequence[tuple[str, str | bytes]]) -> grpc.Status | None:  # noqa: ARG002
        return None


NOBODY: Final[TurnsAway] = _Nobody()
"""Turns nobody away."""
