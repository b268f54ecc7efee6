"""The words of a policy: actions, lists with their measures, partners with their agreements.

These are values only. `portcullis.domain.policy_rules` says which of them may be loaded, `portcullis.domain.plans`
compiles them for deciding.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from portcullis.domain.changes import ChangeKind
from portcullis.domain.quotas import Quota
from portcullis.domain.shared_events import EventKind

DEFAULT_GUARD_PERCENT = 5
"""How much of its entries in force a list gives up in one import without asking, in percent,"""
DEFAULT_GUARD_ENTRIES = 1000
"""or how many, if that is more."""


class Effect(StrEnum):
    """What a measure does to an action."""

    RESTRICT = "RESTRICT"
    REVIEW = "REVIEW"
    NOTICE = "NOTICE"
    GRANT = "GRANT"


class OnStale(StrEnum):
    """What a measure does once its list is older than its greatest age: the declared fail mode."""

    ALLOW = "ALLOW"
    RESTRICT = "RESTRICT"
    REVIEW = "REVIEW"


DEFAULT_KEPT_S = 2 * 365 * 86_400
"""How long records are kept where a list does not say: two years, in seconds."""


class Disclosure(StrEnum):
    """Who may learn that a subject is on a list."""

    PUBLIC = "PUBLIC"
    RESTRICTED = "RESTRICTED"
    AUTHORITY_ONLY = "AUTHORITY_ONLY"


class AttributeType(StrEnum):
    """The type of an action's attribute."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"


AttributeValue = str | int | float | bool


class AttributeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One declared attribute of an action. It is either required or has a default, so a condition never lacks it."""

    name: str
    type: AttributeType
    required: bool = False
    default: AttributeValue | None = None
    about: str = ""


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a subject may want to do: a dotted name and the facts that conditions may look at."""

    name: str
    title: str = ""
    attributes: tuple[AttributeSpec, ...] = ()


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a list does to actions.

    ``when`` is a CEL expression over the attributes of each action named, or "" for always; ``message`` is the sentence
    for the subject, in English.
    """

    name: str
    actions: tuple[str, ...]
    effect: Effect
    on_stale: OnStale
    message: str
    when: str = ""
    shadow: bool = False


class NoticeTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a refused subject is told in one language, ``locale`` as BCP 47 writes it (`portcullis.domain.notices`)."""

    locale: str
    text: str


class RestrictedList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One authority's register.

    ``max_term_s`` is the longest an entry may bind and ``max_age_s`` how old a snapshot may be before ``on_stale``
    applies, both in seconds. ``published_from`` and ``published_until`` (Unix seconds) are the publication period of a
    PUBLIC list. ``identifier_kinds`` are what its entries may carry. An import that takes away more than ``guard_percent``
    of its entries in force, and more than ``guard_entries``, is held (`portcullis.domain.guards`). Partners may report that
    they ended a service for misconduct where it ``takes_terminations``.

    Where it is of ``four_eyes``, a second person approves every entry and every import. An entry that its authority has not
    reaffirmed for ``lapse_s`` seconds lapses; 0: entries do not lapse. Working days are those of ``calendar``, the ISO 3166
    code of a country, "" for Monday to Friday. Of a dispute the source is told within ``source_told_days`` working days and
    it is decided within ``decided_days`` days, once put off by ``extension_days``; it ``stays_on_dispute`` from the first
    minute where that is so. An entry that a partner reports as settled is released ``settled_days`` working days later
    unless the authority objects; 0: only by the authority. What tells who somebody is is kept ``kept_after_end_s`` seconds
    after the entry's end, looks ``looks_kept_s`` and decisions ``decisions_kept_s``. ``notices`` are what the subject of a
    refusal is told. It is ``suspended`` while two people have taken it out of force: the registry says so, no file.

    A ``canary`` list names nobody: it holds numbers that no person has, has no measures and stands in no agreement, so that
    a question about one of them is the sign of somebody who goes through numbers.
    """

    name: str
    title: str
    authority: str
    legal_basis: str
    purpose: str
    max_term_s: int
    max_age_s: int
    disclosure: Disclosure
    redress_url: str
    identifier_kinds: tuple[str, ...]
    measures: tuple[Measure, ...] = ()
    shadow: bool = False
    published_from: int | None = None
    published_until: int | None = None
    guard_percent: int = DEFAULT_GUARD_PERCENT
    guard_entries: int = DEFAULT_GUARD_ENTRIES
    takes_terminations: bool = False
    four_eyes: bool = False
    lapse_s: int = 0
    calendar: str = ""
    source_told_days: int = 5
    decided_days: int = 30
    extension_days: int = 15
    stays_on_dispute: bool = False
    settled_days: int = 0
    kept_after_end_s: int = DEFAULT_KEPT_S
    looks_kept_s: int = DEFAULT_KEPT_S
    decisions_kept_s: int = DEFAULT_KEPT_S
    notices: tuple[NoticeTemplate, ...] = ()
    suspended: bool = False
    canary: bool = False


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one partner may ask and share: any of these actions, for any of these purposes, answered from these lists.

    About these lists it may report ``events`` of these kinds, and is told ``changes`` of these kinds; all of them unless an
    agreement says otherwise. It holds from ``valid_from`` until ``valid_until`` (Unix seconds, end exclusive).
    """

    lists: tuple[str, ...]
    actions: tuple[str, ...]
    purposes: tuple[str, ...]
    valid_from: int
    valid_until: int
    events: tuple[EventKind, ...] = tuple(EventKind)
    changes: tuple[ChangeKind, ...] = tuple(ChangeKind)

    def is_in_force(self, now: float) -> bool:
        """Say whether it holds at a time (Unix seconds)."""
        return self.valid_from <= now < self.valid_until


class Credentials(StrEnum):
    """What a partner proves itself by: an API key, a certificate, either of them, or both at once."""

    KEY = "key"
    CERTIFICATE = "certificate"
    EITHER = "either"
    BOTH = "both"


class Probing(StrEnum):
    """What is done about a partner that goes through numbers (`portcullis.domain.probing`): STRICT holds back, WATCH tells.

    WATCH is for who screens all its customers again in the order of their numbers, and for no other.
    """

    STRICT = "strict"
    WATCH = "watch"


class Partner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One partner. In ``shadow`` it is only shown what would have been.

    ``certificates`` are the names, SPIFFE IDs or other subject alternative names, that its certificates carry. What it may
    ask for is bounded by its ``quota``, and ``probing`` says what happens when it goes through numbers. ``feed_epoch``
    says which of its keys its names are made with (`portcullis.domain.subjects`); the registry knows it, and no policy as it
    is loaded has it.
    """

    name: str
    title: str
    agreements: tuple[Agreement, ...]
    shadow: bool = False
    credentials: Credentials = Credentials.KEY
    certificates: tuple[str, ...] = ()
    quota: Quota = Quota()
    probing: Probing = Probing.STRICT
    feed_epoch: int = 1


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All actions, lists and partners of one registry."""

    actions: tuple[Action, ...] = ()
    lists: tuple[RestrictedList, ...] = ()
    partners: tuple[Partner, ...] = ()

    def list_named(self, name: str) -> RestrictedList | None:
        """Find a list by its name."""
        return next((each for each in self.lists if each.name == name), None)

    def partner_named(self, name: str) -> Partner | None:
        """Find a partner by its name."""
        return next((each for each in self.partners if each.name == name), None)
