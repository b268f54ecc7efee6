"""Shipping: what is signed reaches the store, is vouched for there, mended, and cleared away when it is done with."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import structlog

from portcullis.domain.history import Version
from portcullis.ports import Clock, SnapshotRepository, SnapshotStore
from portcullis.publisher.collecting import Collector
from portcullis.publisher.counts import PublisherCounts
from portcullis.publisher.history import History
from portcullis.publisher.passes import Beat
from portcullis.publisher.reworks import Reworks
from portcullis.publisher.sending import TIMESTAMP_FILE, StoreCopy

VOUCH_INTERVAL_S = 1.0

_log = structlog.get_logger("portcullis.publisher")


class _Signed(NamedTuple):
    """A version that was signed and is not known to stand in the store yet; ``begun`` is monotonic."""

    begun: float
    note: Version


class Shipping:
    """Keeps one store as one repository says.

    Args:
        store: where to.
        repository: what is to be there.
        reworks: what they have sent already stays.
        clock: monotonic time.
        counts: where versions and refills are counted.
        history: where versions are noted.
        holder: the lease's.
        beat: called now and then in everything that takes long.
    """

    def __init__(
        self,
        *,
        store: SnapshotStore,
        repository: SnapshotRepository,
        reworks: Reworks,
        clock: Clock,
        counts: PublisherCounts,
        history: History,
        holder: str,
        beat: Beat,
    ) -> None:
        self._store = store
        self._repository = repository
        self._reworks = reworks
        self._clock = clock
        self._counts = counts
        self._history = history
        self._beat = beat
        self._copy = StoreCopy(store, holder)
        self._collector = Collector(store, clock, holder)
        self._unsent: _Signed | None = None
        self._clogged = False
        self._refilling = False
        self._vouch_due = 0.0
        self._inspection_due = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to vouch again."""
        return self._clock.monotonic() >= self._vouch_due

    @property
    def is_needed(self) -> bool:
        """Whether it is not known that the store has what was signed."""
        return not self._copy.is_known

    def begin(self) -> bytes | None:
        """Begin beside a store of which nothing is known; gives the timestamp that stands there.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        self._copy.forget()
        self._collector.begin(self._repository.publication())
        return self.read_metadata(TIMESTAMP_FILE)

    def read_metadata(self, name: str) -> bytes | None:
        """Give a metadata file that stands in the store, or None.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        return self._store.read_metadata(name)

    def compare(self, stamp: bytes | None) -> None:
        """Compare what stands in the store, ``stamp`` among it, with what was signed, and fill it at once if it is empty.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        publication = self._repository.publication()
        if stamp != publication.metadata[TIMESTAMP_FILE] or not self._store.holds(publication.targets):
            self._count_refill()
        if stamp is None:
            self.send()
        self._vouch_due = 0.0

    def ship(self, begun: float, note: Version) -> None:
        """Send a version just signed; ``begun`` is when it was begun, monotonic.

        Raises:
            LeaseLost: another publishes now.
            StoreUnavailable: the store can't be reached, or is full; `renew` goes on with it.
        """
        self._unsent = _Signed(begun, note)
        self._vouch_due = begun + VOUCH_INTERVAL_S
        # A registry that changes all the time leaves no look to `renew`.
        is_due = self._clock.monotonic() >= self._inspection_due
        if is_due:
            self._inspect()
        self.send()
        if is_due:
            self._collect()

    def renew(self, asked_at: float) -> None:
        """Vouch for what stands, as of when the registry was asked (Unix seconds), and see to the store.

        Raises:
            LeaseLost: another publishes now.
            StoreUnavailable: the store can't be reached, or is full.
            SetupFault: the key is not at hand.
            OSError: the disk refused.
        """
        self._inspect()
        self._repository.vouch(now=asked_at)
        self.send()
        self.postpone()
        self._collect()

    def _inspect(self) -> None:
        """Look whether the store still has what was put there."""
        self._inspection_due = self._clock.monotonic() + VOUCH_INTERVAL_S
        if self._copy.is_known and not self._copy.stands():
            self._copy.forget()
            self._count_refill()

    def postpone(self) -> None:
        """Let it be a while until it is time to vouch again."""
        self._vouch_due = self._clock.monotonic() + VOUCH_INTERVAL_S

    def send(self) -> None:
        """Make the store hold what is signed; raises as `ship`."""
        publication, old = self._repository.publication(), self._copy.put
        if self._clogged:
            self._collect(at_once=True)
        self._clogged = True
        sent = self._copy.send(publication, self._beat)
        self._clogged = self._refilling = False
        self._collector.replace(old, publication, self._copy.sizes)
        if self._unsent is not None:
            self._note(self._unsent, sent)
            self._unsent = None

    def _note(self, signed: _Signed, sent_bytes: int) -> None:
        seconds = self._clock.monotonic() - signed.begun
        note = signed.note
        self._counts.published(note.version, seconds, sent_bytes)
        for each in note.lists:
            if each.folded or each.compacted:
                self._counts.reworked(folded=each.folded, compacted=each.compacted)
        # Ten times a second, when the registry is busy; a base is worth more.
        log = _log.info if any(each.kind == "base" for each in note.lists) else _log.debug
        log("published", version=note.version, lists=len(note.lists), bytes=sent_bytes, seconds=round(seconds, 3))
        with suppress(OSError):
            # Nothing rests on the log; a disk that is full is met where something does.
            self._history.note(note)

    def _count_refill(self) -> None:
        # A store that lost everything lost the lease too, and is met again once that is taken anew.
        if self._refilling:
            return
        self._refilling = True
        self._counts.refilled()
        _log.warning("the store does not hold what was published; filling it again")

    def _collect(self, *, at_once: bool = False) -> None:
        in_force = (self._copy.put, self._repository.publication())
        self._collector.collect(in_force, self._reworks.stored(), at_once=at_once)
