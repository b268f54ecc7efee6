"""Where a stream's events come from: the feed for a partner, the journal for an authority.

What a stream may carry is decided as it is read, by the policy in force then: a partner is told what an agreement in force
covers, save of lists that never leave the registry; an authority is told what was reported about its own lists. The
policy is looked at after each reading: a list agreed on, or given to an authority, just before would be passed over else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from portcullis.domain.changes import FeedChange
from portcullis.domain.errors import NotPermitted
from portcullis.domain.security_events import CHANGE_TYPES, REPORT_TYPES
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.covering import Covering
from portcullis.exchange.relay.rendering import Fact, tell_change, tell_report
from portcullis.ports import Clock, FeedStore, KnownPolicy
from portcullis.ports.relay import ReportedEvents, Stream


class Item(NamedTuple):
    """An event of a stream, and the position that the stream has with it behind."""

    position: int
    fact: Fact


class Batch(NamedTuple):
    """Events of a stream in their order; ``reached`` is the position up to which the log was looked through."""

    items: Sequence[Item]
    reached: int


class Ends(NamedTuple):
    """The log's name; the position after which everything is kept, and the last one."""

    log: str
    oldest: int
    newest: int


class Source(Protocol):
    """A log that streams read. Any method blocks, and may raise Unavailable."""

    def ends(self) -> Ends:
        """Say where the log begins and ends. Cheap."""
        ...

    def read(self, stream: Stream, after: int, limit: int) -> Batch:
        """Look through ``limit`` places after a position for what a stream carries."""
        ...

    def event_types(self) -> Sequence[str]:
        """Give the types of events there are."""
        ...

    def knows(self, holder: str) -> bool:
        """Say whether the policy in force knows a stream's holder."""
        ...


class PartnerSource:
    """The feed of changes, as partners are told it.

    Args:
        feed: the feed.
        known: what is known of the policy.
        names: names entries for partners.
        clock: judges agreements.
    """

    def __init__(self, feed: FeedStore, *, known: KnownPolicy, names: SubjectNames, clock: Clock) -> None:
        self._feed = feed
        self._known = known
        self._names = names
        self._covering = Covering(known.policy, clock)

    def ends(self) -> Ends:
        """Say where the feed begins and ends."""
        ends = self._feed.ends()
        return Ends(ends.feed, ends.oldest, ends.newest)

    def read(self, stream: Stream, after: int, limit: int) -> Batch:
        """Look through the feed for what the partner's agreements in force cover."""
        changes = self._feed.read(after, limit)
        if not changes:
            return Batch((), after)
        self._known.look()
        items = [
            Item(change.position, tell_change(change, self._named(stream.holder, change)))
            for change in changes
            if _wants(stream, CHANGE_TYPES[change.kind]) and self._tells(stream.holder, change)
        ]
        return Batch(items, changes[-1].position)

    def _named(self, partner: str, change: FeedChange) -> str:
        epoch = self._covering.feed_epoch(partner)
        return self._names.name(partner, change.list_number, change.entry_id, epoch)

    def _tells(self, partner: str, change: FeedChange) -> bool:
        try:
            return self._covering.tells(partner, (), change)
        except NotPermitted:
            return False

    def event_types(self) -> Sequence[str]:
        """Give the types of changes."""
        return tuple(CHANGE_TYPES.values())

    def knows(self, holder: str) -> bool:
        """Say whether there is such a partner."""
        return self._known.policy().partner_named(holder) is not None


class AuthoritySource:
    """What partners reported, as the authorities of the lists are told it.

    Args:
        reported: the events in the journal.
        known: what is known of the policy, which says whose a list is.
    """

    def __init__(self, reported: ReportedEvents, *, known: KnownPolicy) -> None:
        self._reported = reported
        self._known = known

    def ends(self) -> Ends:
        """Say where the journal begins and ends; it keeps everything."""
        return Ends(self._reported.timeline(), 0, self._reported.size())

    def read(self, stream: Stream, after: int, limit: int) -> Batch:
        """Look through the journal for what was reported about the authority's lists."""
        size = self._reported.size()
        events = self._reported.read(after, limit)
        reached = events[-1].sequence + 1 if len(events) == limit else max(size, after)
        if not events:
            return Batch((), reached)
        self._known.look()
        own = {each.name for each in self._known.policy().lists if each.authority == stream.holder}
        items = []
        for event in events:
            cases = [case for case in event.cases if case.list in own]
            if cases and _wants(stream, REPORT_TYPES[event.event.kind]):
                items.append(Item(event.sequence + 1, tell_report(event, cases)))
        return Batch(items, max(reached, events[-1].sequence + 1))

    def event_types(self) -> Sequence[str]:
        """Give the types of reports."""
        return tuple(REPORT_TYPES.values())

    def knows(self, holder: str) -> bool:
        """Say whether a list of the policy is this authority's."""
        return any(each.authority == holder for each in self._known.policy().lists)


def _wants(stream: Stream, event_type: str) -> bool:
    return not stream.settings.events_requested or event_type in stream.settings.events_requested
