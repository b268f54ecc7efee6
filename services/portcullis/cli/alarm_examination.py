"""What the doctor looks at of alarms: which partners are held back, or told of, just now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

from portcullis.cli.findings import Finding, State, finding_of
from portcullis.cli.output import time_text
from portcullis.cli.wiring import Wiring
from portcullis.domain.errors import PortcullisError

if TYPE_CHECKING:
    from portcullis.config import Settings
    from portcullis.domain.alarms import Board

_MEND = "call the partner; `portcullis partner alarms` tells more, `portcullis partner release NAME` answers it again"


class AlarmWiring(Wiring, Protocol):
    """What this look needs besides."""

    def examine_alarms(self, settings: Settings) -> Board:
        """Give what is on the alarm board, changing nothing.

        Raises:
            SetupFault: this host knows of no store.
            StoreUnavailable: it can't be reached.
        """
        ...


def alarms(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether a partner seems to go through numbers."""
    try:
        holding = sorted(
            cast("AlarmWiring", wiring).examine_alarms(settings).holding(wiring.clock.now()), key=lambda each: each.partner
        )
    except PortcullisError as fault:
        yield finding_of(fault, "alarms")
        return
    for each in holding:
        done = f"is {each.level}" if not each.told_only else f"would be {each.level} if it were not only watched"
        what = f"{each.partner} {done} until {time_text(int(each.until))}, for {', '.join(each.signs) or 'its questions'}"
        yield Finding("alarms", State.WARN, what, _MEND)
    if not holding:
        yield Finding("alarms", State.OK, "no partner is held back")
