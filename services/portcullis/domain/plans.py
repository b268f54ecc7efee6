"""Plans: a policy compiled for deciding.

A plan answers, once for each (partner, action, purpose): which measures of which lists may speak, after the agreements in
force now. It holds until the next moment at which an agreement begins or ends. The rules:

- an action that no agreement of the partner names for this purpose is refused, and so is a purpose that none names; whether
  the policy declares the action for others is not told, nor which attributes it has;
- an action that is allowed but that no measure touches is an error: an ALLOW would mean nothing;
- a list of class AUTHORITY_ONLY never speaks, and only a PUBLIC list speaks to ``call.identify`` (rule 10);
- a suspended list does not speak either, not even by its fail mode, but the action stays covered by it: two people have
  decided that nobody is refused on its ground for now, and a partner's checkout must not break on that;
- a measure is in shadow when it is, its list is, or the partner is;
- a condition that can't be compiled can't be evaluated (`portcullis.domain.decisions`, rule 4): a list whose key is held by
  others, or that a later release wrote, must not stop the answers of the other lists.

Example: ticketing may ask ``rail.ticket.purchase`` for ``ticketing`` from the court list; its plan for that pair holds the
court list's one measure on trains, with the condition compiled against that action's attributes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from portcullis.domain.attributes import AttributeBinder
from portcullis.domain.conditions import Condition, ConditionInvalid, compile_condition, unreadable_condition
from portcullis.domain.editions import ListEdition
from portcullis.domain.errors import InvalidRequest, NotCovered, NotPermitted
from portcullis.domain.policies import (
    Action,
    Agreement,
    AttributeValue,
    Disclosure,
    Effect,
    OnStale,
    Partner,
    Policy,
    RestrictedList,
)
from portcullis.domain.protected import deciding_attributes

CALL_IDENTIFY = "call.identify"
"""The action behind CallerService."""


class BoundMeasure(NamedTuple):
    """One measure as it stands for one action: its list's data beside it, its condition compiled.

    ``bit`` is its place in the masks of the list's records; ``published_from`` and ``published_until`` bound when it may
    speak, in Unix seconds.
    """

    list_number: int
    list: RestrictedList
    name: str
    bit: int
    effect: Effect
    on_stale: OnStale
    condition: Condition
    shadow: bool
    message: str
    published_from: float
    published_until: float


class Plan(NamedTuple):
    """What may speak about one action, for one partner and purpose, within [``begins``, ``ends``) Unix seconds.

    ``by_list`` has the measures by the number of their list. ``looked_at`` names the attributes that deciding looks at, for
    the conditions and to tell a protected form of the action. ``blank`` is what no attribute at all binds to, or None where
    the action requires one. ``title`` is the action for people: its name where the policy gives it none.
    """

    partner: str
    action: str
    purpose: str
    begins: float
    ends: float
    by_list: dict[int, tuple[BoundMeasure, ...]]
    binder: AttributeBinder
    blank: Mapping[str, AttributeValue] | None
    looked_at: frozenset[str]
    title: str


class Plans:
    """All plans of one policy, each compiled when first asked for. Not safe for use by several threads at once.

    ``lists`` are the policy's lists as the snapshot has them, in the same order.
    """

    def __init__(self, policy: Policy, lists: Sequence[ListEdition]) -> None:
        self._policy = policy
        self._lists = lists
        self._actions = {action.name: action for action in policy.actions}
        self._partners = {partner.name: partner for partner in policy.partners}
        self._binders = {action.name: AttributeBinder(action) for action in policy.actions}
        self._plans: dict[tuple[str, str, str], Plan] = {}

    def plan(self, partner: str, action: str, purpose: str, now: float) -> Plan:
        """Give the plan in force at ``now`` (Unix seconds).

        Raises:
            NotPermitted: outside the partner's agreements, as an action that nobody declares is.
            NotCovered: inside, but no measure touches the action.
        """
        plan = self._plans.get((partner, action, purpose))
        if plan is None or not plan.begins <= now < plan.ends:
            plan = self._compile(partner, action, purpose, now)
            self._plans[partner, action, purpose] = plan
        return plan

    def action(self, name: str) -> Action | None:
        """Give a declared action, or None."""
        return self._actions.get(name)

    def binder(self, partner: str, action: str, purpose: str, now: float) -> AttributeBinder | None:
        """Give the attribute binder of an action that the partner may ask about at ``now``; None of any other."""
        try:
            return self.plan(partner, action, purpose, now).binder
        except NotPermitted:
            return None
        except NotCovered:
            return self._binders[action]

    def _compile(self, partner_name: str, action: str, purpose: str, now: float) -> Plan:
        partner = self._partners.get(partner_name)
        agreements = partner.agreements if partner else ()
        current = [agreement for agreement in agreements if agreement.valid_from <= now < agreement.valid_until]
        if not any(purpose in agreement.purposes for agreement in current):
            raise NotPermitted(
                "purpose: no agreement in force covers it; state one that your agreement names",
                metadata={"field": "purpose"},
            )
        matching = [each for each in current if purpose in each.purposes and action in each.actions]
        if partner is None or not matching or action not in self._actions:
            raise NotPermitted(
                "action: no agreement in force covers it for this purpose; ask for what your agreement names",
                metadata={"field": "action"},
            )
        bound_lists = self._bind(partner, self._actions[action], {name for each in matching for name in each.lists})
        if not bound_lists:
            raise NotCovered(
                "no list of the agreement has a measure on this action; an answer would mean nothing",
                metadata={"action": action},
            )
        by_list = {number: bound for number, bound in bound_lists.items() if not bound[0].list.suspended}
        begins, ends = _window(agreements, now)
        measures = [measure for bound in by_list.values() for measure in bound]
        return Plan(
            partner=partner_name,
            action=action,
            purpose=purpose,
            begins=begins,
            ends=ends,
            by_list=by_list,
            binder=self._binders[action],
            blank=_blank(self._binders[action]),
            looked_at=frozenset(deciding_attributes(action)).union(*(each.condition.attributes for each in measures)),
            title=self._actions[action].title or action,
        )

    def _bind(self, partner: Partner, action: Action, lists: set[str]) -> dict[int, tuple[BoundMeasure, ...]]:
        by_list = {}
        for each, published in zip(self._policy.lists, self._lists, strict=True):
            if each.name not in lists or not _may_speak(each, action.name):
                continue
            bound = tuple(_bound_measures(published, each, action, shadow=partner.shadow or each.shadow))
            if bound:
                by_list[published.number] = bound
        return by_list


def _may_speak(each: RestrictedList, action: str) -> bool:
    """Rule 10, and the meaning of AUTHORITY_ONLY."""
    if action == CALL_IDENTIFY:
        return each.disclosure is Disclosure.PUBLIC
    return each.disclosure is not Disclosure.AUTHORITY_ONLY


def _bound_measures(published: ListEdition, each: RestrictedList, action: Action, *, shadow: bool) -> Iterable[BoundMeasure]:
    timed = action.name == CALL_IDENTIFY
    for measure in each.measures:
        if action.name in measure.actions:
            yield BoundMeasure(
                list_number=published.number,
                list=each,
                name=measure.name,
                bit=1 << published.measures.index(measure.name),
                effect=measure.effect,
                on_stale=measure.on_stale,
                condition=_condition(measure.when, action),
                shadow=shadow or measure.shadow,
                message=measure.message,
                # Without a publication period a list may not speak to a caller-ID app at all.
                published_from=_or_else(each.published_from, math.inf) if timed else -math.inf,
                published_until=_or_else(each.published_until, -math.inf) if timed else math.inf,
            )


def _condition(text: str, action: Action) -> Condition:
    try:
        return compile_condition(text, action.attributes)
    except ConditionInvalid:
        return unreadable_condition(text)


def _blank(binder: AttributeBinder) -> Mapping[str, AttributeValue] | None:
    try:
        return MappingProxyType(binder.bind(()))
    except InvalidRequest:
        return None


def _or_else(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _window(agreements: Iterable[Agreement], now: float) -> tuple[float, float]:
    """Give the span around ``now`` in which no agreement begins or ends."""
    edges = [edge for each in agreements for edge in (each.valid_from, each.valid_until)]
    begins = max((edge for edge in edges if edge <= now), default=-math.inf)
    ends = min((edge for edge in edges if edge > now), default=math.inf)
    return begins, ends
