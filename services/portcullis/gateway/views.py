"""What a worker answers from: a view is one version of the replica with all that a check needs of it, made ready.

A view is made anew at each tick, a few dozen times a second, and is never changed: a check takes the present one and reads
one version from beginning to end, however long it waits in between.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from portcullis.domain.decisions import stale_lists
from portcullis.domain.editions import Edition
from portcullis.domain.errors import NoSnapshot
from portcullis.domain.plans import Plans
from portcullis.domain.token_keys import KeyNotHeld, Lookup, TokenKeys, lookup_of
from portcullis.gateway.admission import Callers
from portcullis.gateway.messages.answers import LegalTables, SnapshotLine
from portcullis.gateway.short_path import Tails
from portcullis.ports import Clock, ReadTransaction, Replica

_log = structlog.get_logger(__name__)


class CompiledEdition:
    """One edition, compiled: the plans of its policy, the tails known for it, and the callers of its credentials.

    An edition comes with every delta, many times a second; what it has in common with the one before is taken over.

    Attributes:
        edition: the edition.
        callers: who may call.
        plans: what may speak about an action.
        tails: the questions known already.
        legal: what a list's records rest on, by the list's number; a record names its row.
        canaries: the numbers of the lists that hold canaries.
        lookup: what customers are looked up with, by the token keys of the edition.

    Raises:
        KeyNotHeld: the edition names a token key that is not here.
    """

    __slots__ = ("callers", "canaries", "edition", "legal", "lookup", "plans", "tails")

    def __init__(
        self,
        edition: Edition,
        tokeniser: TokenKeys,
        previous: CompiledEdition | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.edition = edition
        if previous is not None and previous.edition.token_keys == edition.token_keys:
            self.lookup: Lookup = previous.lookup
        else:
            self.lookup = lookup_of(edition.token_keys, tokeniser)
        self.legal: LegalTables = {each.number: each.legal for each in edition.lists}
        self.canaries = frozenset(
            each.number for each, own in zip(edition.lists, edition.policy.lists, strict=True) if own.canary
        )
        if previous is not None and _know_alike(previous.edition, edition):
            self.callers: Callers = previous.callers
        else:
            self.callers = Callers(edition.credentials, edition.policy.partners, edition.revoked, now=now)
        if previous is not None and _speak_alike(previous.edition, edition):
            self.plans: Plans = previous.plans
            self.tails: Tails = previous.tails
        else:
            self.plans = Plans(edition.policy, edition.lists)
            self.tails = Tails()


def _know_alike(one: Edition, other: Edition) -> bool:
    """Say whether the callers of one edition are those of the other."""
    return (
        one.credentials == other.credentials
        and one.revoked == other.revoked
        and one.policy.partners == other.policy.partners
    )


def _speak_alike(one: Edition, other: Edition) -> bool:
    """Say whether the plans of one edition are those of the other: the same policy, and the same numbers and bits."""
    return one.policy == other.policy and all(
        each.number == its.number and each.measures == its.measures for each, its in zip(one.lists, other.lists, strict=True)
    )


class View:
    """One version, made ready.

    Attributes:
        transaction: the version in the replica, which lives as long as a view of it.
        compiled: its edition, compiled; the next view of the same version takes it over.
        edition: the version's head.
        version: its number.
        callers: who may call.
        plans: what may speak about an action.
        tails: the questions known already.
        legal: what a list's records rest on, by the list's number.
        canaries: the numbers of the lists that hold canaries.
        get: the look-up of a token.
        probes: appends the tokens that an identifier is looked up by.
        probe_sets: gives those of several identifiers key by key, for clearances.
        age_s: seconds since the publisher last vouched for this version, when the view was made.
        stale: the numbers of the lists that were past their greatest age then.
        line: the part of an answer that names the snapshot.
    """

    __slots__ = (
        "age_s",
        "callers",
        "canaries",
        "compiled",
        "edition",
        "get",
        "legal",
        "line",
        "plans",
        "probe_sets",
        "probes",
        "stale",
        "tails",
        "transaction",
        "version",
    )

    def __init__(
        self,
        transaction: ReadTransaction,
        compiled: CompiledEdition,
        *,
        now: float,
        age_s: float,
        allow_cache_ttl_s: float,
    ) -> None:
        self.transaction = transaction
        self.get = transaction.get
        self.probes = compiled.lookup.probes
        self.probe_sets = compiled.lookup.probe_sets
        self.compiled = compiled
        self.edition = compiled.edition
        self.version = compiled.edition.version
        self.callers = compiled.callers
        self.canaries = compiled.canaries
        self.plans = compiled.plans
        self.tails = compiled.tails
        self.legal = compiled.legal
        self.age_s = age_s
        self.stale = stale_lists(compiled.edition, now, age_s)
        self.line = SnapshotLine(compiled.edition, age_s, allow_cache_ttl_s)


class Held:
    """Keeps the present view.

    Args:
        replica: the reader's side of the replica.
        clock: judges how long a list has been out of date.
        allow_cache_ttl_s: how long a partner may reuse an ALLOW, in seconds; 0 for not at all.
        tokeniser: the token keys that are here. A version that needs another is not answered from: the view stays that of
            the one before, which grows old.

    Attributes:
        view: the present view, None before the first snapshot.
        fault: why the newest version in the replica is not answered from; "" where it is.
    """

    def __init__(self, replica: Replica, clock: Clock, allow_cache_ttl_s: float = 0.0, *, tokeniser: TokenKeys) -> None:
        self._replica = replica
        self._clock = clock
        self._tokeniser = tokeniser
        self.fault = ""
        self._allow_cache_ttl_s = allow_cache_ttl_s
        self._vouched_at = -math.inf
        # A thread of its own: checks shall not wait for those who wait for the journal's database in the loop's threads.
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="portcullis-replica")
        self.view: View | None = None
        self._renew()

    async def refresh(self) -> bool:
        """Look at the replica and make the next view; True when its version is another.

        The look opens and proves files, so it is done beside the event loop.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._looking, self._replica.refresh)
        finally:
            # Whatever becomes of the look: an age that stands still would put off a list's fail mode for ever.
            self._renew()

    def _renew(self) -> None:
        transaction = self._replica.begin()
        if transaction is None:
            return
        last = self.view
        if last is not None and last.edition is transaction.edition:
            compiled = last.compiled
        else:
            try:
                compiled = CompiledEdition(
                    transaction.edition, self._tokeniser, last.compiled if last else None, self._clock.now
                )
            except KeyNotHeld as fault:
                self._stay(last, str(fault))
                return
        self.fault = ""
        self.view = View(
            transaction,
            compiled,
            now=self._clock.now(),
            age_s=self._age_s(),
            allow_cache_ttl_s=self._allow_cache_ttl_s,
        )

    def _stay(self, last: View | None, fault: str) -> None:
        """Go on with the version held. What vouches for a newer one does not vouch for it: it grows old."""
        if fault != self.fault:
            _log.error("not answering from the newest snapshot", fault=fault, held=last.version if last else None)
        self.fault = fault
        if last is not None:
            self.view = View(
                last.transaction,
                last.compiled,
                now=self._clock.now(),
                age_s=self._clock.monotonic() - self._vouched_at,
                allow_cache_ttl_s=self._allow_cache_ttl_s,
            )

    def _age_s(self) -> float:
        """Give the age of what is held: a vouching that follows another is not older, whatever two clocks make of it.

        So a version that is new here, and goes by its time of publication until its vouching is noted, is never taken to
        be older than the one before it, where this host's clock and the publisher's differ.
        """
        now = self._clock.monotonic()
        self._vouched_at = max(self._vouched_at, now - self._replica.vouched_age_s())
        return now - self._vouched_at

    def present(self) -> View:
        """Give the present view.

        Raises:
            NoSnapshot: no snapshot has arrived yet.
        """
        view = self.view
        if view is None:
            raise NoSnapshot
        return view
