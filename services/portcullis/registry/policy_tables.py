"""What each table of a policy's files may hold.

The keys of actions, lists, measures, notices, partners, agreements and certificates.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from portcullis.domain.changes import ChangeKind
from portcullis.domain.policies import (
    DEFAULT_GUARD_ENTRIES,
    DEFAULT_GUARD_PERCENT,
    DEFAULT_KEPT_S,
    Action,
    Agreement,
    AttributeSpec,
    AttributeType,
    AttributeValue,
    Credentials,
    Disclosure,
    Effect,
    Measure,
    NoticeTemplate,
    OnStale,
    Partner,
    Probing,
    RestrictedList,
)
from portcullis.domain.quotas import Quota
from portcullis.domain.shared_events import EventKind
from portcullis.registry.toml_tables import Table

_DAY_S = 86_400
# Stand-ins for faulty values, chosen so that no rule has anything to add.
_SOME_DAY, _NEXT_DAY = 0, _DAY_S


def read_action(table: Table) -> Action:
    """Read an ``[[action]]``."""
    action = Action(
        name=table.text("name", instead="write a dotted name, as 'loan.apply'"),
        title=table.text("title", default=""),
        attributes=tuple(_read_attribute(each) for each in table.tables("attribute")),
    )
    table.close()
    return action


def _read_attribute(table: Table) -> AttributeSpec:
    kind = table.choice("type", AttributeType, stand_in=AttributeType.STRING)
    required = table.flag("required")
    default = _default(table, kind)
    unclear = table.faulty("type") or table.faulty("required")
    spec = AttributeSpec(
        name=table.text("name", instead="write the name that conditions use, as 'train'"),
        type=kind,
        required=required or unclear,
        default=None if unclear else default,
        about=table.text("about", default=""),
    )
    table.close()
    return spec


def _default(table: Table, kind: AttributeType) -> AttributeValue | None:
    value = table.anything("default")
    if value is None:
        return None
    if not isinstance(value, (str, int, float, bool)):
        table.fault("default", "a default is one plain value", f"write a {kind}")
        return None
    # A whole number stands for a double as well; the policy holds it as what it is declared to be.
    return float(value) if kind is AttributeType.DOUBLE and type(value) is int else value


def read_list(head: Table, measures: Sequence[Table], notices: Sequence[Table]) -> RestrictedList:
    """Read a ``[list]`` and its ``[[measure]]`` and ``[[notice]]`` tables."""
    if head.anything("suspended") is not None:
        head.fault("suspended", "no file suspends a list: two people do", "remove the key, and suspend it in the registry")
    each = RestrictedList(
        name=head.text("name", instead="write small letters, digits and hyphens, as 'carrier-misconduct'"),
        title=head.text("title", instead="write the list's name for people"),
        authority=head.text("authority", instead="write who keeps the list and answers for it"),
        legal_basis=head.text("legal_basis", instead="write the law that the list rests on"),
        purpose=head.text("purpose", instead="write what the list is for"),
        max_term_s=head.duration_s("max_term", stand_in=_DAY_S),
        max_age_s=head.duration_s("max_age", stand_in=_DAY_S),
        disclosure=head.choice("disclosure", Disclosure, stand_in=Disclosure.RESTRICTED),
        redress_url=head.text("redress_url", instead="write where a subject objects: an https URL, mailto: or tel:"),
        identifier_kinds=head.texts("identifier_kinds", instead="write an array, as ['cn.resident-id', 'passport']"),
        measures=tuple(_read_measure(measure) for measure in measures),
        shadow=head.flag("shadow"),
        published_from=head.moment("published_from", required=False, stand_in=_SOME_DAY),
        published_until=head.moment("published_until", required=False, stand_in=_NEXT_DAY),
        guard_percent=head.whole("guard_percent", default=DEFAULT_GUARD_PERCENT, instead="write a whole number, as 5"),
        guard_entries=head.whole("guard_entries", default=DEFAULT_GUARD_ENTRIES, instead="write a whole number, as 1000"),
        takes_terminations=head.flag("takes_terminations"),
        canary=head.flag("canary"),
        four_eyes=head.flag("four_eyes"),
        lapse_s=head.duration_s("lapse", stand_in=0, default=0),
        calendar=head.text("calendar", default="", instead="write the ISO 3166 code of a country in quotes, as 'CN'"),
        source_told_days=_days(head, "source_told_days"),
        decided_days=_days(head, "decided_days"),
        extension_days=_days(head, "extension_days"),
        stays_on_dispute=head.flag("stays_on_dispute"),
        settled_days=_days(head, "settled_days"),
        kept_after_end_s=head.duration_s("kept_after_end", stand_in=DEFAULT_KEPT_S, default=DEFAULT_KEPT_S),
        looks_kept_s=head.duration_s("looks_kept", stand_in=DEFAULT_KEPT_S, default=DEFAULT_KEPT_S),
        decisions_kept_s=head.duration_s("decisions_kept", stand_in=DEFAULT_KEPT_S, default=DEFAULT_KEPT_S),
        notices=tuple(_read_notice(notice) for notice in notices),
    )
    head.close()
    return each


def _days(head: Table, key: str) -> int:
    field = next(each for each in msgspec.structs.fields(RestrictedList) if each.name == key)
    return head.whole(key, default=field.default, instead="write a whole number of days, as 5")


def _read_notice(table: Table) -> NoticeTemplate:
    notice = NoticeTemplate(
        locale=table.text("locale", instead="write the language as BCP 47 does, as 'zh-CN'"),
        text=table.text("text", instead="write what the subject of a refusal is told").strip(),
    )
    table.close()
    return notice


def _read_measure(table: Table) -> Measure:
    measure = Measure(
        name=table.text("name", instead="write small letters, digits and hyphens, as 'new-loans'"),
        actions=table.texts("actions", instead="write an array of declared actions, as ['loan.apply']"),
        effect=table.choice("effect", Effect, stand_in=Effect.RESTRICT),
        on_stale=table.choice(
            "on_stale",
            OnStale,
            stand_in=OnStale.ALLOW,
            why="a policy that does not say what happens when a list is out of date does not load",
        ),
        message=table.text("message", instead="write the sentence that the subject is told, in English"),
        when=table.text("when", default="").strip(),
        shadow=table.flag("shadow"),
    )
    table.close()
    return measure


def read_partner(
    head: Table, agreements: Sequence[Table], certificates: Sequence[Table] = (), quota: Table | None = None
) -> Partner:
    """Read a ``[partner]`` and its ``[quota]`` and its ``[[agreement]]`` and ``[[certificate]]`` tables."""
    partner = Partner(
        name=head.text("name", instead="write small letters, digits and hyphens, as 'ticketing'"),
        title=head.text("title", instead="write the partner's name for people"),
        agreements=tuple(_read_agreement(each) for each in agreements),
        shadow=head.flag("shadow"),
        credentials=_read_credentials(head, named=bool(certificates)),
        certificates=tuple(_read_certificate(each) for each in certificates),
        probing=_read_probing(head),
        quota=_read_quota(quota) if quota is not None else Quota(),
    )
    head.close()
    return partner


def _read_probing(head: Table) -> Probing:
    if head.anything("probing") is None:
        return Probing.STRICT
    return head.choice("probing", Probing, stand_in=Probing.STRICT)


def _read_credentials(head: Table, *, named: bool) -> Credentials:
    """Read by what a partner proves itself: it has to say so where it names a certificate."""
    if not named and head.anything("credentials") is None:
        return Credentials.KEY
    why = "a partner with a certificate says whether its keys are good besides"
    return head.choice("credentials", Credentials, stand_in=Credentials.EITHER if named else Credentials.KEY, why=why)


def _read_quota(table: Table) -> Quota:
    """Read a ``[quota]``; what it does not say is as for a partner without one."""
    usual = msgspec.structs.asdict(Quota())
    instead = "write a whole number, 0 for not limited"
    quota = Quota(**{key: table.whole(key, default=value, instead=instead) for key, value in usual.items()})
    table.close()
    return quota


def _read_certificate(table: Table) -> str:
    san = table.text("san", instead="write a name of the certificate, as 'spiffe://bank.example/checkout' or 'bank.example'")
    table.close()
    return san


def _read_agreement(table: Table) -> Agreement:
    agreement = Agreement(
        lists=table.texts("lists", instead="write an array of lists, as ['carrier-misconduct']"),
        actions=table.texts("actions", instead="write an array of actions, as ['air.ticket.purchase']"),
        purposes=table.texts("purposes", instead="write an array of purposes, as ['ticketing']"),
        valid_from=table.moment("valid_from", required=True, stand_in=_SOME_DAY) or 0,
        valid_until=table.moment("valid_until", required=True, stand_in=_NEXT_DAY) or 0,
        events=table.choices("events", EventKind),
        changes=table.choices("changes", ChangeKind),
    )
    table.close()
    return agreement
