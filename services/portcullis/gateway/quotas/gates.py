"""The gates of one worker, by partner."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from portcullis.domain.policies import Policy
from portcullis.domain.quotas import Quota
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.quotas.watches import Watches


class Gates:
    """The gates of one worker, by partner.

    Args:
        monotonic: seconds.
        now: wall time in Unix seconds.

    Attributes:
        workers: how many workers share a partner's rates, this one included, as far as is known.
        watches: the watches for probing.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._now = now
        self._gates: dict[str, Gate] = {}
        self._quotas: dict[str, Quota] = {}
        self.workers = 1
        self.watches = Watches(monotonic, now)

    def study_left(self) -> None:
        """Study what was noted and is too little for a study of its own; to be called each second or so.

        So nothing that was asked about stays here for longer, even if its partner never comes again.
        """
        for gate in self._gates.values():
            if gate.noted or gate.invalid:
                gate.study()
            gate.watch.age_fresh()

    def follow(self, policy: Policy) -> None:
        """Go by another policy's quotas from now on; what was used up stays used up.

        A gate whose partner has left is kept: calls and streams of it may be under way.
        """
        self._quotas = {each.name: each.quota for each in policy.partners}
        for partner, gate in self._gates.items():
            gate.follow(self._quotas.get(partner, gate.quota))
        self.watches.follow(policy)

    def of(self, partner: str) -> Gate:
        """Give a partner's gate."""
        gate = self._gates.get(partner)
        if gate is None:
            quota = self._quotas.get(partner, Quota())
            gate = self._gates[partner] = Gate(
                partner, quota, self._monotonic, self._now, self.workers, self.watches.of(partner)
            )
        return gate

    @property
    def all(self) -> Mapping[str, Gate]:
        """The gates of the partners that have called."""
        return self._gates
