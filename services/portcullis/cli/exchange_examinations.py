"""What the doctor looks at of decisions and events on their way: this host's spool, and what the exchange leaves behind.

That the exchange runs is seen by its work, in the journal's database, so it can be seen from any host that reaches that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

from portcullis.cli.examined import LogExamined, SpoolExamined
from portcullis.cli.findings import MIB, NO_DISK_BYTES, NO_ROOM, Finding, State, finding_of
from portcullis.cli.wiring import Wiring
from portcullis.domain.errors import PortcullisError

if TYPE_CHECKING:
    from portcullis.config import Settings

_SHIPPED_WITHIN_S = 60.0
"""A segment is left after ten seconds, or twice that, and deleted once it is shipped."""
_FED_WITHIN_S = 30.0
"""The feed is marked as complete every two seconds; an import is taken over meanwhile."""


class ExchangeWiring(Wiring, Protocol):
    """What these looks need besides."""

    def examine_spool(self, settings: Settings) -> SpoolExamined:
        """Say what stands in this host's spool, changing nothing.

        Raises:
            Unavailable: it can't be read or written.
        """
        ...

    def examine_log(self, settings: Settings) -> LogExamined:
        """Say how far the exchange is with the journal's log and the feed, changing nothing.

        Raises:
            PortcullisError: the journal's database is not well.
        """
        ...


def spool(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether decisions can be recorded on this host, and how long they have waited for the journal."""
    try:
        seen = cast("ExchangeWiring", wiring).examine_spool(settings)
    except PortcullisError as fault:
        yield finding_of(fault, "spool")
        return
    age_s = 0.0 if seen.oldest_at is None else wiring.clock.now() - seen.oldest_at
    held = f"{seen.bytes_held / 1024:,.0f} KiB of decisions, the oldest of {age_s:,.0f} s ago"
    what = held if seen.bytes_held else "empty"
    if seen.free_bytes < NO_DISK_BYTES:
        yield Finding("spool", State.FAIL, f"{seen.free_bytes / MIB:,.0f} MiB free on its disk", NO_ROOM)
    elif age_s > _SHIPPED_WITHIN_S:
        mend = "is a shipper running (`portcullis serve shipper`, or the exchange of this home)? its log says what refuses"
        yield Finding("spool", State.WARN, what, mend)
    else:
        yield Finding("spool", State.OK, what)
    if seen.set_aside:
        mend = "keep them, they may hold decisions that are nowhere else; look at the disk"
        yield Finding("spool", State.WARN, f"{seen.set_aside} damaged segments were set aside (*.damaged)", mend)


def exchange(wiring: Wiring, settings: Settings) -> Iterator[Finding]:
    """Look whether the exchange signs the journal and feeds the partners' feed, by what it leaves in the journal."""
    try:
        seen = cast("ExchangeWiring", wiring).examine_log(settings)
    except PortcullisError:
        # The look at the journal has told why.
        return
    now = wiring.clock.now()
    yield _checkpoint(seen, now, settings)
    mend = "is the exchange running (`portcullis serve exchange`)? its log says what fails"
    if not seen.fed_until:
        yield Finding("exchange", State.WARN, "it has never fed the partners' feed", mend)
    elif now - seen.fed_until > _FED_WITHIN_S:
        what = f"the partners' feed is complete up to {now - seen.fed_until:,.0f} s ago"
        yield Finding("exchange", State.WARN, what, mend)
    else:
        yield Finding("exchange", State.OK, "it runs, and the partners' feed is complete")


def _checkpoint(seen: LogExamined, now: float, settings: Settings) -> Finding:
    if seen.fault:
        mend = (
            "change nothing, copy the database and the key files away, then see `portcullis journal verify`; was a backup "
            "restored, stop everything and see `portcullis journal restored`"
        )
        return Finding("checkpoint", State.FAIL, seen.fault, mend)
    what = f"{seen.signed:,} of {seen.entries:,} entries of the journal are signed"
    if seen.unsigned_since is not None and now - seen.unsigned_since > max(10.0, 5 * settings.checkpoint_interval_s):
        mend = "is the exchange running (`portcullis serve exchange`)? its log says why it signs nothing"
        return Finding("checkpoint", State.WARN, f"{what}, the next for {now - seen.unsigned_since:,.0f} s not", mend)
    return Finding("checkpoint", State.OK, what if seen.is_proven else f"{what}; the key to prove it is not on this host")
