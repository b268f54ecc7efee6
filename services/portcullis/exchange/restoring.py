"""What has to be done once a journal was restored from a backup, before anything works on it again.

The rules:

1. The journal begins a timeline (`portcullis.domain.timelines`): the log and the feed go by names that were never given out.
   So a cursor of before is refused, and told where to start, whatever the feed will hold at its place.
2. Nothing is removed. The feed's progress is that of the backup too, so the feeder reads from the registry again what the
   backup lacks, and tells it again; what partners had reported since is lost, and only they can report it again.
3. Streams go on from their places in the backup, under ids that no receiver has seen. Streams to authorities, and what
   follows from reports, go on from no later than the newest checkpoint in the journal. After a restore none is signed until
   a person has decided so, so what was reported since, and took places that were read before, is not passed over.
4. That does not hold for streams to partners where an exchange has worked on the restored database before this: then they go
   on from the oldest change that is kept, if the operator says so.
5. While an exchange works nothing is done. One of this home is known by its hold on the spool, which whoever calls this has
   taken. One of another home is known by the feed's mark, where clocks agree and it reaches the registry.

Example: the log has 900 entries in the backup, the last 10 of them unsigned, and had 1,000. Reports had been followed up to
entry 990, under the old name. They are followed from 890 under the new one; following one twice has no further effect.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from portcullis.domain.errors import SetupFault
from portcullis.domain.timelines import TIMELINE_BYTES, log_of_timeline
from portcullis.ports import Clock, FeedStore, Journal, Look, SettlementStore
from portcullis.ports.timelines import Timeline, TimelineStore

QUIET_S: Final = 10.0
"""For how long no exchange must have fed the feed: one that works marks it every two seconds."""


def begin_timeline(
    store: TimelineStore,
    *,
    journal: Journal,
    feed: FeedStore,
    settlements: SettlementStore,
    clock: Clock,
    actor: str,
    purpose: str,
    from_oldest: bool = False,
    draw: Callable[[int], bytes] = secrets.token_bytes,
) -> Timeline:
    """Begin a timeline of a journal that was restored from a backup; the caller holds the spool. Blocks on both databases.

    Args:
        store: the journal's database.
        journal: the same, for reading.
        feed: the feed in it.
        settlements: keep how far reports were followed, with the registry.
        clock: wall time.
        actor: who says so.
        purpose: why; it is written to the journal.
        from_oldest: have streams deliver again all that is kept.
        draw: gives so many unpredictable bytes.

    Raises:
        SetupFault: an exchange works on this journal.
        JournalUnavailable, RegistryUnavailable: a database can't be used; doing it again is safe.
    """
    fed_s = clock.now() - feed.ends().as_of
    if abs(fed_s) < QUIET_S:
        raise SetupFault(
            f"the feed was written {max(0.0, fed_s):.0f} s ago, so an exchange works on this journal; stop every "
            f"`portcullis run` and `serve` on it, wait {QUIET_S:.0f} s, and try again"
        )
    timeline = draw(TIMELINE_BYTES).hex()
    signed = journal.checkpoint()
    since = min(signed.size if signed else 0, journal.size())
    # Noted first, since nobody reads under the new name yet: a crash between the two leaves a row that nobody asks for.
    followed = settlements.read_up_to(journal.timeline())
    settlements.mark_read(log_of_timeline(journal.origin(), timeline), min(followed, since))
    look = Look(actor=actor, at=clock.now(), purpose=purpose)
    return store.begin(timeline, since=since, from_oldest=from_oldest, look=look)
