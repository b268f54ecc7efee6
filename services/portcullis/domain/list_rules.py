"""The rules of one list and its measures.

In words:

- a list says its authority, legal basis, purpose and where a subject objects, and binds for a bounded term (rule 1);
- no measure touches a protected action, and one on a partly protected action has a condition that leaves its ordinary form
  alone (rule 3). The condition is tried on ordinary forms; what trials can't find, `portcullis.domain.decisions` still
  guards, and a condition of more forms than can be tried is refused;
- caller identification is a NOTICE of a PUBLIC list with a publication period, and nothing else (rule 10);
- a list of class AUTHORITY_ONLY has no measures, and neither has one of canaries, which must reach the gateways;
- a NOTICE or GRANT is silent while its list is out of date: nobody is labelled or favoured on old grounds;
- the guard of its imports is a share and a number of entries (`portcullis.domain.guards`);
- the clocks of its entries and the texts of its notices are those of `portcullis.domain.life_rules`;
- a condition compiles against every action that its measure names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import permutations, product

from portcullis.domain.cel_syntax import Literal
from portcullis.domain.conditions import Condition, ConditionFault, ConditionInvalid, compile_condition
from portcullis.domain.contacts import is_contact
from portcullis.domain.errors import PolicyProblem
from portcullis.domain.identifiers import KINDS
from portcullis.domain.life_rules import check_life
from portcullis.domain.plans import CALL_IDENTIFY
from portcullis.domain.policies import (
    Action,
    AttributeSpec,
    AttributeType,
    AttributeValue,
    Disclosure,
    Effect,
    Measure,
    OnStale,
    RestrictedList,
)
from portcullis.domain.policy_places import Files, list_place, measure_place, nearest
from portcullis.domain.protected import deciding_attributes, protected_samples, why_protected

MAX_MEASURES = 32
"""A record of the index holds its measures as a mask of 32 bits."""

MAX_TERM_S = 100 * 365 * 86_400
"""The longest term: a hundred years, in seconds."""

MAX_AGE_S = 366 * 86_400
"""The greatest age of a list, in seconds."""

MAX_TEXT_LENGTH = 512
"""The longest text for people, in characters."""

MAX_GUARD_ENTRIES = 2**32
"""The most entries that a guard can let go: more than a registry holds."""

_ALL_PERCENT = 100
_SHAPES_OUTCOME = (Effect.RESTRICT, Effect.REVIEW)
_MAX_TRIALS = 200_000
_MAX_PAIRED = 12
_MAX_SIZE = 64
_EXACT = 2.0**53

_CLASS = re.compile(r"\[\^?(.)[^]]*\]")
_ANY = re.compile(r"\\[dw]|\.")
_REPEATED = re.compile(r"(.)\{(\d{1,2})[^}]*\}")
_MARKS = re.compile(r"\(\?[a-z]*[:)]|[\^$()*+?\\]")


def check_list(each: RestrictedList, number: int, actions: Mapping[str, Action], files: Files) -> Iterator[PolicyProblem]:
    """Give everything that is wrong with one list, the ``number``-th of its policy."""
    place = list_place(files, number, each.name)
    yield from _check_head(each, place)
    yield from _check_publication(each, place)
    yield from _check_guard(each, place)
    yield from check_life(each, number, files)
    if len(each.measures) > MAX_MEASURES:
        yield PolicyProblem(f"{place}.measure", f"there are more than {MAX_MEASURES}", "split the list in two")
    if each.disclosure is Disclosure.AUTHORITY_ONLY and each.measures:
        yield PolicyProblem(
            f"{place}.disclosure",
            "a list of class AUTHORITY_ONLY has no effect at partners, and this one has measures",
            "remove the measures, or write RESTRICTED if its law lets partners act on it",
        )
    yield from _check_canary(each, place)
    if each.disclosure is not Disclosure.AUTHORITY_ONLY and not each.canary and not each.measures:
        yield PolicyProblem(place, "the list has no measure and does nothing", "add a [[measure]]", warning=True)
    for index, measure in enumerate(each.measures):
        own = measure_place(files, number, each.name, index, measure.name)
        yield from _check_measure(measure, each, actions, own)


def _check_canary(each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    if not each.canary:
        return
    if each.measures:
        yield PolicyProblem(f"{place}.canary", "a list of canaries names nobody, and this one has measures", "remove them")
    if each.disclosure is not Disclosure.RESTRICTED:
        what = "its numbers must reach the gateways, and nobody else"
        yield PolicyProblem(f"{place}.disclosure", f"this list holds canaries: {what}", "write RESTRICTED")


def _check_head(each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    texts = {
        "title": each.title,
        "authority": each.authority,
        "legal_basis": each.legal_basis,
        "purpose": each.purpose,
    }
    for key, text in texts.items():
        yield from _check_text(text, f"{place}.{key}", f"the list's {key.replace('_', ' ')}")
    if not 0 < each.max_term_s <= MAX_TERM_S:
        yield PolicyProblem(f"{place}.max_term", "no entry may bind without an end", "write up to 100 years, as '2y'")
    if not 0 < each.max_age_s <= MAX_AGE_S:
        yield PolicyProblem(f"{place}.max_age", "a list must be out of date some day", "write up to a year, as '24h'")
    if len(each.redress_url) > MAX_TEXT_LENGTH or not is_contact(each.redress_url):
        yield PolicyProblem(
            f"{place}.redress_url",
            "this is no place where a subject can object",
            "write an https URL, or mailto: or tel: with an address or number",
        )
    if not each.identifier_kinds:
        yield PolicyProblem(f"{place}.identifier_kinds", "the list can't name anyone", "name one kind at least")
    for kind in dict.fromkeys(each.identifier_kinds):
        if kind not in KINDS:
            known = ", ".join(sorted(KINDS))
            yield PolicyProblem(f"{place}.identifier_kinds", f"{kind!r} is no kind of identifier", f"write: {known}")


def _check_text(text: str, place: str, what: str) -> Iterator[PolicyProblem]:
    if not text.strip() or len(text) > MAX_TEXT_LENGTH or not text.isprintable():
        yield PolicyProblem(place, f"{what} is empty or no line of text", f"write 1 to {MAX_TEXT_LENGTH} characters")


def _check_publication(each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    begins, ends = each.published_from, each.published_until
    if (begins is None) != (ends is None):
        missing = "published_from" if begins is None else "published_until"
        yield PolicyProblem(f"{place}.{missing}", "a publication period has two ends", f"write {missing} too")
    elif begins is not None and ends is not None and begins >= ends:
        yield PolicyProblem(f"{place}.published_until", "the publication ends before it begins", "write a later date")
    if begins is not None and each.disclosure is not Disclosure.PUBLIC:
        yield PolicyProblem(
            f"{place}.published_from", "only a PUBLIC list is published", "remove the period, or write PUBLIC"
        )


def _check_guard(each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    if not 0 <= each.guard_percent <= _ALL_PERCENT:
        yield PolicyProblem(f"{place}.guard_percent", "this is no share of a list", "write a whole number from 0 to 100")
    elif each.guard_percent == _ALL_PERCENT:
        yield PolicyProblem(
            f"{place}.guard_percent",
            "one faulty file can empty the list, and nobody is asked",
            "write a smaller share, as 5",
            warning=True,
        )
    if not 0 <= each.guard_entries <= MAX_GUARD_ENTRIES:
        yield PolicyProblem(
            f"{place}.guard_entries",
            "this is no number of entries",
            f"write a whole number from 0 to {MAX_GUARD_ENTRIES}",
        )


def _check_measure(
    measure: Measure, each: RestrictedList, actions: Mapping[str, Action], place: str
) -> Iterator[PolicyProblem]:
    yield from _check_text(measure.message, f"{place}.message", "the sentence for the subject")
    yield from _check_fail_mode(measure, place)
    if not measure.actions:
        yield PolicyProblem(f"{place}.actions", "the measure touches nothing", "name one action at least")
    if len(set(measure.actions)) < len(measure.actions):
        yield PolicyProblem(f"{place}.actions", "an action stands twice", "name each action once")
    if CALL_IDENTIFY in measure.actions:
        yield from _check_caller_identification(measure, each, place)
    for name in dict.fromkeys(measure.actions):
        yield from _check_touch(measure, name, actions, place)


def _check_fail_mode(measure: Measure, place: str) -> Iterator[PolicyProblem]:
    if measure.effect not in _SHAPES_OUTCOME and measure.on_stale is not OnStale.ALLOW:
        yield PolicyProblem(
            f"{place}.on_stale", f"a {measure.effect} can't refuse when its list is out of date", "write 'ALLOW'"
        )
    if measure.effect is Effect.REVIEW and measure.on_stale is OnStale.RESTRICT:
        yield PolicyProblem(
            f"{place}.on_stale",
            "the measure only asks for a review, yet refuses everyone when its list is out of date",
            "write 'REVIEW' or 'ALLOW'",
            warning=True,
        )


def _check_caller_identification(measure: Measure, each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    if measure.effect is not Effect.NOTICE:
        yield PolicyProblem(f"{place}.effect", f"{CALL_IDENTIFY} shows a label and nothing else", "write 'NOTICE'")
    if each.disclosure is not Disclosure.PUBLIC:
        yield PolicyProblem(
            f"{place}.actions",
            f"only a PUBLIC list may speak to {CALL_IDENTIFY}",
            f"remove {CALL_IDENTIFY}, or write disclosure = 'PUBLIC' if the list's law makes it public",
        )
    if each.published_from is None or each.published_until is None:
        yield PolicyProblem(
            f"{place}.actions",
            f"{CALL_IDENTIFY} needs the list's publication period",
            "write published_from and published_until in [list]",
        )
    if "phone" not in each.identifier_kinds:
        yield PolicyProblem(
            f"{place}.actions",
            f"the list carries no phone numbers, so {CALL_IDENTIFY} never finds it",
            "add 'phone' to identifier_kinds, or remove the action",
            warning=True,
        )


def _check_touch(measure: Measure, name: str, actions: Mapping[str, Action], place: str) -> Iterator[PolicyProblem]:
    """Check what a measure does to one of its actions."""
    if protected := why_protected(name):
        yield PolicyProblem(
            f"{place}.actions",
            f"{name!r} is protected: {protected}; no measure may touch it",
            "remove the action from the measure",
        )
    action = actions.get(name)
    if action is None:
        yield PolicyProblem(
            f"{place}.actions", f"the action {name!r} is not declared", nearest(name, actions, what="action")
        )
        return
    try:
        condition = compile_condition(measure.when, action.attributes)
    except ConditionInvalid as fault:
        yield PolicyProblem(
            f"{place}.when", f"for {name}: {fault}", "write a CEL condition over the attributes of each action named"
        )
        return
    if deciding_attributes(name):
        yield from _check_ordinary_form(condition, action, place)


def _check_ordinary_form(condition: Condition, action: Action, place: str) -> Iterator[PolicyProblem]:
    """Try the condition on ordinary forms of a partly protected action: it must hold for none of them."""
    for number, values in enumerate(_trials(condition, action)):
        if number == _MAX_TRIALS:
            yield PolicyProblem(
                f"{place}.when",
                f"it has more forms than can be tried, so nobody can tell that it spares an ordinary form of {action.name}",
                "look at fewer attributes and constants, or split the measure in two",
            )
            return
        shown = ", ".join(f"{name}={values[name]!r}" for name in deciding_attributes(action.name))
        try:
            holds = condition.holds(values)
        except ConditionFault as fault:
            yield PolicyProblem(
                f"{place}.when",
                f"an ordinary form of {action.name} ({shown}) can't be judged: {fault}",
                "write a condition that gives true or false for every ordinary form",
            )
            return
        if holds:
            yield PolicyProblem(
                f"{place}.when",
                f"it holds for an ordinary form of {action.name} ({shown}), which is protected",
                "narrow it, as in: train.startsWith('G') || seat_class in ['first', 'business']",
            )
            return


def _trials(condition: Condition, action: Action) -> Iterator[dict[str, AttributeValue]]:
    deciding = deciding_attributes(action.name)
    # What is no text is not declared as it should be; that problem is the action's own.
    texts = {spec.name for spec in action.attributes if spec.type is AttributeType.STRING}
    if not texts.issuperset(deciding):
        return
    others = [spec for spec in action.attributes if spec.name in condition.attributes and spec.name not in deciding]
    pools = [_pool(spec, condition.literals) for spec in others]
    samples = protected_samples(action.name, _texts(condition.literals, alone=not others))
    for values in product(*pools):
        further = dict(zip((spec.name for spec in others), values, strict=True))
        yield from (sample | further for sample in samples)


def _texts(literals: frozenset[Literal], *, alone: bool) -> list[str]:
    """Give texts likely to meet a condition: its own, matches of its patterns, two joined, and one of each length in it."""
    written = sorted(each for each in literals if isinstance(each, str))
    texts = list(dict.fromkeys([*written, *(example for each in written for example in _examples(each))]))
    pairs = [first + second for first, second in permutations(texts, 2)] if alone and len(texts) <= _MAX_PAIRED else []
    numbers = {int(each) for each in literals if not isinstance(each, (str, bool)) and 0 <= each < _MAX_SIZE}
    return texts + pairs + ["1" * (number + more) for number in sorted(numbers) for more in (0, 1)]


def _examples(pattern: str) -> Iterator[str]:
    """Give a text for each alternative of a simple pattern, as K7777 for ``^K777[78]$``; a trial, so it may miss."""
    for alternative in pattern.split("|"):
        plain = _CLASS.sub(r"\1", alternative)
        plain = _ANY.sub("1", plain)
        plain = _REPEATED.sub(lambda found: found[1] * min(int(found[2]), _MAX_SIZE), plain)
        yield _MARKS.sub("", plain)


def _pool(spec: AttributeSpec, literals: frozenset[Literal]) -> list[AttributeValue]:
    """Give values of one attribute that are likely to turn a condition, the boundaries at its own literals among them."""
    if spec.type is AttributeType.BOOL:
        return [False, True]
    if spec.type is AttributeType.STRING:
        return ["", *sorted(each for each in literals if isinstance(each, str))]
    numbers = {-1_000_000.0, -1.0, 0.0, 1.0, 1_000_000.0}
    for each in literals:
        if not isinstance(each, str) and abs(each) < _EXACT:
            numbers |= {float(each) - 1, float(each), float(each) + 1}
    return [int(each) for each in sorted(numbers)] if spec.type is AttributeType.INT else sorted(numbers)
