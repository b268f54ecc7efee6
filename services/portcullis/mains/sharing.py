"""The exchange's desks, joined to an open journal and its feed, for whichever process serves them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from portcullis.adapters.redis.announcer import RedisAnnouncer
from portcullis.config import Settings
from portcullis.exchange.proving import Prover
from portcullis.exchange.reporting import EventDesk
from portcullis.exchange.watching import FeedWatch
from portcullis.gateway.servicers.sharing import SharingDesks
from portcullis.mains.parts import open_feed, open_subjects
from portcullis.mains.stack_file import locate_store
from portcullis.ports import Clock, Journal, KnownPolicy


@asynccontextmanager
async def open_sharing(
    settings: Settings, journal: Journal, *, known: KnownPolicy, clock: Clock, count_fault: Callable[[], object]
) -> AsyncIterator[SharingDesks]:
    """Build the desks, and follow the feed while the context lasts.

    Args:
        settings: name the journal's database, the store and the keys.
        journal: open.
        known: what is known of the policy; looked at anew for every change.
        clock: wall and monotonic time.
        count_fault: called for each fault of the store.

    Raises:
        SetupFault: no store is set, or the token key is missing.
        JournalUnavailable: the feed can't be read.
    """
    announcer = RedisAnnouncer(locate_store(settings), count_fault=count_fault)
    async with aclosing(announcer):
        with open_feed(settings) as feed:
            watch = FeedWatch(feed, announcer, open_subjects(settings), known, clock, heartbeat_s=settings.heartbeat_s)
            async with watch:
                yield SharingDesks(EventDesk(journal, Prover(journal), clock), watch)
