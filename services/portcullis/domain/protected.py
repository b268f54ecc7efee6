"""Rule 3: what a person needs to live is never taken away, whatever a policy says.

In words:

- no measure of any effect may touch food, medicine and medical care, the housing one lives in, utilities, basic education
  (private schools too), wages, legal help, or basic local transport; they are told by the words of the action's name,
  wherever in it they stand, since an action can be named in any order;
- long-distance trains and ships are partly protected: their ordinary seats are basic transport. On a train every seat is
  ordinary unless the train's number begins with G or the seat is first class or better or a soft sleeper. On a ship the
  classes from second up are not ordinary. A class that is not known here counts as ordinary;
- the table stands in code, not in configuration, and is asked twice: when a policy is loaded, and at every decision with
  a hit.

Example: ``rail.ticket.purchase`` with train K1 and seat class "second" is protected; with train G101, or with K1 and
"soft-sleeper", it is not. ``medicine.purchase`` and ``order.medicine`` always are.

Source: the catalogue of restricted consumption (Several Provisions of the Supreme People's Court on Restricting High
Consumption, 2015, article 3) names what lies outside the ordinary on trains and ships.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from portcullis.domain.policies import AttributeValue

PROTECTED_WORDS: Mapping[str, str] = {
    "food": "food",
    "foods": "food",
    "grocery": "food",
    "groceries": "food",
    "meal": "food",
    "meals": "food",
    "water": "utilities",
    "utility": "utilities",
    "utilities": "utilities",
    "electricity": "utilities",
    "gas": "utilities",
    "heating": "utilities",
    "medicine": "medicine and medical care",
    "medicines": "medicine and medical care",
    "medical": "medicine and medical care",
    "pharmacy": "medicine and medical care",
    "pharmacies": "medicine and medical care",
    "hospital": "medicine and medical care",
    "hospitals": "medicine and medical care",
    "health": "medicine and medical care",
    "clinic": "medicine and medical care",
    "clinics": "medicine and medical care",
    "doctor": "medicine and medical care",
    "doctors": "medicine and medical care",
    "ambulance": "medicine and medical care",
    "housing": "the housing one lives in",
    "home": "the housing one lives in",
    "homes": "the housing one lives in",
    "tenancy": "the housing one lives in",
    "tenancies": "the housing one lives in",
    "dwelling": "the housing one lives in",
    "education": "basic education, private schools included",
    "school": "basic education, private schools included",
    "schools": "basic education, private schools included",
    "kindergarten": "basic education, private schools included",
    "wage": "wages",
    "wages": "wages",
    "salary": "wages",
    "salaries": "wages",
    "payroll": "wages",
    "legal": "legal help",
    "lawyer": "legal help",
    "lawyers": "legal help",
    "transport": "basic transport",
    "bus": "basic transport",
    "buses": "basic transport",
    "metro": "basic transport",
    "tram": "basic transport",
    "trams": "basic transport",
    "subway": "basic transport",
    "coach": "basic transport",
    "coaches": "basic transport",
}
"""Each word that makes an action's name wholly protected, and what it belongs to."""

_FINER_SEATS = frozenset(
    {
        *("first", "premium-first", "business", "premier", "special", "superior", "vip"),
        *("soft-sleeper", "deluxe-sleeper", "deluxe-soft-sleeper", "superior-soft-sleeper"),
    }
)
_FINER_CABINS = frozenset(("second", "first", "special", "deluxe", "suite", "vip"))


class _Partial(NamedTuple):
    """An action whose ordinary form alone is protected, told by these text attributes."""

    attributes: tuple[str, ...]
    ordinary: Callable[[Mapping[str, AttributeValue]], bool]
    samples: Mapping[str, tuple[str, ...]]


def _ordinary_seat(attributes: Mapping[str, AttributeValue]) -> bool:
    return not _plain(attributes.get("train")).startswith("g") and _plain(attributes.get("seat_class")) not in _FINER_SEATS


def _ordinary_cabin(attributes: Mapping[str, AttributeValue]) -> bool:
    return _plain(attributes.get("cabin_class")) not in _FINER_CABINS


def _plain(value: AttributeValue | None) -> str:
    return value.strip().lower().replace("_", "-").replace(" ", "-") if isinstance(value, str) else ""


_TRAINS = _Partial(
    ("train", "seat_class"),
    _ordinary_seat,
    {
        "train": ("K1", "K1101", "Z38", "T110", "D301", "C2001", "Y501", "L7", "S1", "1461", ""),
        "seat_class": ("second", "hard-seat", "soft-seat", "hard-sleeper", "third", "standing", ""),
    },
)
_SHIPS = _Partial(
    ("cabin_class",), _ordinary_cabin, {"cabin_class": ("third", "fourth", "fifth", "seat", "standing", "deck", "")}
)
_PARTIAL_WORDS = {
    **dict.fromkeys(("rail", "railway", "railways", "train", "trains"), _TRAINS),
    **dict.fromkeys(("ship", "ships", "ferry", "ferries"), _SHIPS),
}
_WORD_ENDS = re.compile("[.-]")


@lru_cache(maxsize=4096)
def _partial(action: str) -> _Partial | bool:
    """Say whether an action is protected: wholly (True), not at all (False), or in its ordinary form."""
    if why_protected(action):
        return True
    return next((_PARTIAL_WORDS[word] for word in _WORD_ENDS.split(action) if word in _PARTIAL_WORDS), False)


def is_protected(action: str, attributes: Mapping[str, AttributeValue]) -> bool:
    """Say whether this action, with these attributes, is protected; an attribute that is missing makes it ordinary."""
    partial = _partial(action)
    return partial if isinstance(partial, bool) else partial.ordinary(attributes)


def why_protected(action: str) -> str:
    """Name what a wholly protected action belongs to, such as "food"; "" for any other action."""
    return next((PROTECTED_WORDS[word] for word in _WORD_ENDS.split(action) if word in PROTECTED_WORDS), "")


def deciding_attributes(action: str) -> tuple[str, ...]:
    """Name the text attributes that tell the ordinary form of a partly protected action; none for any other action."""
    partial = _partial(action)
    return () if isinstance(partial, bool) else partial.attributes


def protected_samples(action: str, texts: Iterable[str] = ()) -> list[dict[str, AttributeValue]]:
    """Give attributes of ordinary, protected forms of a partly protected action; none for any other action.

    Args:
        action: the action's name.
        texts: further texts that each attribute is tried with, such as the literals of a condition under suspicion: a
            condition that names the very train K7777 is then met with that train.
    """
    partial = _partial(action)
    if isinstance(partial, bool):
        return []
    further = tuple(dict.fromkeys(texts))
    pools = [dict.fromkeys(partial.samples[name] + further) for name in partial.attributes]
    candidates: Iterable[dict[str, AttributeValue]] = (
        dict(zip(partial.attributes, values, strict=True)) for values in product(*pools)
    )
    return [sample for sample in candidates if partial.ordinary(sample)]
