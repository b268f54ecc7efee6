"""Quotas: how much of each thing one partner may ask for.

They stand in the policy and travel in the signed snapshot, so every gateway knows them with the registry dead. In each, 0
means not limited. The defaults suit a partner of some million customers; a larger one agrees on more.
"""

from __future__ import annotations

import msgspec

LARGEST_QUOTA = 1_000_000_000
LARGEST_BATCH = 1_000
"""The contract's own bound."""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One partner's quotas.

    Attributes:
        checks_per_s: checks and look-ups a second, each of a batch counted; two seconds' worth may come at once.
        events_per_s: events reported a second; two seconds' worth may come at once.
        concurrent_calls: calls under way at once at one gateway worker, streams aside.
        streams: streams open at once at one gateway worker.
        batch: the most checks of one batch; the contract's own bound of 1,000 stands besides.
        subjects_per_day: different identifiers asked about in a day (UTC).
        labels_per_day: callers' labels shown in a day (UTC).
    """

    checks_per_s: int = 5_000
    events_per_s: int = 5_000
    concurrent_calls: int = 512
    streams: int = 64
    batch: int = 1_000
    subjects_per_day: int = 1_000_000
    labels_per_day: int = 10_000


UNLIMITED = Quota(
    checks_per_s=0, events_per_s=0, concurrent_calls=0, streams=0, batch=0, subjects_per_day=0, labels_per_day=0
)
"""The quota of who is not limited."""
