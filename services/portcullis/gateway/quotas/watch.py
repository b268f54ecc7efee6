"""A watch: what one worker suspects of a partner, what it was told by others, and what it does about it.

Nothing here is looked at for a check that is not suspicious: the gate (`portcullis.gateway.quotas.gate`) hands notes over
some dozens at a time, and asks before each check only while a partner is held back.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Sequence

from portcullis.domain.alarms import FIRST_HOLD_S, REPEATED_WITHIN_S, Alarm, hold_s, level_name
from portcullis.domain.crowding import Note
from portcullis.domain.errors import ProbingSuspected
from portcullis.domain.evidence import Counts
from portcullis.domain.policies import Probing
from portcullis.domain.probing import Detector, Fresh, Level, Suspicion
from portcullis.domain.quotas import Quota

SLOWED_SHARE = 0.1
SLOWED_MOST_PER_S = 10.0
"""A slowed partner is answered a tenth of its quota, and no more than this a second at each worker."""
_PROLONG_AFTER_S = 60.0


class Watch:
    """The watch for one partner. One a worker; not for several threads.

    Args:
        partner: whose it is.
        monotonic: seconds.
        now: wall time in Unix seconds.
        tell: is given each alarm that is raised by what was seen here.
        keep: is given each that is raised by what all workers have counted.

    Attributes:
        level: what is done about the partner now, as far as was looked; never more than NORMAL where it is only told of.
        probing: whether it may go through numbers.
        on_hold: is called whenever a look finds that the partner is held back.
    """

    __slots__ = (
        "_alarms",
        "_detector",
        "_due",
        "_keep",
        "_monotonic",
        "_now",
        "_releases",
        "_slowed_at",
        "_stops",
        "_tell",
        "level",
        "on_hold",
        "partner",
        "per_s",
        "probing",
    )

    def __init__(
        self,
        partner: str,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        tell: Callable[[Alarm], object],
        keep: Callable[[Alarm], object],
    ) -> None:
        self.partner = partner
        self.level = Level.NORMAL
        self.probing = Probing.STRICT
        self.per_s = SLOWED_MOST_PER_S
        self._monotonic = monotonic
        self._now = now
        self._tell = tell
        self._keep = keep
        self._detector = Detector()
        self.on_hold: Callable[[], object] = lambda: None
        self._alarms: dict[Level, Alarm] = {}
        self._slowed_at = 0.0
        self._due = 0.0
        self._stops: tuple[int, float] = (0, 0.0)
        self._releases = 0

    def follow(self, probing: Probing, quota: Quota) -> None:
        """Go by another policy from now on."""
        self.probing = probing
        self.per_s = min(quota.checks_per_s * SLOWED_SHARE or SLOWED_MOST_PER_S, SLOWED_MOST_PER_S)
        self._look()

    def study(self, notes: Sequence[Note], *, found: Collection[bytes] = (), invalid: int = 0) -> None:
        """Study what was asked."""
        self._act(self._detector.study(notes, self._monotonic(), found=found, invalid=invalid), self._tell)

    def canary(self, tokens: Iterable[bytes]) -> None:
        """Note that entries of canary lists were asked about."""
        self._act(self._detector.canary(tokens, self._monotonic()), self._tell)

    def counted(self) -> Counts:
        """Give what was counted here, ever, for the other workers."""
        return self._detector.counted()

    def take_fresh(self) -> Fresh:
        """Give the subjects that were new here since the last time, for the other workers."""
        return self._detector.take_fresh()

    def age_fresh(self) -> None:
        """Forget new subjects that nobody has taken since the last time that this was called."""
        self._detector.age_fresh()

    def hear_counted(self, others: Counts) -> None:
        """Judge what all workers have counted, by what the others have since the last time.

        The others see the same. Each holds the partner back at once, and tells of it if nobody else has by its next look at
        the board.
        """
        suspicion = self._detector.hear(others, self._monotonic())
        if suspicion is not None:
            self._act(suspicion, self._keep)

    def take(self, checks: int = 1) -> None:
        """Let checks through, as far as the partner is held back. A batch passes whole, and the next wait for it.

        Raises:
            ProbingSuspected: not now.
        """
        self._look()
        now = self._monotonic()
        if self.level is Level.STOPPED:
            raise ProbingSuspected(retry_after_s=self._alarms[Level.STOPPED].until - self._now())
        if self.level is Level.SLOWED:
            if self._due > now:
                raise ProbingSuspected(retry_after_s=self._due - now)
            self._due = now + checks / self.per_s

    def owe(self, checks: int) -> None:
        """Count checks that were let through already, such as the rest of a batch: the next wait for them."""
        if self.level is Level.SLOWED:
            self._due = max(self._due, self._monotonic()) + checks / self.per_s

    def stop(self) -> ProbingSuspected | None:
        """Give what refuses a stopped partner; None for any other."""
        if self.level is not Level.STOPPED:
            return None
        return ProbingSuspected(retry_after_s=max(self._alarms[Level.STOPPED].until - self._now(), 0.0))

    def hear(self, alarms: Iterable[Alarm], releases: int) -> None:
        """Go by what the board says of this partner: the alarms that hold, and the number of its last release."""
        if releases > self._releases:
            self._releases = releases
            self._alarms.clear()
            self._stops = (0, 0.0)
            self._detector = Detector(self._detector.counted())
        for alarm in alarms:
            level = Level[alarm.level.upper()]
            if alarm.until > self._until(level):
                self._alarms[level] = alarm
                self._learn_of(alarm, level)
            if level is Level.STOPPED and alarm.raised_at >= self._stops[1]:
                self._stops = (max(alarm.times, self._stops[0]), alarm.raised_at)
        self._look()

    def _learn_of(self, alarm: Alarm, level: Level) -> None:
        """Go on from an alarm of another worker as if it were this one's."""
        if level is Level.STOPPED:
            self._detector.begin_anew()
        elif alarm.canaries:
            now = self._now()
            ages_s = {bytes.fromhex(token): now - asked_at for token, asked_at in alarm.canaries}
            self._detector.canaries_elsewhere(ages_s, self._monotonic())

    def holding(self) -> list[Alarm]:
        """Give the last alarm of each level, raised here or heard, that still holds."""
        now = self._now()
        return [each for each in self._alarms.values() if each.until > now]

    def _until(self, level: Level) -> float:
        alarm = self._alarms.get(level)
        return alarm.until if alarm else 0.0

    def _look(self) -> None:
        """Find out what is done about the partner now."""
        now = self._now()
        self.level = Level.NORMAL
        if self.probing is Probing.STRICT:
            self.level = max((level for level, each in self._alarms.items() if each.until > now), default=Level.NORMAL)
        if self.level:
            self.on_hold()
        else:
            self._due = 0.0  # what is owed is so only while the partner is slowed

    def _act(self, suspicion: Suspicion, tell: Callable[[Alarm], object]) -> None:
        now = self._now()
        if suspicion.level is Level.STOPPED:
            self._detector.begin_anew()
            if self._until(Level.STOPPED) <= now:
                self._stop(suspicion, now, tell)
        elif suspicion.level is Level.SLOWED and (now - self._slowed_at >= _PROLONG_AFTER_S or self._knows_another_canary()):
            self._slowed_at = now
            self._raise(suspicion, now, FIRST_HOLD_S, 1, tell)

    def _stop(self, suspicion: Suspicion, now: float, tell: Callable[[Alarm], object]) -> None:
        times, last = self._stops
        times = times + 1 if now - last < REPEATED_WITHIN_S else 1
        self._stops = (times, now)
        self._raise(suspicion, now, hold_s(times), times, tell)

    def _raise(self, suspicion: Suspicion, now: float, length_s: float, times: int, tell: Callable[[Alarm], object]) -> None:
        alarm = self._alarms[suspicion.level] = Alarm(
            partner=self.partner,
            level=level_name(suspicion.level),
            signs=tuple(str(sign) for sign in suspicion.signs),
            raised_at=now,
            until=now + length_s,
            gateway=socket.gethostname(),
            probes=suspicion.probes,
            times=times,
            told_only=self.probing is Probing.WATCH,
            releases=self._releases,
            canaries=tuple((token.hex(), now - age_s) for token, age_s in self._detector.canaries().items()),
        )
        self._look()
        tell(alarm)

    def _knows_another_canary(self) -> bool:
        """Whether a canary counts that the alarm which holds does not tell of: the other workers are to know of it."""
        held = self._alarms.get(Level.SLOWED)
        told = dict(held.canaries) if held else {}
        return any(token.hex() not in told for token in self._detector.canaries())
