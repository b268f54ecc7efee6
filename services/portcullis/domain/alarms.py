"""Alarms: what is known of partners that are suspected of probing, and when it ends.

1. A stop lasts a quarter of an hour, and twice as long at each repetition within a day, a day at most. Being slowed lasts a
   quarter of an hour after the last sign.
2. An alarm ends at its time, or when an operator releases the partner. A release has a number: an alarm that was raised
   without knowing of it is void, so the clocks of two hosts need not agree.
3. An alarm raised at one worker holds at all.

Example: stopped at 10:00 and again at 10:20, a partner is answered again at 10:50; released at 10:25, at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

import msgspec

from portcullis.domain.probing import Level

FIRST_HOLD_S = 900.0
LONGEST_HOLD_S = 86_400.0
REPEATED_WITHIN_S = 86_400.0
"""What is repeated within this is held for twice as long; an alarm is shown for as long after its end."""
KEPT_S = 30 * 86_400
"""A board keeps alarms and releases for so long after its last change."""


_LevelName = Annotated[str, msgspec.Meta(pattern="^(slowed|stopped)$")]
_Token = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{2})+$", max_length=64)]
_Canaries = Annotated[tuple[tuple[_Token, float], ...], msgspec.Meta(max_length=256)]


class Alarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alarm. It holds nothing that was asked about, but of canaries, which are nobody's numbers.

    Attributes:
        partner: whose credential was used.
        level: "slowed" or "stopped".
        signs: what it rests on (`portcullis.domain.probing.Sign`).
        raised_at: Unix seconds.
        until: when it ends by itself, Unix seconds.
        gateway: the host that raised it.
        probes: how many different numbers had been asked about since the first sign.
        times: which stop within a day it is, from 1.
        told_only: nothing was held back, since the partner may go through numbers.
        releases: the number of the last release of this partner that was known of; 0 where none was.
        canaries: the tokens (hexadecimal) of the canaries that were asked about, and when (Unix seconds), so that another
            one elsewhere is a second one.
    """

    partner: str
    level: _LevelName
    signs: tuple[str, ...]
    raised_at: float
    until: float
    gateway: str
    probes: int
    times: int = 1
    told_only: bool = False
    releases: int = 0
    canaries: _Canaries = ()


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A partner's release: by whom, when (Unix seconds) and why. Its ``number`` is larger than that of any before it."""

    partner: str
    number: int
    by: str
    at: float
    why: str = ""


class Board(NamedTuple):
    """What is known at all gateways: alarms not older than a day, and the last release of each partner."""

    alarms: tuple[Alarm, ...] = ()
    releases: Mapping[str, Release] = {}

    def holding(self, now: float) -> Iterable[Alarm]:
        """Give the alarms that hold at a time (Unix seconds)."""
        return (each for each in self.alarms if each.until > now and not self.released(each))

    def seen(self, now: float) -> Iterable[Alarm]:
        """Give the alarms that hold at a time, and those that ended within a day before it, the newest first."""
        seen = (each for each in self.alarms if each.until > now - REPEATED_WITHIN_S)
        return sorted(seen, key=lambda each: each.raised_at, reverse=True)

    def next_release(self, partner: str, *, by: str, at: float, why: str) -> Release:
        """Make a partner's next release: every alarm that is up, or was released, is void by it.

        Releases may be lost with the board, which then begins without any, while gateways know of them still and go by none
        of a lower number. So a number is the time in milliseconds, or the next where that is taken: clocks of two hosts need
        not agree while the board stands, and must only not go back over a loss of it.
        """
        former = self.releases.get(partner)
        known = max([former.number if former else 0, *(each.releases for each in self.alarms if each.partner == partner)])
        return Release(partner=partner, number=max(known + 1, int(at * 1_000)), by=by, at=at, why=why)

    def released(self, alarm: Alarm) -> Release | None:
        """Give the release that ended an alarm, None where none has."""
        release = self.releases.get(alarm.partner)
        return release if release is not None and release.number > alarm.releases else None


def hold_s(times: int) -> float:
    """Give how long the stop lasts that is so many-th within a day, in seconds."""
    return min(FIRST_HOLD_S * 2.0 ** min(times - 1, 16), LONGEST_HOLD_S)


def level_name(level: Level) -> str:
    """Name a level as alarms do."""
    return level.name.lower()
