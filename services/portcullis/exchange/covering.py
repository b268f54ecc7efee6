"""What a partner may be told, by its agreements in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from portcullis.domain.changes import ChangeKind, FeedChange
from portcullis.domain.errors import NotPermitted
from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.subjects import FIRST_EPOCH
from portcullis.ports import Clock


class Coverage(NamedTuple):
    """The kinds of changes that a partner is told, by list; true of one policy, from ``since`` until ``until``.

    ``feed_epoch`` says which of the partner's keys it is told with.
    """

    policy: Policy
    since: float
    until: float
    kinds: Mapping[str, frozenset[ChangeKind]]
    feed_epoch: int = FIRST_EPOCH


def coverage_of(policy: Policy, partner: str, now: float) -> Coverage:
    """Work out what a partner may be told at a time (Unix seconds), and until when that is true by itself."""
    found = policy.partner_named(partner)
    agreements = found.agreements if found is not None else ()
    disclosed = {each.name for each in policy.lists if each.disclosure is not Disclosure.AUTHORITY_ONLY}
    kinds: dict[str, frozenset[ChangeKind]] = {}
    for agreement in agreements:
        if agreement.is_in_force(now):
            for name in disclosed.intersection(agreement.lists):
                kinds[name] = kinds.get(name, frozenset()) | frozenset(agreement.changes)
    turns = (turn for each in agreements for turn in (each.valid_from, each.valid_until) if turn > now)
    epoch = found.feed_epoch if found is not None else FIRST_EPOCH
    return Coverage(policy, now, min(turns, default=float("inf")), kinds, epoch)


class Covering:
    """Says what partners may be told at this moment; cheap, so that it can be asked for each change and each watcher."""

    def __init__(self, policy: Callable[[], Policy], clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._known: dict[str, Coverage] = {}

    def demand(self, partner: str, lists: Collection[str]) -> None:
        """Have every one of these lists, or some list where none is named, be one that the partner is told of.

        Raises:
            NotPermitted: a list is in none of the partner's agreements in force, or there is no such agreement.
        """
        _demand(self._of(partner).kinds, lists)

    def tells(self, partner: str, lists: Collection[str], change: FeedChange) -> bool:
        """Say whether the partner is told of a change, where it asked for these lists, or for all.

        Raises:
            NotPermitted: as `demand` says.
        """
        kinds = self._of(partner).kinds
        _demand(kinds, lists)
        return (not lists or change.list in lists) and change.kind in kinds.get(change.list, ())

    def feed_epoch(self, partner: str) -> int:
        """Say which of its keys a partner's names and cursors are made with."""
        return self._of(partner).feed_epoch

    def _of(self, partner: str) -> Coverage:
        policy, now = self._policy(), self._clock.now()
        known = self._known.get(partner)
        if known is None or known.policy is not policy or not known.since <= now < known.until:
            known = self._known[partner] = coverage_of(policy, partner, now)
        return known


def _demand(kinds: Collection[str], lists: Collection[str]) -> None:
    if not kinds:
        raise NotPermitted("no agreement of yours on a list is in force, so there is nothing to tell; renew the agreement")
    if any(name not in kinds for name in lists):
        raise NotPermitted("lists: one of them is in none of your agreements in force; leave it out, or agree on it")
