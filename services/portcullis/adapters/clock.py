"""The host's clock: steady wall time, and monotonic time that every process of one boot shares.

An entry's end, an agreement's dates and the age of a snapshot must not move because somebody set the clock. The rules:

1. The wall clock is believed once, when a process starts. From then on wall time goes on with the boot clock, which is
   slewed as the wall clock is, goes on through a suspend, and never jumps.
2. The wall clock is looked at again four times a second. A step is followed at once as long as all steps together stay
   within an allowance of 5 seconds, which grows back by 1.8 seconds an hour (500 ppm: no clock is wrong by more). So a
   correction by NTP and a leap second are followed, and many small steps can't add up to a large one.
3. Any larger step is a jump. It is logged and ignored: wall time goes on as if nobody had touched the clock.
4. A jump is adopted, and logged, when a witness agrees with it within a minute, and better than with the time kept: the
   publisher's signed vouching, which a follower hears every second. So is one in the first ten minutes after the boot,
   when clocks are being set, and one that has stood for a day in which no witness contradicted it.
5. Processes of one boot keep one time, to a few seconds: a process carries on from what another of them has noted.

Example: at 12:00 the clock is set to 14:00. An entry that ends at 13:00 goes on to bind, for an hour, and ``ahead_s`` is
7200. At 12:05 the clock is set right, and nothing has happened. If instead the host's hypervisor had paused it for two
hours, the publisher's next vouching would say 14:00 as well: adopted, and the entry has ended.

What this can't tell: which of two clocks is right. A host that was started with a wrong clock keeps it until it is set; the
publisher then bears witness to the right one. A publisher has no witness: rules 2 and 4 are what it has.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

_LOOK_EVERY_S = 0.25
_NOISE_S = 0.01
"""Differences below this are the time that reading two clocks takes."""

_ALLOWANCE_S = 5.0
_ALLOWANCE_GROWS = 500e-6
_WITNESS_S = 60.0
_SETTING_S = 600.0
_STANDS_S = 86_400.0
_READINGS = 10

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RawClocks(NamedTuple):
    """The clocks of a host, each in seconds.

    ``wall`` can be set by anybody who may. ``boot`` starts with the boot, goes on through a suspend and is never set.
    ``awake`` is like it, but may stand still in a suspend; it is the cheapest to read.
    """

    wall: Callable[[], float]
    boot: Callable[[], float]
    awake: Callable[[], float]


class _Reading(NamedTuple):
    """The clocks at one moment: the boot clock, how far the others are ahead of it, and how surely."""

    boot: float
    wall_ahead: float
    awake_ahead: float
    spread: float


def host_clocks() -> RawClocks:
    """Give the clocks of this host; where it has no boot clock, Python's own monotonic one stands in."""
    boot = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    return RawClocks(time.time, boot, time.monotonic)


class SystemClock:
    """The clock of this host, as the module describes it. One a process; any thread may ask."""

    def __init__(self, clocks: RawClocks | None = None) -> None:
        self._clocks = clocks or host_clocks()
        self._awake = self._clocks.awake
        self._looking = threading.Lock()
        reading = self._read()
        self._kept = reading.wall_ahead
        """How far the wall time kept is ahead of the boot clock."""
        self._allowance = _ALLOWANCE_S
        self._looked_at = reading.boot
        self._jump: _Jump | None = None
        self._differs = False
        self._carry_on(reading)

    def now(self) -> float:
        """Wall time in Unix seconds."""
        awake = self._awake()
        if awake >= self._look_at:
            self._look(None)
            awake = self._awake()
        return awake + self._offset

    def monotonic(self) -> float:
        """Seconds since the boot."""
        return self._clocks.boot()

    @property
    def ahead_s(self) -> float:
        """How far the host's wall clock is ahead of the time kept, in seconds; 0 but for a jump that is ignored."""
        jump = self._jump
        return jump.ahead_s if jump else 0.0

    def hear(self, wall_s: float, monotonic_s: float) -> None:
        """Hear that another host's clock showed ``wall_s`` at ``monotonic_s``, give or take a few seconds."""
        if math.isfinite(wall_s - monotonic_s):
            self._look(wall_s - monotonic_s)

    def align(self, wall_s: float, monotonic_s: float) -> None:
        """Carry on from what the clock of another process of this boot showed at ``monotonic_s``."""
        noted = wall_s - monotonic_s
        if math.isfinite(noted) and abs(noted - self._kept) > _ALLOWANCE_S:
            with self._looking:
                self._kept = noted
                self._compare_clocks(None)

    def _look(self, witness: float | None) -> None:
        """Compare the clocks, unless another thread is at it; ``witness`` is a wall time's lead on this boot clock."""
        if self._looking.acquire(blocking=witness is not None):
            try:
                self._compare_clocks(witness)
            finally:
                self._looking.release()

    def _compare_clocks(self, witness: float | None) -> None:
        reading = self._read()
        # An interrupted reading says nothing; the next call looks again.
        if reading.spread <= _NOISE_S:
            self._judge(reading, witness)
            self._carry_on(reading)

    def _judge(self, reading: _Reading, witness: float | None) -> None:
        grown = (reading.boot - self._looked_at) * _ALLOWANCE_GROWS
        self._allowance = min(_ALLOWANCE_S, self._allowance + grown)
        self._looked_at = reading.boot
        ahead = reading.wall_ahead - self._kept
        if abs(ahead) <= _NOISE_S:
            self._jump = None
        elif abs(ahead) <= self._allowance:
            self._allowance -= abs(ahead)
            self._kept, self._jump = reading.wall_ahead, None
        else:
            self._judge_jump(reading, ahead, witness)
        if witness is not None:
            self._note_difference(witness)

    def _judge_jump(self, reading: _Reading, ahead: float, witness: float | None) -> None:
        jump = self._jump
        known = jump is not None and abs(jump.ahead_s - ahead) <= _ALLOWANCE_S
        since = jump.since if jump is not None and known else reading.boot
        agreed = witness is not None and self._agrees(witness, reading)
        if agreed or reading.boot < _SETTING_S or reading.boot - since >= _STANDS_S:
            self._kept, self._jump = reading.wall_ahead, None
            _warn("a jump of the host's clock is adopted", seconds=round(ahead, 1), witnessed=agreed)
            return
        if not known:
            _warn(
                "the host's clock jumped; going on as if it had not, until the publisher's time agrees with it",
                seconds=round(ahead, 1),
            )
        # A witness that does not agree contradicts it.
        self._jump = _Jump(ahead, since if witness is None else reading.boot)

    def _agrees(self, witness: float, reading: _Reading) -> bool:
        by_wall = abs(reading.wall_ahead - witness)
        return by_wall <= _WITNESS_S and by_wall < abs(self._kept - witness)

    def _note_difference(self, witness: float) -> None:
        differs = abs(witness - self._kept) > _WITNESS_S
        if differs and not self._differs:
            _warn(
                "this host's clock and the publisher's are not the same; set the wrong one right",
                seconds=round(witness - self._kept, 1),
            )
        self._differs = differs

    def _carry_on(self, reading: _Reading) -> None:
        self._offset = self._kept - reading.awake_ahead
        self._look_at = reading.boot + reading.awake_ahead + _LOOK_EVERY_S

    def _read(self) -> _Reading:
        """Read all clocks as much at once as can be: a process may lose its processor in between."""
        best: _Reading | None = None
        for _ in range(_READINGS):
            begin = self._clocks.boot()
            wall, awake = self._clocks.wall(), self._clocks.awake()
            end = self._clocks.boot()
            middle = (begin + end) / 2
            if best is None or end - begin < best.spread:
                best = _Reading(end, wall - middle, awake - middle, end - begin)
            if best.spread <= _NOISE_S / 10:
                break
        assert best is not None  # noqa: S101 - there is at least one reading
        return best


class _Jump(NamedTuple):
    """A jump that is ignored: how far the wall clock is ahead, and since when by the boot clock nobody contradicted it."""

    ahead_s: float
    since: float


def _warn(event: str, **facts: object) -> None:
    import structlog  # noqa: PLC0415 - every command has a clock, and hardly ever something to say about it

    structlog.get_logger("portcullis.clock").warning(event, **facts)


def boot_id(file: Path = _BOOT_ID) -> str:
    """Name the present boot of the host; "" where the host does not tell.

    Monotonic times can be compared only when they come from one boot, so whoever writes one down writes this beside it.
    """
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
