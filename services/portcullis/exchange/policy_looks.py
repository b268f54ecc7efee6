"""Looks at the policy for what the feed grew by, without waiting long for a registry that is away.

A look that began after a position of the feed was read knows the policy of everything up to there. One look is under way at
a time. Who asks waits for it a second at most: a database that can't be reached may take far longer to say so. The look goes
on meanwhile, and counts for what was read before it began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

_WITHIN_S: Final = 1.0

_log = structlog.get_logger("portcullis.exchange")


class PolicyLooks:
    """Says up to where in the feed the policy is known. For one event loop; looks take place in threads.

    Args:
        look: looks at the policy; blocks, and raises where it can't.
    """

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._looking: asyncio.Task[bool] | None = None
        self._known = (0, 0)
        self._failing = False

    async def up_to(self, turn: int, newest: int) -> int:
        """Give the position up to which the policy is known, having tried to know it up to ``newest``; 0 where it is not.

        Args:
            turn: counts the feeds that there were; positions of an earlier one say nothing of this.
            newest: the position up to which the feed was read.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN_S):
                while self._known < (turn, newest) and await self._looked((turn, newest)):
                    pass
        known_turn, position = self._known
        return position if known_turn == turn else 0

    async def close(self) -> None:
        """Wait for no look any more."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _looked(self, read: tuple[int, int]) -> bool:
        """Wait for the look that is under way, or for one that begins now; gives whether it succeeded."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._try(read), name="policy-look")
        return await asyncio.shield(self._looking)

    async def _try(self, read: tuple[int, int]) -> bool:
        try:
            await asyncio.to_thread(self._look)
        except Exception as fault:  # noqa: BLE001 - whatever it was, what was added is held back and it is tried again
            if not self._failing:
                _log.error("the policy can't be looked at; what the feed grew by is held back", kind=type(fault).__name__)
            self._failing = True
            return False
        finally:
            self._looking = None
        if self._failing:
            _log.info("the policy can be looked at again; what was held back is told")
        self._failing = False
        self._known = read
        return True
