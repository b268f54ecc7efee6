"""The publisher: keeps the newest state of the registry in the store, signed, and vouches for it every second.

The rules:

1. A change of the registry becomes the next version: a delta for each list that changed, and the head. Its number is the
   time in milliseconds, and in any case more than any known. Signing is the commit: what is signed is on this host's disk,
   in the repository, before anything is sent, and the store is a copy of it. So a publisher that was killed at any point
   goes on from there: it sends what it had signed, and leads its mirror on by its own deltas. Nothing is compiled twice.
2. To vouch is to say: a moment ago this was the newest state of the registry. So nothing is vouched for while the registry
   can't be asked, or holds changes that are not published yet. A version is vouched for as of its reading.
3. What stands in the store is compared every second with what was put there. A store found empty, older or damaged is a
   fault, counted, and is filled again from the repository's files.
4. A registry that knows fewer changes than were published, or another one under the number of the last that was, is
   another registry or an old copy that was written to since. It is not published.
5. One publisher works on a store, the one that has the lease; the others wait. Nothing is signed or sent without it. One
   that can't publish for want of its own keys or disk gives it back, so that another can: at once where nothing that it
   signed stands, otherwise after `STEP_ASIDE_S`.
6. A publisher that takes over after another has published, whose repository was lost, or comes back from a backup, can't
   lead on from its own state. It takes note of the versions in the store and compiles every list anew. That costs a pass
   over the registry, a base for every list, and each follower a base again; checks go on meanwhile from what they have.
   It must hold the keys of all lists, or it does not publish: a list that it left out would be a list with no one on it.
7. One list that can't be compiled or signed never stops the others (`portcullis.publisher.revising`).
8. Folding, compacting and collecting go on beside, a few milliseconds at a time. What they have done is put in force with
   the next change, or by itself within a second.
9. No fault ends the loop. Each is counted at every try, and logged when it begins and when it is over.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from pathlib import Path

import structlog

from portcullis.domain.documents import Documents
from portcullis.domain.errors import (
    LeaseLost,
    PortcullisError,
    RegistryUnavailable,
    SetupFault,
    SnapshotInvalid,
    StoreUnavailable,
)
from portcullis.domain.history import Version
from portcullis.ports import Clock, RegistryReader, ReplicaWriter, SnapshotRepository, SnapshotStore
from portcullis.publisher.counts import PublisherCounts
from portcullis.publisher.history import History
from portcullis.publisher.leasing import TAKEN, Lease
from portcullis.publisher.lineage import demand_not_before, demand_same
from portcullis.publisher.mirroring import Mirror
from portcullis.publisher.revising import Reviser, Revision, published_lists
from portcullis.publisher.reworks import Reworks
from portcullis.publisher.shipping import Shipping
from portcullis.publisher.stalls import KEY_NOT_HERE, RETRY_S, Stall, Stalls
from portcullis.publisher.standing import load_standing

STEP_ASIDE_S = 10.0
"""How long a publisher that has published keeps the lease while its keys or its disk fail it."""

_LONGEST_PAUSE_S = 2.0
_PARTS = {RegistryUnavailable: "registry", StoreUnavailable: "store", SnapshotInvalid: "disk"}

_log = structlog.get_logger("portcullis.publisher")


class _Stopped(Exception):
    """The loop shall end; raised where something takes long."""


class Publisher:
    """Publishes one registry to one store.

    Args:
        registry: what is published.
        store: where to.
        repository: this publisher's own copy of what it signed.
        mirror: this publisher's own replica.
        clock: wall time for versions and vouching, monotonic time for everything else.
        counts: where its events are counted.
        publish_interval_s: how long it rests between two looks.
        folder: where the log of versions lies; it is there.
        holder: its name for the lease; a random one where it is empty.
    """

    def __init__(
        self,
        *,
        registry: RegistryReader,
        store: SnapshotStore,
        repository: SnapshotRepository,
        mirror: ReplicaWriter,
        clock: Clock,
        counts: PublisherCounts,
        publish_interval_s: float,
        folder: Path,
        holder: str = "",
    ) -> None:
        holder = holder or uuid.uuid4().hex
        self._registry = registry
        self._repository = repository
        self._clock = clock
        self._counts = counts
        self._publish_interval_s = publish_interval_s
        self._lease = Lease(store, clock, holder)
        self._mirror = Mirror(mirror, repository, self._beat_beside)
        self._reworks = Reworks(repository, store, clock)
        self._reviser = Reviser(
            repository=repository,
            mirror=mirror,
            reworks=self._reworks,
            clock=clock,
            counts=counts,
            signing_fault=self._signing_fault,
            beat=self._beat,
        )
        self._shipping = Shipping(
            store=store,
            repository=repository,
            reworks=self._reworks,
            clock=clock,
            counts=counts,
            history=History(folder),
            holder=holder,
            beat=self._beat,
        )
        self._standing: Documents | None = None
        self._adopted = False
        self._working = False
        self._others_worked = False
        self._stalls: Stalls = {}
        self._barred: dict[str, tuple[float, str]] = {}
        self._fault = ""
        self._failing_since: float | None = None
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Publish until told to stop."""
        self._stop = stop
        failures = 0
        while not stop.is_set():
            failures = 0 if self.look() else failures + 1
            stop.wait(min(_LONGEST_PAUSE_S, self._publish_interval_s * 2 ** min(failures, 10)))
        self.close()

    def close(self) -> None:
        """Give up what is under way, and the lease."""
        self._reworks.give_up()
        with suppress(PortcullisError):
            # A lease that can't be given back runs out by itself.
            self._lease.release()

    def look(self) -> bool:
        """Look once, and do what is needed; False when that failed. Raises nothing.

        May block on the registry, the store and the disk, and takes as long as compiling takes.
        """
        try:
            self._look()
        except LeaseLost as fault:
            self._lease.lost()
            self._pause(fault.message)
        except _Stopped:
            _log.info("stopping")
        except OSError as fault:
            self._step_aside()
            return self._failed("disk", fault.strerror or type(fault).__name__)
        except SetupFault as fault:
            self._step_aside()
            return self._failed("keys", fault.message)
        except PortcullisError as fault:
            return self._failed(_PARTS.get(type(fault), "other"), fault.message)
        except Exception as fault:  # noqa: BLE001 - rule 9; the class alone, for a message of others may hold anything
            return self._failed("other", f"unexpected: {type(fault).__name__}")
        self._well()
        return True

    def _well(self) -> None:
        self._failing_since = None
        if self._adopted and not self._working and self._standing is not None:
            self._working = True
            _log.info("publishing", version=self._standing.head.version)
        elif self._fault:
            _log.info("publishing again")
        self._fault = ""

    def _failed(self, part: str, message: str) -> bool:
        self._counts.failed(part)
        if message != self._fault:
            _log.warning("not publishing; still trying", part=part, fault=message)
            self._fault = message
        return False

    def _step_aside(self) -> None:
        """Let another publish what this one can't; the pause after a fault soon grows longer than others wait to ask."""
        now = self._clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if not self._lease.held or (self._standing is not None and now < self._failing_since + STEP_ASIDE_S):
            return
        self._failing_since = None
        self._adopted = self._working = False
        self._reworks.give_up()
        self._counts.leased(held=False)
        with suppress(PortcullisError):
            self._lease.release()

    def _look(self) -> None:
        if not self._takes_lease():
            return
        asked_at = self._clock.now()
        head = self._registry.head()
        if not self._adopted:
            self._adopt(head)
        demand_not_before(head, self._standing)
        if not (self._is_behind(head) and self._publish()) and self._must_vouch():
            self._shipping.renew(asked_at)
        self._follow()
        if self._standing is not None:
            self._reworks.step(self._standing)

    # --- the lease -----------------------------------------------------------------------------------------------------

    def _takes_lease(self) -> bool:
        if self._lease.ask():
            self._counts.leased(held=True)
            return True
        self._counts.leased(held=False)
        if not self._others_worked:
            self._others_worked = True
            self._pause(TAKEN)
        return False

    def _pause(self, reason: str) -> None:
        """Stop working; whatever stands is looked at anew before this publisher goes on."""
        _log.warning("waiting for the lease", reason=reason)
        self._adopted = self._working = False
        self._reworks.give_up()
        self._counts.leased(held=False)

    def _beat(self) -> None:
        """Keep the lease while something takes long that ends in a version."""
        if self._stop.is_set():
            raise _Stopped
        self._lease.keep()

    def _beat_beside(self) -> None:
        """Keep the lease, and vouch, while something takes long beside a version that stands."""
        if self._stop.is_set():
            raise _Stopped
        if not self._shipping.is_due:
            return
        self._shipping.postpone()
        # The next look meets the same fault, and says so; what is under way needs neither registry nor store.
        with suppress(PortcullisError, OSError):
            asked_at = self._clock.now()
            standing = self._standing
            if self._lease.ask() and standing is not None and self._registry.head() == standing.head.registry_seq:
                self._shipping.renew(asked_at)

    # --- what stands -----------------------------------------------------------------------------------------------------

    def _adopt(self, head: int) -> None:
        """Take over what was signed last, here or by another."""
        stamp = self._shipping.begin()
        if stamp is not None:
            self._repository.surpass(self._shipping.read_metadata)
        standing = load_standing(self._repository)
        demand_not_before(head, standing)
        if standing is not None and self._was_surpassed(standing, stamp):
            _log.warning("another has published since; compiling every list anew", version=self._repository.version())
            standing = None
        if standing is not None:
            with self._registry.view() as view:
                demand_same(view, standing)
            self._shipping.compare(stamp)
            if not self._mirror.is_of(standing):
                _log.warning("the mirror is of another state; building it anew")
                self._mirror.rebuild(standing)
        self._standing = standing
        self._stalls = _known_stalls(standing, self._clock.monotonic())
        self._adopted = True
        self._others_worked = False

    def _was_surpassed(self, standing: Documents, stamp: bytes | None) -> bool:
        return self._repository.version() > standing.head.version or (stamp is None and self._others_worked)

    def _follow(self) -> None:
        if self._standing is None:
            return
        try:
            self._mirror.follow(self._standing)
        except SnapshotInvalid:
            # The files here are not what was signed: everything begins anew from the registry.
            self._standing = None
            raise

    # --- publishing ------------------------------------------------------------------------------------------------------

    def _is_behind(self, head: int) -> bool:
        standing, now = self._standing, self._clock.monotonic()
        if standing is None or head != standing.head.registry_seq or self._reworks.broken:
            return True
        self._wake_stalls()
        if any(now >= stall.retry_at for stall in self._stalls.values()):
            return True
        return self._shipping.is_due and (self._reworks.ready or self._repository.due(now=self._clock.now()))

    def _must_vouch(self) -> bool:
        return self._standing is not None and (self._shipping.is_needed or self._shipping.is_due)

    def _publish(self) -> bool:
        """Publish the registry as it is; False where that is no other than what stands."""
        self._follow()
        begun = self._clock.monotonic()
        try:
            revision = self._revise()
        finally:
            # What a try has left that came to nothing.
            self._repository.collect(self._reworks.targets())
        self._stalls = revision.stalls
        self._counts.stalled(self._stalls.keys())
        if not revision.changed:
            self._reworks.broken.clear()
            return False
        self._standing, head = revision.standing, revision.standing.head
        self._reworks.settle(revision.standing)
        note = Version(
            version=head.version,
            published_at=head.published_at,
            registry_seq=head.registry_seq,
            lists=revision.notes,
        )
        self._shipping.ship(begun, note)
        return True

    def _revise(self) -> Revision:
        """Make the next version and sign it, where it is any other than what stands."""
        stood = self._standing
        if stood is None and self._repository.version():
            self._demand_keys()
        version = max(int(self._clock.now() * 1000), self._repository.version() + 1)
        with self._registry.view() as view:
            if stood is not None:
                demand_same(view, stood)
            revision = self._reviser.revise(view, stood, self._stalls, version)
        if self._repository.due(now=self._clock.now()):
            revision = revision._replace(changed=True)
        if revision.changed:
            self._reviser.put_down(revision, stood)
            self._lease.demand()
            self._sign(revision.standing)
        return revision

    def _sign(self, standing: Documents) -> None:
        try:
            self._repository.sign(standing.head.version, now=standing.head.published_at, targets=standing.targets())
        except SetupFault as fault:
            if name := fault.metadata.get("list"):
                # Tried again in a while; until then the others go on without it.
                self._barred[name] = (self._clock.monotonic() + RETRY_S, fault.message)
            raise

    def _demand_keys(self) -> None:
        """Rule 6."""
        with self._registry.view() as view:
            names = [name for name in published_lists(view.policy) if self._signing_fault(name)]
        if names:
            raise SetupFault(
                f"lists were published before, here or elsewhere, and the keys of {', '.join(names)} are not here; "
                "put them in the key directory, or take the lists out of the policy"
            )

    def _signing_fault(self, name: str) -> str:
        try:
            if not self._repository.can_sign(name):
                return KEY_NOT_HERE
        except SetupFault as fault:
            return fault.message
        until, reason = self._barred.get(name, (0.0, ""))
        return reason if self._clock.monotonic() < until else ""

    def _wake_stalls(self) -> None:
        """Try lists whose keys have come back at once."""
        for name, stall in self._stalls.items():
            # A disk that refuses is met, and counted, by the next try.
            with suppress(OSError):
                if stall.fault == KEY_NOT_HERE and not self._signing_fault(name):
                    self._stalls = {**self._stalls, name: stall.at_once(self._clock.monotonic())}


def _known_stalls(standing: Documents | None, now: float) -> Stalls:
    lists = standing.head.lists if standing else ()
    return {each.name: Stall(each.stalled_at, None, now) for each in lists if each.stalled_at is not None}
