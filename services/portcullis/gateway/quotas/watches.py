"""The watches of one worker, by partner, and what they tell of."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from portcullis.domain.alarms import Alarm, Board
from portcullis.domain.policies import Policy, Probing
from portcullis.domain.probing import Level
from portcullis.domain.quotas import Quota
from portcullis.gateway.quotas.watch import Watch

_log = structlog.get_logger(__name__)


class Watches:
    """The watches of one worker, by partner.

    Args:
        monotonic: seconds.
        now: wall time in Unix seconds.

    Attributes:
        raised: the alarms that were raised here and are not on the board yet.
        on_alarm: is told of each.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._now = now
        self._watches: dict[str, Watch] = {}
        self._board = Board()
        self._rules: dict[str, tuple[Probing, Quota]] = {}
        # Raised by what all workers have counted, and told by none yet, as far as is known.
        self._unsaid: dict[tuple[str, str], Alarm] = {}
        self.raised: list[Alarm] = []
        self.on_alarm: list[Callable[[Alarm], object]] = [self.raised.append]

    def of(self, partner: str) -> Watch:
        """Give a partner's watch."""
        watch = self._watches.get(partner)
        if watch is None:
            watch = self._watches[partner] = Watch(partner, self._monotonic, self._now, self._tell, self._keep)
            watch.follow(*self._rules.get(partner, (Probing.STRICT, Quota())))
            self._hear(watch)
        return watch

    def follow(self, policy: Policy) -> None:
        """Go by another policy from now on."""
        self._rules = {each.name: (each.probing, each.quota) for each in policy.partners}
        for partner, watch in self._watches.items():
            if partner in self._rules:
                watch.follow(*self._rules[partner])

    def hear(self, board: Board) -> None:
        """Go by what the board says."""
        self._board = board
        for watch in self._watches.values():
            self._hear(watch)

    def lacking(self, board: Board) -> list[Alarm]:
        """Give the alarms that hold here and that a board has lost: none of that partner and level holds there."""
        up = {(each.partner, each.level) for each in board.holding(self._now())}
        held = (alarm for watch in self._watches.values() for alarm in watch.holding())
        return [each for each in held if (each.partner, each.level) not in up and not board.released(each)]

    def say(self, board: Board | None) -> None:
        """Tell of what all workers found out together and no board shows yet; None where there is no board to be seen."""
        unsaid, self._unsaid = self._unsaid, {}
        up = {(each.partner, each.level) for each in board.holding(self._now())} if board else set()
        for key, alarm in unsaid.items():
            if key not in up:
                self._tell(alarm)

    def levels(self) -> dict[str, Level]:
        """Give what is done about each partner that has called."""
        return {partner: watch.level for partner, watch in self._watches.items()}

    def _hear(self, watch: Watch) -> None:
        release = self._board.releases.get(watch.partner)
        alarms = [each for each in self._board.holding(self._now()) if each.partner == watch.partner]
        watch.hear(alarms, release.number if release else 0)

    def _keep(self, alarm: Alarm) -> None:
        self._unsaid[alarm.partner, alarm.level] = alarm

    def _tell(self, alarm: Alarm) -> None:
        _log.error(
            "numbers look gone through",
            partner=alarm.partner,
            alarm=alarm.level,  # not `level`, which is the line's own
            signs=list(alarm.signs),
            probes=alarm.probes,
            until=int(alarm.until),
            held_back=not alarm.told_only,
        )
        for each in self.on_alarm:
            each(alarm)
