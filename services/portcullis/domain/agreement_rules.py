"""The rules of one partner and its agreements.

In words: an agreement names lists and actions that the policy declares, and purposes; it begins before it ends; a list of
class AUTHORITY_ONLY is in none, nor one of canaries. A partner that proves itself by a certificate names one, and one
that does not names none. A quota is no negative number. An action that no list of the agreement has a measure on, or a
list that has none on
its actions, is a warning: the first can only ever be an error at the checkout, the second shares more than is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from portcullis.domain.caller_certificates import is_certificate_name
from portcullis.domain.errors import PolicyProblem
from portcullis.domain.policies import Action, Agreement, Credentials, Disclosure, Partner, RestrictedList
from portcullis.domain.policy_places import (
    MAX_NAME_LENGTH,
    NAME,
    Files,
    agreement_place,
    certificate_place,
    nearest,
    partner_place,
    quota_place,
)
from portcullis.domain.quotas import LARGEST_BATCH, LARGEST_QUOTA

_MAX_TITLE_LENGTH = 512


def check_partner(
    partner: Partner, number: int, lists: Mapping[str, RestrictedList], actions: Mapping[str, Action], files: Files
) -> Iterator[PolicyProblem]:
    """Give everything that is wrong with one partner, the ``number``-th of its policy."""
    place = partner_place(files, number, partner.name)
    if not partner.title.strip() or len(partner.title) > _MAX_TITLE_LENGTH or not partner.title.isprintable():
        yield PolicyProblem(f"{place}.title", "the partner's title is empty or no line of text", "write 1 to 512 characters")
    if not partner.agreements:
        yield PolicyProblem(place, "the partner has no agreement and may ask nothing", "add an [[agreement]]", warning=True)
    for index, agreement in enumerate(partner.agreements):
        yield from _check_agreement(agreement, lists, actions, agreement_place(files, number, partner.name, index))
    yield from _check_certificates(partner, number, files)
    for key, value in msgspec.structs.asdict(partner.quota).items():
        most = LARGEST_BATCH if key == "batch" else LARGEST_QUOTA
        if not 0 <= value <= most:
            yield PolicyProblem(
                f"{quota_place(files, number, partner.name)}.{key}",
                f"a quota lies in 0 to {most}",
                f"write a whole number up to {most}, 0 for not limited",
            )


def _check_certificates(partner: Partner, number: int, files: Files) -> Iterator[PolicyProblem]:
    by_key = partner.credentials is Credentials.KEY
    if by_key == bool(partner.certificates):
        what = "no certificate is looked at" if by_key else "there is no certificate to know it by"
        instead = "write 'certificate', 'either' or 'both'" if by_key else "add a [[certificate]], or write 'key'"
        yield PolicyProblem(f"{partner_place(files, number, partner.name)}.credentials", what, instead)
    for index, name in enumerate(partner.certificates):
        if not is_certificate_name(name):
            yield PolicyProblem(
                f"{certificate_place(files, number, partner.name, index)}.san",
                "this is no name by which a certificate is known",
                "write a SPIFFE ID, another URI, or a DNS name in small letters without a wildcard",
            )


def _check_agreement(
    agreement: Agreement, lists: Mapping[str, RestrictedList], actions: Mapping[str, Action], place: str
) -> Iterator[PolicyProblem]:
    if agreement.valid_from >= agreement.valid_until:
        yield PolicyProblem(f"{place}.valid_until", "the agreement ends before it begins", "write a later date")
    yield from _check_purposes(agreement, f"{place}.purposes")
    yield from _check_named("list", agreement.lists, lists, f"{place}.lists")
    yield from _check_named("action", agreement.actions, actions, f"{place}.actions")
    for name in agreement.lists:
        if name in lists and lists[name].disclosure is Disclosure.AUTHORITY_ONLY:
            yield PolicyProblem(
                f"{place}.lists", f"the list {name!r} is AUTHORITY_ONLY and never leaves the registry", "remove it"
            )
        if name in lists and lists[name].canary:
            what = f"the list {name!r} holds canaries, and no partner may know of it"
            yield PolicyProblem(f"{place}.lists", what, "remove it")
    yield from _check_cover(agreement, lists, actions, place)


def _check_purposes(agreement: Agreement, place: str) -> Iterator[PolicyProblem]:
    if not agreement.purposes:
        yield PolicyProblem(place, "an agreement is for a purpose", "name one purpose at least, as 'ticketing'")
    for purpose in agreement.purposes:
        if len(purpose) > MAX_NAME_LENGTH or not NAME.fullmatch(purpose):
            yield PolicyProblem(
                place, "one of them is no name for a purpose", "write small letters, digits and hyphens, as 'ticketing'"
            )


def _check_named(what: str, names: Iterable[str], known: Iterable[str], place: str) -> Iterator[PolicyProblem]:
    declared = set(known)
    wanted = list(names)
    if not wanted:
        yield PolicyProblem(place, f"the agreement names no {what}", f"name one {what} at least")
    if len(set(wanted)) < len(wanted):
        yield PolicyProblem(place, f"a {what} stands twice", f"name each {what} once")
    for name in dict.fromkeys(wanted):
        if name not in declared:
            yield PolicyProblem(place, f"the {what} {name!r} is not declared", nearest(name, declared, what=what))


def _check_cover(
    agreement: Agreement, lists: Mapping[str, RestrictedList], actions: Mapping[str, Action], place: str
) -> Iterator[PolicyProblem]:
    touched = {
        name: {action for measure in lists[name].measures for action in measure.actions}
        for name in agreement.lists
        if name in lists
    }
    if len(touched) < len(set(agreement.lists)):
        return  # what an undeclared list covers can't be told
    covered = {action for each in touched.values() for action in each}
    for action in agreement.actions:
        if action in actions and action not in covered:
            yield PolicyProblem(
                f"{place}.actions",
                f"no list of the agreement has a measure on {action!r}, so asking about it is an error",
                "remove the action, or add a list that has a measure on it",
                warning=True,
            )
    for name, each in touched.items():
        if each.isdisjoint(agreement.actions) and lists[name].disclosure is not Disclosure.AUTHORITY_ONLY:
            yield PolicyProblem(
                f"{place}.lists",
                f"the list {name!r} has no measure on any action of the agreement",
                "remove the list: no more is shared than is used",
                warning=True,
            )
