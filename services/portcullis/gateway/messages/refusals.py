"""The statuses of refusals, kept: whoever floods a gateway is refused thousands of times a second, always in the same words.

When to come again is rounded up, to hundredths of a second and beyond a second to whole ones, so that few statuses serve
all.
"""

from __future__ import annotations

import math

import grpc
from grpc_status import rpc_status

from portcullis.domain.errors import Refused
from portcullis.gateway.messages.statuses import to_status

_STEPS_A_S = 100
_MOST_KEPT = 2_048


class KeptStatuses:
    """Gives refusals their statuses; one a worker."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], grpc.Status] = {}

    def of(self, fault: Refused) -> grpc.Status:
        """Give a refusal's status."""
        after_s = fault.retry_after_s
        # What was rounded before stays as it is: 0.07 is a little more than seven hundredths.
        steps = math.ceil(round(after_s * _STEPS_A_S, 6)) if after_s < 1.0 else math.ceil(after_s) * _STEPS_A_S
        key = (fault.message, steps)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            fault.retry_after_s = steps / _STEPS_A_S
            kept = self._kept[key] = rpc_status.to_status(to_status(fault))
        return kept
