"""Small policies for tests: one list, one partner, one action, each part to be overridden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portcullis.domain.editions import Legal, ListEdition
from portcullis.domain.multisets import EMPTY
from portcullis.domain.policies import (
    Action,
    Agreement,
    AttributeSpec,
    AttributeType,
    Disclosure,
    Effect,
    Measure,
    OnStale,
    Partner,
    Policy,
    Probing,
    RestrictedList,
)
from portcullis.domain.quotas import UNLIMITED, Quota

LEGAL = (Legal("Demonstration Act, section 1", "https://redress.example/court"),)
"""What the records of these tests rest on."""

NOW = 1_800_000_000
"""The wall time of these tests, Unix seconds."""

YEAR_S = 365 * 86400


class KnownBy:
    """A policy that is known by a function at any time. Implements `portcullis.ports.KnownPolicy`; counts the looks."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self.policy = policy
        self.looks = 0

    def look(self) -> None:
        self.looks += 1


class KnownLate:
    """A policy that was put in force after the last look: nothing is known before the next one."""

    def __init__(self, present: Policy, known: Policy | None = None) -> None:
        self.present = present
        self._known = known or Policy()

    def policy(self) -> Policy:
        return self._known

    def look(self) -> None:
        self._known = self.present


def measure(name: str = "loans", **changes: Any) -> Measure:
    """A measure that restricts loan.apply, always."""
    values: dict[str, Any] = {
        "actions": ("loan.apply",),
        "effect": Effect.RESTRICT,
        "on_stale": OnStale.ALLOW,
        "message": "You are on a list.",
    }
    return Measure(name=name, **(values | changes))


def a_list(name: str = "court", *measures: Measure, **changes: Any) -> RestrictedList:
    """A list of a court, with one measure on loans unless others are given."""
    values: dict[str, Any] = {
        "title": "Court list",
        "authority": "Demonstration Court",
        "legal_basis": "Demonstration Act, section 1",
        "purpose": "judgment-enforcement",
        "max_term_s": 5 * YEAR_S,
        "max_age_s": 3600,
        "disclosure": Disclosure.RESTRICTED,
        "redress_url": "https://redress.example/court",
        "identifier_kinds": ("cn.resident-id", "passport", "phone"),
        "measures": measures or (measure(),),
    }
    return RestrictedList(name=name, **(values | changes))


def agreement(lists: tuple[str, ...] = ("court",), **changes: Any) -> Agreement:
    """An agreement on loans, in force around NOW."""
    values: dict[str, Any] = {
        "actions": ("loan.apply",),
        "purposes": ("lending",),
        "valid_from": NOW - YEAR_S,
        "valid_until": NOW + YEAR_S,
    }
    return Agreement(lists=lists, **(values | changes))


LOAN = Action(
    name="loan.apply",
    attributes=(
        AttributeSpec(name="amount", type=AttributeType.DOUBLE, default=0.0),
        AttributeSpec(name="divisor", type=AttributeType.INT, default=1),
    ),
)
RAIL = Action(
    name="rail.ticket.purchase",
    attributes=(
        AttributeSpec(name="train", type=AttributeType.STRING, required=True),
        AttributeSpec(name="seat_class", type=AttributeType.STRING, default="second"),
    ),
)
CALL = Action(name="call.identify")


def lender(*agreements: Agreement, quota: Quota = UNLIMITED, probing: Probing = Probing.WATCH) -> Partner:
    """A partner that may ask as much as it likes, and in the order of numbers, unless it is said otherwise."""
    return Partner(name="lender", title="A lender", agreements=agreements or (agreement(),), quota=quota, probing=probing)


def policy(*lists: RestrictedList, **changes: Any) -> Policy:
    """A policy with one lender that may ask all of the lists."""
    lists = lists or (a_list(),)
    values: dict[str, Any] = {
        "actions": (LOAN, RAIL, CALL),
        "lists": lists,
        "partners": (lender(agreement(tuple(each.name for each in lists))),),
    }
    return Policy(**(values | changes))


def published_lists(the_policy: Policy, version: int = 1, **changes: Any) -> tuple[ListEdition, ...]:
    """The lists of a policy as a snapshot has them, without a record: numbers from 1, bits in the measures' order."""
    shared: dict[str, Any] = {"legal": LEGAL, "version": version, "records": 0, "digest": EMPTY}
    lists = []
    for number, each in enumerate(the_policy.lists, start=1):
        own = {"name": each.name, "number": number, "measures": tuple(one.name for one in each.measures)}
        lists.append(ListEdition(**(shared | own | changes)))
    return tuple(lists)
