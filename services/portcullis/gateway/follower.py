"""The follower: brings the replica to the newest version in the store, and notes how fresh it is.

The rules:

1. Nothing is believed that is not proven by the trusted metadata (`portcullis.ports.trust`), and nothing is served that is
   not proven by its list's digest. Whatever is wrong anywhere refuses the whole: the last good replica stays, and the
   refusal is counted.
2. It never goes back: not to a lower version, not to an older vouching of a version, not to another snapshot under the
   same version, even where the trusted metadata was wiped meanwhile. A store found empty or older is a fault, never "no
   one is listed".
3. How long ago the publisher vouched is judged so that no clock that is wrong, or is set meanwhile, makes anything old or
   fresh (`portcullis.gateway.following.freshness`).
4. Files replaced while they are read are no fault: it looks again.
5. It looks when told of a publish, and every `follow_interval_s` whatever happens, and goes on by deltas, or by the bases
   (`portcullis.gateway.following.catching_up`).
6. No fault ends the loop. A fault is logged when it begins and when it is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid, StoreUnavailable
from portcullis.domain.token_keys import TokenKeys
from portcullis.gateway.following.catching_up import REPLACED_MEANWHILE, CatchingUp, StillPaused
from portcullis.gateway.following.counts import FollowerCounts
from portcullis.gateway.following.freshness import Freshness, Sighting
from portcullis.ports import ReplicaWriter, SnapshotStore, TimeKeeper, TrustedSnapshots

_TRIES = 3
_STOP_INTERVAL_S = 0.25

_log = structlog.get_logger("portcullis.follower")


class Follower:
    """Follows one store into one replica. The store is only waited on: what it holds is read through ``trusted``.

    ``note_held`` is told after each look what the replica holds; it neither blocks nor raises. ``token_keys`` are those that
    are here: a version that needs another is refused, since every check from it would find nobody.

    Attributes:
        key_fault: which token key is missing; "" where none is.
    """

    def __init__(
        self,
        *,
        store: SnapshotStore,
        trusted: TrustedSnapshots,
        replica: ReplicaWriter,
        clock: TimeKeeper,
        counts: FollowerCounts,
        follow_interval_s: float,
        note_held: Callable[[Edition], object] = lambda _: None,
        token_keys: TokenKeys | None = None,
    ) -> None:
        self._store = store
        self._trusted = trusted
        self._replica = replica
        self._clock = clock
        self._counts = counts
        self._follow_interval_s = follow_interval_s
        self._note_elsewhere = note_held
        self._catching_up = CatchingUp(trusted=trusted, replica=replica, clock=clock, counts=counts, token_keys=token_keys)
        self.key_fault = ""
        self._freshness = Freshness(clock)
        self._fault = ""
        self._following = False

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop; that takes effect within a quarter of a second, or at the end of an install."""
        while not stop.is_set():
            self.look()
            self._wait(stop)

    def _wait(self, stop: threading.Event) -> None:
        deadline = self._clock.monotonic() + self._follow_interval_s
        while not stop.is_set() and (left := deadline - self._clock.monotonic()) > 0:
            if self._told(stop, min(left, _STOP_INTERVAL_S)):
                return

    def _told(self, stop: threading.Event, timeout_s: float) -> bool:
        try:
            return self._store.wait(timeout_s)
        except Exception:  # noqa: BLE001 - rule 6; a look follows in any case, and tells whether the store answers
            stop.wait(timeout_s)
            return False

    def look(self) -> bool:
        """Look once, and catch up or vouch as needed; False when nothing good was found. Raises nothing.

        May block on the store and on the disk.
        """
        good = self._look_guarded()
        self._note_held()
        return good

    def _look_guarded(self) -> bool:
        try:
            self._look()
        except SnapshotInvalid as fault:
            return self._refused(fault)
        except StoreUnavailable as fault:
            return self._failed("store", fault.message)
        except OSError as fault:
            return self._failed("disk", f"the disk refused ({fault.strerror or fault})")
        except Exception as fault:  # noqa: BLE001 - rule 6; the class alone, for a message of others may hold anything
            return self._failed("other", f"unexpected: {type(fault).__name__}")
        if not self._following:
            held = self._replica.held()
            _log.info("following", version=held.version if held else None)
        elif self._fault:
            _log.info("following again")
        self._following, self._fault, self.key_fault = True, "", ""
        return True

    def _refused(self, fault: SnapshotInvalid) -> bool:
        if fault.refusal is Refusal.STORE_EMPTY and self._replica.held() is None:
            return self._failed("store", "nothing is published yet")
        if fault.refusal is Refusal.TOKEN_KEY_MISSING:
            self.key_fault = fault.message
        if not isinstance(fault, StillPaused):
            self._counts.refused(fault.refusal.value)
        return self._failed(fault.refusal.value, fault.message)

    def _failed(self, part: str, message: str) -> bool:
        if message != self._fault:
            # Before the first snapshot there is nothing to be out of date: on a first start this is how it begins.
            log = _log.info if self._replica.held() is None else _log.warning
            log("not following; the replica stays as it is", part=part, fault=message)
            self._fault = message
        return False

    def _note_held(self) -> None:
        held = self._replica.held()
        if held is None:
            return
        self._note_elsewhere(held)
        accepted = self._freshness.accepted
        if accepted is not None and accepted.version == held.version:
            age_s = self._freshness.age_s()
        else:
            # Nothing younger is known of it: it was vouched for when it was published.
            age_s = self._clock.now() - held.published_at
        self._counts.holds(held.version, max(0.0, age_s))

    def _look(self) -> None:
        for left in reversed(range(_TRIES)):
            seen: Sighting | None = None
            try:
                seen = self._sight()
                self._follow(seen)
            except SnapshotInvalid as fault:
                if left and fault.refusal in REPLACED_MEANWHILE and self._is_replaced(seen):
                    continue
                raise
            return

    def _sight(self) -> Sighting:
        looked_at = self._clock.monotonic()
        return self._freshness.sighting(self._trusted.look(), looked_at)

    def _is_replaced(self, seen: Sighting | None) -> bool:
        """Say whether there may be something newer than was seen."""
        return seen is None or self._trusted.look().version != seen.version

    def _follow(self, seen: Sighting) -> None:
        accepted, held = self._freshness.accepted, self._replica.held()
        self._demand_no_older(seen, held)
        is_held = accepted is not None and held is not None and held.version == accepted.version == seen.version
        if not is_held:
            self._catching_up.bring_to(seen.version, held)
        self._freshness.accept(seen)
        if not is_held or accepted is None or accepted.vouched != seen.vouched:
            self._replica.vouch(seen.version, self._freshness.age_s())

    def _demand_no_older(self, seen: Sighting, held: Edition | None) -> None:
        accepted = self._freshness.accepted
        if seen.version < max(held.version if held else 0, accepted.version if accepted else 0):
            raise SnapshotInvalid("the store holds a lower version than the replica", refusal=Refusal.ROLLBACK)
        if accepted and seen.version == accepted.version and seen.vouched.serial < accepted.vouched.serial:
            raise SnapshotInvalid("the store holds an older timestamp than before", refusal=Refusal.ROLLBACK)
