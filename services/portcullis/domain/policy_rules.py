"""Which policies may be loaded: the rules that no configuration can switch off, and those that keep a policy sound.

In words, beyond names that are unique, well formed and declared (`portcullis.domain.list_rules` and
`portcullis.domain.agreement_rules` hold the rules of lists and partners):

- an action's attribute has a name that CEL takes, and is either required or has a default of its declared type;
- an action that is partly protected declares the attributes that tell its ordinary form, as text (rule 3);
- a certificate's name stands for one partner;
- nothing is named as if a person were scored, graded, ranked or rated (rule 5).

Example: a measure with effect RESTRICT on ``rail.ticket.purchase`` whose condition is ``train.startsWith('K')`` gives one
problem, at ``list[NAME].measure[NAME].when``: it holds for an ordinary seat, and the policy is not loaded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from portcullis.domain.agreement_rules import check_partner
from portcullis.domain.attributes import value_fault
from portcullis.domain.conditions import is_attribute_name
from portcullis.domain.errors import PolicyProblem
from portcullis.domain.list_rules import check_list
from portcullis.domain.policies import Action, AttributeSpec, AttributeType, Policy
from portcullis.domain.policy_places import (
    ACTION_NAME,
    MAX_NAME_LENGTH,
    NAME,
    Files,
    action_place,
    certificate_place,
    list_place,
    measure_place,
    partner_place,
)
from portcullis.domain.protected import deciding_attributes

MAX_LISTS = 65_535
"""A record of the index names its list in 16 bits."""

MAX_ATTRIBUTES = 16
"""A request brings no more."""

_NO_FILES: Files = MappingProxyType({})
_SCORING = re.compile(
    r"(?:^|[-_.])((?:credit|risk|social|trust)?"
    r"(?:(?:score|grade|rank)(?:[sd]|cards?)?|scoring|grading|ranked|ranking|ratings?)[0-9]*)(?=[-_.]|$)"
)


def check_policy(policy: Policy, where: Mapping[str, str] = _NO_FILES) -> list[PolicyProblem]:
    """Give everything that is wrong with a policy, in its own order; only those that are no warning prevent its loading.

    Args:
        policy: the policy.
        where: the file of each part by its number, as `portcullis.domain.policy_places.Files`; empty for none.
    """
    return [*_check_names(policy, where), *_check_parts(policy, where)]


def _check_parts(policy: Policy, files: Files) -> Iterator[PolicyProblem]:
    for number, action in enumerate(policy.actions):
        yield from _check_action(action, action_place(files, number, action.name))
    if len(policy.lists) > MAX_LISTS:
        yield PolicyProblem("list", f"there are more than {MAX_LISTS} lists", "use a second registry")
    actions = {action.name: action for action in policy.actions}
    for number, each in enumerate(policy.lists):
        yield from check_list(each, number, actions, files)
    lists = {each.name: each for each in policy.lists}
    for number, partner in enumerate(policy.partners):
        yield from check_partner(partner, number, lists, actions, files)
    yield from _check_certificates(policy, files)


def _check_certificates(policy: Policy, files: Files) -> Iterator[PolicyProblem]:
    """Check that a certificate's name stands for one partner."""
    seen: set[str] = set()
    for number, partner in enumerate(policy.partners):
        for index, name in enumerate(partner.certificates):
            if name in seen:
                place = f"{certificate_place(files, number, partner.name, index)}.san"
                yield PolicyProblem(place, "another certificate of the policy has this name", "name each of them once")
            seen.add(name)


def _check_names(policy: Policy, files: Files) -> Iterator[PolicyProblem]:
    """Check that every name is well formed, stands once, and scores nobody."""
    actions = [(action.name, action_place(files, number, action.name)) for number, action in enumerate(policy.actions)]
    lists = [(each.name, list_place(files, number, each.name)) for number, each in enumerate(policy.lists)]
    partners = [(each.name, partner_place(files, number, each.name)) for number, each in enumerate(policy.partners)]
    yield from _check_group("action", actions, ACTION_NAME, "small letters and digits in dotted words, as loan.apply")
    yield from _check_group("list", lists, NAME, "small letters, digits and single hyphens, as carrier-misconduct")
    for number, each in enumerate(policy.lists):
        measures = [
            (measure.name, measure_place(files, number, each.name, place, measure.name))
            for place, measure in enumerate(each.measures)
        ]
        yield from _check_group("measure", measures, NAME, "small letters, digits and single hyphens, as new-loans")
    yield from _check_group("partner", partners, NAME, "small letters, digits and single hyphens, as ticketing")


def _check_group(
    what: str, named: Sequence[tuple[str, str]], form: re.Pattern[str], instead: str
) -> Iterator[PolicyProblem]:
    seen: Counter[str] = Counter()
    for name, place in named:
        if len(name) > MAX_NAME_LENGTH or not form.fullmatch(name):
            yield PolicyProblem(f"{place}.name", f"this is no name for a {what}", f"write {instead}")
        elif seen[name]:
            yield PolicyProblem(f"{place}.name", f"another {what} has this name", "give each a name of its own")
        yield from _check_scoring(name, f"{place}.name")
        seen[name] += 1


def _check_scoring(name: str, place: str) -> Iterator[PolicyProblem]:
    if word := _SCORING.search(name):
        yield PolicyProblem(
            place,
            f"{word[1]!r} names a score, grade, rank or rating, and nobody is scored",
            "say what is true of the thing bought or done, as 'stars' or 'premium'",
        )


def _check_action(action: Action, place: str) -> Iterator[PolicyProblem]:
    if len(action.attributes) > MAX_ATTRIBUTES:
        yield PolicyProblem(f"{place}.attribute", f"there are more than {MAX_ATTRIBUTES}", "declare fewer attributes")
    seen: Counter[str] = Counter()
    for number, spec in enumerate(action.attributes):
        own = f"{place}.attribute[{spec.name or number}]"
        if seen[spec.name]:
            yield PolicyProblem(f"{own}.name", "another attribute of the action has this name", "rename one of them")
        seen[spec.name] += 1
        yield from _check_attribute(spec, own)
    yield from _check_deciding_attributes(action, place)


def _check_attribute(spec: AttributeSpec, place: str) -> Iterator[PolicyProblem]:
    if not is_attribute_name(spec.name):
        yield PolicyProblem(
            f"{place}.name",
            "this is no name for an attribute",
            "write small letters, digits and underscores, a letter first, and no word that CEL keeps for itself",
        )
    yield from _check_scoring(spec.name, f"{place}.name")
    if spec.required == (spec.default is not None):
        yield PolicyProblem(
            f"{place}.default",
            "an attribute is either required or has a default, never both and never neither",
            "write required = true, or a default that a partner may leave unsaid",
        )
    elif spec.default is not None and (fault := value_fault(spec.default, spec.type)):
        yield PolicyProblem(f"{place}.default", f"the default is no {spec.type}: {fault}", f"write a {spec.type}")


def _check_deciding_attributes(action: Action, place: str) -> Iterator[PolicyProblem]:
    types = {spec.name: spec.type for spec in action.attributes}
    for name in deciding_attributes(action.name):
        if types.get(name) is not AttributeType.STRING:
            yield PolicyProblem(
                f"{place}.attribute[{name}]",
                f"the ordinary form of this action is protected, and {name} tells which form is ordinary",
                f"declare the attribute {name} with type string",
            )
