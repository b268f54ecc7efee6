"""Deciding: may this customer do this? Pure, from one version of the replica.

The rules, in their order:

1. Every token of the customer is looked up. Nothing found and no list stale: ALLOW, and nothing more is looked at. Nothing
   that speaks is the same answer as nothing found, and nothing tells the two apart afterwards.
2. An entry counts if it is in force now (expiry is judged here, rule 2), not stayed, and bound by a measure of the plan
   whose condition holds. A redress number takes entries away before that, in the look-up (`portcullis.domain.clearing`).
3. A match that is not exact (``weak``) can lead to a review and to nothing else (rule 6): a RESTRICT becomes a REVIEW, and
   a NOTICE or GRANT is dropped.
4. A condition that can't be evaluated asks a person: the measure's RESTRICT becomes a REVIEW.
5. Past a list's greatest age its measures do what ``on_stale`` declares instead, for everyone whose action their condition
   describes, and the decision is degraded; a NOTICE or GRANT is silent then, whatever it declares. A list is as old as its
   snapshot, or older where the publisher has told that it can't bring this list up to date.
6. No measure of any effect speaks about a protected action, whatever a policy says (rule 3).
7. A suspended list has no measure in the plan (`portcullis.domain.plans`), so nothing here speaks for it.
8. RESTRICT beats REVIEW beats ALLOW; NOTICE and GRANT ride along. What is in shadow shapes ``shadow_outcome`` only.

Example: a passport listed by sanctions (RESTRICT) and a bike deposit waived (GRANT), asked for ``loan.apply``: the plan
holds no grant on loans, so one hit remains and the outcome is RESTRICT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import NamedTuple

from portcullis.domain.conditions import ConditionFault
from portcullis.domain.editions import Edition
from portcullis.domain.plans import BoundMeasure, Plan
from portcullis.domain.policies import AttributeValue, Effect, OnStale
from portcullis.domain.protected import is_protected
from portcullis.domain.records import Record, decode_body
from portcullis.domain.segments import split_segments

Probe = tuple[bytes, bool]
"""A token to look up, and whether a match of it is weak."""


class Outcome(StrEnum):
    """What the partner must do."""

    ALLOW = "ALLOW"
    REVIEW = "REVIEW"
    RESTRICT = "RESTRICT"


class Hit(NamedTuple):
    """One measure that spoke: through which record (None when its list was out of date and no entry matched), how."""

    measure: BoundMeasure
    effect: Effect
    record: Record | None
    weak: bool


class Verdict(NamedTuple):
    """The answer to one check. ``hits`` has the strongest effect first; ``shadow_outcome`` is None without shadow hits."""

    outcome: Outcome
    shadow_outcome: Outcome | None
    degraded: bool
    hits: tuple[Hit, ...]


class Speaking(NamedTuple):
    """The measures that could speak about one action with its attributes, by list: of an exact match, and of a weak one."""

    exact: Mapping[int, tuple[BoundMeasure, ...]]
    weak: Mapping[int, tuple[BoundMeasure, ...]]


ALLOWED = Verdict(Outcome.ALLOW, None, False, ())  # noqa: FBT003 - a record's field
"""The verdict where nothing speaks and no list is stale."""

_STRENGTH = {Effect.RESTRICT: 0, Effect.REVIEW: 1, Effect.NOTICE: 2, Effect.GRANT: 3}
_OUTCOMES = {Effect.RESTRICT: Outcome.RESTRICT, Effect.REVIEW: Outcome.REVIEW}
_STALE_EFFECTS = {OnStale.RESTRICT: Effect.RESTRICT, OnStale.REVIEW: Effect.REVIEW, OnStale.ALLOW: None}


def stale_lists(edition: Edition, now: float, age_s: float) -> frozenset[int]:
    """Give the numbers of the lists past their greatest age (rule 5).

    Args:
        edition: the snapshot.
        now: wall time, Unix seconds.
        age_s: seconds since the publisher last vouched for the snapshot.
    """
    lists = zip(edition.lists, edition.policy.lists, strict=True)
    return frozenset(each.number for each, own in lists if each.age_s(now, age_s) > own.max_age_s)


def decide(  # noqa: PLR0917 - keywords cost a tenth of the call on the check path
    plan: Plan,
    probes: Iterable[Probe],
    attributes: Mapping[str, AttributeValue],
    get: Callable[[bytes], bytes | None],
    now: float,
    stale: AbstractSet[int],
) -> Verdict:
    """Decide one check.

    Args:
        plan: what may speak about the action.
        probes: the customer's tokens.
        attributes: the action's facts, complete (`AttributeBinder.bind`).
        get: the replica's lookup, of one version.
        now: wall time, Unix seconds.
        stale: the numbers of the lists past their greatest age (`stale_lists`).

    Raises:
        ValueError: a record can't be read.
    """
    found: list[tuple[bytes, bool]] | None = None
    for token, weak in probes:
        value = get(token)
        if value is not None:
            if found is None:
                found = []
            found.append((value, weak))
    if stale:
        stale = stale & plan.by_list.keys()
    if found is None and not stale:
        return ALLOWED
    return _weigh(plan, found or (), attributes, now, stale)


def speaking(plan: Plan, attributes: Mapping[str, AttributeValue]) -> Speaking:
    """Say beforehand which measures could speak about one action, whoever asks, as long as no list is stale."""
    exact: dict[int, tuple[BoundMeasure, ...]] = {}
    weak: dict[int, tuple[BoundMeasure, ...]] = {}
    if is_protected(plan.action, attributes):
        return Speaking(exact, weak)
    for number, bound in plan.by_list.items():
        held = [(each, _holds(each, attributes)) for each in bound]
        graver = tuple(each for each, holds in held if holds is not False and each.effect in _OUTCOMES)
        spoken = tuple(each for each, holds in held if holds or each in graver)
        if spoken:
            exact[number] = spoken
        if graver:
            weak[number] = graver
    return Speaking(exact, weak)


def speaks(value: bytes, measures: Mapping[int, Sequence[BoundMeasure]], now: float) -> bool:
    """Say whether a record of a token's value lets one of the measures speak.

    What is no measure's list is passed over unread, so that an entry of another list costs next to nothing.

    Raises:
        ValueError: a record of a list that has measures can't be read.
    """
    for number, body in split_segments(value):
        bound = measures.get(number)
        if bound and any(_in_force(bound, record, now) for record in decode_body(number, body)):
            return True
    return False


def _in_force(bound: Sequence[BoundMeasure], record: Record, now: float) -> bool:
    if record.stayed or not record.valid_from <= now < record.until:
        return False
    return any(record.measures & each.bit and each.published_from <= now < each.published_until for each in bound)


def _weigh(
    plan: Plan,
    found: Iterable[tuple[bytes, bool]],
    attributes: Mapping[str, AttributeValue],
    now: float,
    stale: AbstractSet[int],
) -> Verdict:
    hits: dict[tuple[int, int, int], Hit] = {}
    # A condition looks at the action alone: however many entries a list has on one token, it is asked once.
    told: dict[tuple[int, int], bool | None] = {}
    for measure, record, weak in _bound(plan, found, now):
        place = measure.list_number, measure.bit
        if place not in told:
            told[place] = _holds(measure, attributes)
        hit = _hit(measure, record, told[place], weak=weak)
        if hit is not None:
            key = (measure.list_number, measure.bit, record.entry_id)
            hits[key] = min(hits.get(key, hit), hit, key=_rank)
    if not hits and not stale:
        return ALLOWED
    judged = _when_stale(plan, hits.values(), attributes, stale) if stale else hits.values()
    if is_protected(plan.action, attributes):
        judged = ()
        if not stale:
            return ALLOWED
    return _verdict(sorted(judged, key=_rank), degraded=bool(stale))


def _bound(plan: Plan, found: Iterable[tuple[bytes, bool]], now: float) -> Iterator[tuple[BoundMeasure, Record, bool]]:
    """Pair each record in force with the measures of the plan that its mask names."""
    for value, weak in found:
        for number, body in split_segments(value):
            measures = plan.by_list.get(number)
            if not measures:
                continue
            for record in decode_body(number, body):
                if record.stayed or not record.valid_from <= now < record.until:
                    continue
                for measure in measures:
                    if record.measures & measure.bit and measure.published_from <= now < measure.published_until:
                        yield measure, record, weak


def _hit(measure: BoundMeasure, record: Record, holds: bool | None, *, weak: bool) -> Hit | None:  # noqa: FBT001 - or unknown
    effect = measure.effect
    if holds is False:
        return None
    if weak or holds is None:
        if effect not in _OUTCOMES:
            return None
        effect = Effect.REVIEW
    return Hit(measure, effect, record, weak)


def _holds(measure: BoundMeasure, attributes: Mapping[str, AttributeValue]) -> bool | None:
    """Say whether a measure's condition holds; None when that can't be told."""
    try:
        return measure.condition.holds(attributes)
    except ConditionFault:
        return None


def _when_stale(
    plan: Plan, hits: Iterable[Hit], attributes: Mapping[str, AttributeValue], stale: AbstractSet[int]
) -> Iterable[Hit]:
    """Put the declared fail mode in the place of each measure whose list is past its greatest age."""
    kept = list(hits)
    yield from (hit for hit in kept if hit.measure.list_number not in stale)
    for measure in (each for number in sorted(stale) for each in plan.by_list[number]):
        effect = _STALE_EFFECTS[measure.on_stale] if measure.effect in _OUTCOMES else None
        holds = _holds(measure, attributes) if effect else False
        if effect and holds is not False:
            # A condition that can't be evaluated asks a person here too; a weak match is no ground for a refusal.
            effect = effect if holds else Effect.REVIEW
            exact = [hit.record for hit in kept if hit.measure is measure and not hit.weak]
            yield from (Hit(measure, effect, record, weak=False) for record in exact or [None])


def _rank(hit: Hit) -> tuple[int, bool]:
    return _STRENGTH[hit.effect], hit.weak


def _verdict(hits: list[Hit], *, degraded: bool) -> Verdict:
    loud = [hit for hit in hits if not hit.measure.shadow]
    shadow = _outcome(hits) if len(loud) < len(hits) else None
    return Verdict(_outcome(loud), shadow, degraded, tuple(hits))


def _outcome(hits: list[Hit]) -> Outcome:
    """The first hit is the strongest."""
    return _OUTCOMES.get(hits[0].effect, Outcome.ALLOW) if hits else Outcome.ALLOW
