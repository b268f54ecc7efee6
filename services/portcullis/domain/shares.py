"""Shares: how the workers that answer one partner divide its rate among themselves.

In words: a small part of the rate is dealt out evenly, so that a worker which nobody has asked yet can begin. Of the rest
each worker gets what it is asked for, and what is left over evenly; where more is asked than there is, each gets in
proportion to what it is asked for. Together the shares are the whole rate, whatever the demands: they never let more
through than was agreed, and they let all of it through where the demand is.

Example: of 1,000 a second, asked for 900 at one worker and 300 at another, the first gets 737 and the second 262.
"""

from __future__ import annotations

EVENLY = 0.05
"""The part of a rate that is dealt out evenly."""


def share(per_s: float, own: float, total: float, workers: int) -> float:
    """Give one worker's share of a rate, a second.

    Args:
        per_s: the rate agreed on, a second.
        own: what this worker is asked for, a second.
        total: what all workers are asked for, its own included; less than ``own`` is taken for that much.
        workers: how many there are, this one included.
    """
    total = max(total, own)
    floor = EVENLY * per_s / workers
    divided = per_s - EVENLY * per_s
    if total > divided:
        return floor + divided * own / total
    return floor + own + (divided - total) / workers
