"""A gate: what stands between one partner and its answers at this worker, quotas and the watch for probing.

Everything on the path of a check is here a subtraction and a note of what was asked: checks are leased from a rate
(`portcullis.domain.rates`) some milliseconds' worth at a time, and the notes are studied a few dozen at a time. What stops a
partner for longer than a rate does, such as a quota of the day that is used up, takes the lease away.

A quota's refusal comes before anything is looked up, so it tells nothing but that the quota is used up. That of the watch
tells that the partner is suspected, which may rest on what was looked up before: on a canary, or on too many found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from portcullis.domain.errors import ProbingSuspected, QuotaExceeded
from portcullis.domain.quotas import Quota
from portcullis.domain.rates import Rate
from portcullis.gateway.quotas.day_counts import DAY_S, DayCounts
from portcullis.gateway.quotas.under_way import UnderWay
from portcullis.gateway.quotas.watch import Watch
from portcullis.gateway.quotas.watches import Watches

STUDIED_AT_ONCE = 64
"""So many notes are studied in one go."""

Note = tuple[str, str, bytes]
"""Kind and value of an identifier asked about, and its first token. The value is gone once the note is studied; of a
new subject its cells stay until the other workers hear of them, two seconds at most."""

CHECKS_PER_S = "checks_per_s"
"""The name of the quota that is a rate of checks."""

_CALL_ENDS_S = 0.1
"""When to come again where too many calls are under way: about as long as a call that waits takes."""
_STREAM_ENDS_S = 1.0


class Gate:
    """One partner's gate. One a worker; not for several threads.

    Attributes:
        partner: whose it is.
        quota: what was agreed with it.
        checks: the rate of checks, this worker's share of it.
        events: the rate of events, likewise.
        day: what is used of the quotas of the day.
        noted: what was asked and is not studied yet; `desk` appends to it.
        invalid: how many checks had an identifier that could not be what it said, since the last study.
        found: the tokens of the questions that found something, since the last study.
        watch: tells whether this partner goes through numbers.
        calls: calls under way.
        streams: streams that are open.
        labels_used_up: no more labels are shown today, and so no caller is looked up.
        refused: how often each quota refused something, ever.
    """

    __slots__ = (
        "_left",
        "_monotonic",
        "_now",
        "_stopped",
        "calls",
        "checks",
        "day",
        "events",
        "found",
        "invalid",
        "labels_used_up",
        "noted",
        "partner",
        "quota",
        "refused",
        "streams",
        "watch",
    )

    def __init__(  # noqa: PLR0917 - what its gates know, in their order
        self,
        partner: str,
        quota: Quota,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        workers: int = 1,
        watch: Watch | None = None,
    ) -> None:
        self.partner = partner
        self.quota = quota
        self._monotonic = monotonic
        self._now = now
        self.checks = Rate(quota.checks_per_s / workers)
        self.events = Rate(quota.events_per_s / workers)
        self.day = DayCounts(int(now() // DAY_S), quota.subjects_per_day)
        self.noted: list[Note] = []
        self.invalid = 0
        self.found: set[bytes] = set()
        self.watch = watch or Watches(monotonic, now).of(partner)
        self.watch.on_hold = self._end_lease
        self.calls = UnderWay()
        self.streams = UnderWay()
        self.labels_used_up = False
        self.refused: dict[str, int] = {}
        self._stopped = False
        self._left = 0

    def follow(self, quota: Quota) -> None:
        """Go by another quota from now on; what is used up stays used up."""
        old, self.quota = self.quota, quota
        if quota.checks_per_s != old.checks_per_s:
            self.share_checks(quota.checks_per_s)
        if quota.events_per_s != old.events_per_s:
            self.share_events(quota.events_per_s)
        self.day.follow(quota.subjects_per_day)
        self.look_again()

    def share_checks(self, per_s: float) -> None:
        """Have another share of the rate of checks from now on."""
        self._end_lease()
        self.checks.follow(per_s, self._monotonic())

    def share_events(self, per_s: float) -> None:
        """Have another share of the rate of events from now on."""
        self.events.follow(per_s, self._monotonic())

    @property
    def checks_asked(self) -> int:
        """How many checks were asked for ever, let through or not."""
        return self.checks.asked - self._left

    def take(self, checks: int = 1) -> None:
        """Let so many checks through.

        Raises:
            QuotaExceeded: a quota is used up; nothing is taken.
            ProbingSuspected: the partner is held back; nothing is taken.
        """
        left = self._left - checks
        if left >= 0:
            self._left = left
        else:
            self._take_more(checks)

    def more_checks(self, checks: int) -> None:
        """Count the other checks of a batch that has begun: they are owed before anything else is let through."""
        left = self._left - checks
        if left >= 0:
            self._left = left
        else:
            self.checks.owe(-left, self._monotonic())
            self._left = 0
        if self.watch.level:
            self.watch.owe(checks)

    def _take_more(self, checks: int) -> None:
        """Let checks through that the lease does not cover, and look at all that is not looked at for each check."""
        if len(self.noted) >= STUDIED_AT_ONCE:
            self.study()
        if self.watch.level:
            self.watch.take(checks)
        if self._stopped:
            self._stop()
        now = self._monotonic()
        if checks == 1 and not self.watch.level and (leased := self.checks.lease(now)):
            self._left += leased - 1
            return
        wait_s = self.checks.take(checks - self._left, now)
        if wait_s:
            raise self.refusal(CHECKS_PER_S, wait_s)
        self._left = 0

    def spent(self, promised: int) -> float:
        """Count a check that is refused for the rate alone, as `take` would, and give when to come again (seconds).

        0.0 where there is more to look at, or room.

        Args:
            promised: how many checks were let in so that have not come to `take` yet.
        """
        due = len(self.noted) >= STUDIED_AT_ONCE
        if due or self._left > promised or self.watch.level or self._stopped:
            return 0.0
        wait_s = self.checks.take(1, self._monotonic())
        if wait_s:
            self._count(CHECKS_PER_S)
        else:
            self._left += 1
        return wait_s

    def _end_lease(self) -> None:
        self.checks.give_back(self._left)
        self._left = 0

    def begin_events(self) -> None:
        """Let a batch of events begin, before anybody knows how many there are.

        Raises:
            QuotaExceeded: the rate is used up; nothing is taken.
        """
        wait_s = self.events_wait_s()
        if wait_s:
            raise self.refusal("events_per_s", wait_s)

    def events_wait_s(self) -> float:
        """Take one event, or give how long to wait for it (seconds)."""
        return self.events.take(1, self._monotonic())

    def more_events(self, events: int) -> None:
        """Count the other events of a batch that has begun."""
        self.events.owe(events, self._monotonic())

    def may_show(self) -> None:
        """Let a caller be looked up.

        Raises:
            QuotaExceeded: no more labels are shown today.
        """
        if self.labels_used_up:
            self.look_again()
        if self.labels_used_up:
            raise self.refusal("labels_per_day", self._day_ends_in())

    def label_shown(self) -> None:
        """Count a label; to be called before it leaves."""
        self._begin_day()
        self.day.own_labels += 1
        if self.day.labels >= self.quota.labels_per_day > 0:
            self.labels_used_up = True

    def labels_kept_back(self, labels: int) -> None:
        """Take labels back that were counted and do not leave."""
        self.day.own_labels = max(self.day.own_labels - labels, 0)
        self.look_again()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a call that waits for something while the context lasts.

        Raises:
            QuotaExceeded: too many are under way.
        """
        if self.calls.fills(self.quota.concurrent_calls):
            raise self.refusal("concurrent_calls", _CALL_ENDS_S)
        with self.decided():
            yield

    @contextmanager
    def decided(self) -> Iterator[None]:
        """Count a call while its answer waits to leave, without a refusal: by now one would tell what was found."""
        with self.calls.one():
            if self.calls.fills(self.quota.concurrent_calls):
                self._halt()
            yield

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream while the context lasts.

        Raises:
            QuotaExceeded: too many are open.
        """
        if self.streams.fills(self.quota.streams):
            raise self.refusal("streams", _STREAM_ENDS_S)
        with self.streams.one():
            yield

    def study(self) -> None:
        """Look at what was noted, and forget it, whatever comes of the study: no note may fail the partner's next checks."""
        self._begin_day()
        try:
            if self.quota.subjects_per_day:
                self.day.note(self.noted)
                if self.day.subjects >= self.quota.subjects_per_day:
                    self._halt()
            self.watch.study(self.noted, found=self.found, invalid=self.invalid)
        finally:
            self.noted.clear()
            self.found.clear()
            self.invalid = 0

    def miswritten(self) -> None:
        """Note a check with an identifier that could not be what it said: one, however many it had."""
        self.invalid += 1
        if self.invalid >= STUDIED_AT_ONCE:
            self.study()

    def canary(self, tokens: Sequence[bytes]) -> None:
        """Note that entries of canary lists were asked about, by their tokens."""
        self.watch.canary(tokens)

    def held_back(self) -> ProbingSuspected | None:
        """Study what was noted, and give what refuses the rest of a batch, None where it may go on."""
        if len(self.noted) >= STUDIED_AT_ONCE:
            self.study()
        return self.watch.stop()

    def look_again(self) -> None:
        """Find out what stops this partner now; to be called when a count of the day or a quota has changed."""
        self._begin_day()
        quota = self.quota
        self.labels_used_up = self.day.labels >= quota.labels_per_day > 0
        full = self.calls.fills(quota.concurrent_calls)
        self._stopped = False
        if full or self.day.subjects >= quota.subjects_per_day > 0:
            self._halt()

    def used_parts(self) -> dict[str, float]:
        """Give how much is used of each quota that is no rate and is limited, by its name, from 0 to 1."""
        quota = self.quota
        used = {
            "concurrent_calls": (self.calls.of_all, quota.concurrent_calls),
            "streams": (self.streams.of_all, quota.streams),
            "subjects_per_day": (self.day.subjects, quota.subjects_per_day),
            "labels_per_day": (self.day.labels, quota.labels_per_day),
        }
        return {name: count / most for name, (count, most) in used.items() if most}

    def refusal(self, quota: str, retry_after_s: float) -> QuotaExceeded:
        """Count a refusal, and give the error to raise."""
        self._count(quota)
        return QuotaExceeded(quota, retry_after_s=retry_after_s)

    def _count(self, quota: str) -> None:
        self.refused[quota] = self.refused.get(quota, 0) + 1

    def _halt(self) -> None:
        """Have the next check look at what stops this partner."""
        self._stopped = True
        self._end_lease()

    def _stop(self) -> None:
        """Raise what stops this partner, if it still does."""
        self.look_again()
        if not self._stopped:
            return
        if self.day.subjects >= self.quota.subjects_per_day > 0:
            raise self.refusal("subjects_per_day", self._day_ends_in())
        raise self.refusal("concurrent_calls", _CALL_ENDS_S)

    def _begin_day(self) -> None:
        day = int(self._now() // DAY_S)
        # A clock that is put back by a little does not give the day before again. One that was days ahead by mistake does:
        # else what is asked until then would count as of one day.
        if day > self.day.day or day < self.day.day - 1:
            self.day.begin(day, self.quota.subjects_per_day)

    def _day_ends_in(self) -> float:
        return (self.day.day + 1) * DAY_S - self._now()
