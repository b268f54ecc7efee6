"""Adverse-action notices: what the subject of a refusal is told, in a language of theirs.

The rules:

1. A notice is of one template: the list's own in the language that is wanted, else Portcullis's own where it has that
   language (English and Chinese), else the list's first, else English.
2. How near two languages are is told by what Unicode CLDR knows of them: the language must be the same; the same script is
   nearer than another, then the same country, then a template for no country in particular. Where nothing is wanted, the
   list's first template speaks.
3. A template is plain text: paragraphs parted by an empty line, with placeholders in braces. They are filled in one pass, so
   that nothing a value says is ever taken for a placeholder.
4. A value can't disturb what stands around it: control characters become blanks, and what turns the direction of writing or
   is not seen at all is left out. In HTML everything is escaped, the template too.
5. Dates are those of the end in UTC, in the long form of the language.
6. Where a list was out of date and its fail mode refuses, nobody knows whether the subject stands on it. Then no list's own
   template is used, for it would say so; a sentence of Portcullis's own tells what is the case.

Example: a list has templates in zh-CN and fr. Asked for zh-TW, zh-CN speaks; for en, Portcullis's own English one; for de or
for nothing, zh-CN, its first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from portcullis.domain.notice_texts import BUILT_IN, OUT_OF_DATE
from portcullis.domain.policies import NoticeTemplate

if TYPE_CHECKING:
    from babel import Locale

NEEDED = ("authority", "law", "objection")
"""What every template must tell: a subject who does not learn of these can't object."""

PLACEHOLDERS = (*NEEDED, "list", "case_reference", "until", "objection_until", "action")
"""What a template may tell; `Refused` says what each is."""

MAX_LOCALE = 32
"""The most characters of a language, as BCP 47 writes it."""

_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
_DAY_S = 86_400
_UNSEEN = ("Cf", "Cs")
_BREAKING = ("Cc", "Zl", "Zp")


class Refused(NamedTuple):
    """What was refused, by whom and on which ground.

    Attributes:
        authority: who keeps the list and answers for it.
        list: the list's title.
        law: the law that the entry rests on.
        objection: where one objects.
        action: what was refused, in words.
        case_reference: the entry's; "" without an entry.
        until: when the entry stops to bind, and with it the time to object (Unix seconds, exclusive); None without one.
    """

    authority: str
    list: str
    law: str
    objection: str
    action: str
    case_reference: str = ""
    until: int | None = None


class Notice(NamedTuple):
    """A notice. ``locale`` is its template's; ``html`` says the same as ``text``, as paragraphs."""

    locale: str
    text: str
    html: str


class _Filling(NamedTuple):
    """A template, taken apart: literal pieces at even places, names of placeholders at odd ones."""

    locale: str
    text: tuple[str, ...]
    html: tuple[str, ...]


def write_notice(refused: Refused, own: tuple[NoticeTemplate, ...], wanted: str = "") -> Notice:
    """Write the notice of one refusal.

    Args:
        refused: what it tells.
        own: the templates of the list.
        wanted: the language wanted, as BCP 47 writes it; "" for the list's first.
    """
    filling = _filling(own, wanted, listed=refused.until is not None)
    day = _date(refused.until // _DAY_S, filling.locale) if refused.until is not None else ""
    values = {
        "authority": neutral(refused.authority),
        "list": neutral(refused.list),
        "law": neutral(refused.law),
        "objection": neutral(refused.objection),
        "action": neutral(refused.action),
        "case_reference": neutral(refused.case_reference),
        "until": day,
        "objection_until": day,
    }
    text = _filled(filling.text, values)
    return Notice(filling.locale, text, _filled(filling.html, {name: escape(value) for name, value in values.items()}))


def negotiate(wanted: str, available: Sequence[str]) -> str:
    """Give the one of some languages that is nearest to what is wanted; the first where none is near.

    Args:
        wanted: as BCP 47 writes it; what Babel does not know is near to nothing.
        available: one at least; what Babel does not know is only given as the first.
    """
    # Babel's own negotiate_locale() would give whoever reads zh-TW a template of zh before one of zh-Hant.
    reader = _full(wanted)
    if reader is None:
        return available[0]
    near = [(_nearness(wanted, reader, each), -place) for place, each in enumerate(available)]
    best, place = max(near)
    return available[-place] if best else available[0]


def is_locale_tag(text: str) -> bool:
    """Say whether a text is written as BCP 47 writes languages, such as zh-CN; whether there is such a one is left open."""
    return len(text) <= MAX_LOCALE and _TAG.fullmatch(text) is not None


def is_known_locale(text: str) -> bool:
    """Say whether notices can be written in a language: dates and the order of writing must be known."""
    return is_locale_tag(text) and _locale(text) is not None


def same_locale(one: str, other: str) -> bool:
    """Say whether two languages that are known are one, such as zh-CN and zh-Hans-CN."""
    return _full(one) == _full(other)


def unknown_placeholders(text: str) -> tuple[str, ...]:
    """Give what stands in braces in a template and is no placeholder, and each brace that stands alone."""
    rest = _PLACEHOLDER.sub("", text)
    return tuple(dict.fromkeys(re.findall(r"\{[^{}]*\}|[{}]", rest)))


def missing_placeholders(text: str) -> tuple[str, ...]:
    """Give the placeholders that a template must have and has not."""
    return tuple(name for name in NEEDED if f"{{{name}}}" not in text)


def neutral(text: str) -> str:
    """Take from a text what is not to be seen or breaks its line: control, format and bidirectional characters."""
    if text.isprintable():
        return text
    return "".join(map(_neutral_character, text))


def prepare() -> None:
    """Load what the first notice in English and Chinese needs: some 0.1 s, which no call should wait for. Blocks."""
    for each in BUILT_IN:
        refused = Refused(authority="", list="", law="", objection="", action="", until=0)
        write_notice(refused, (), each.locale)


def _neutral_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in _UNSEEN:
        return ""
    return " " if category in _BREAKING else character


def _filled(pieces: Sequence[str], values: dict[str, str]) -> str:
    parts = list(pieces)
    parts[1::2] = [values[name] for name in parts[1::2]]
    return "".join(parts)


@lru_cache(maxsize=1024)
def _filling(own: tuple[NoticeTemplate, ...], wanted: str, *, listed: bool) -> _Filling:
    if not listed:
        # The list's own words are not used, but its language is.
        wanted = wanted or (own[0].locale if own else "")
        return _taken_apart(_nearest(OUT_OF_DATE, wanted))
    usable = tuple(each for each in own if _full(each.locale) is not None)
    spoken = {_language(each.locale) for each in usable}
    return _taken_apart(_nearest((*usable, *(each for each in BUILT_IN if each.locale not in spoken)), wanted))


def _nearest(templates: Sequence[NoticeTemplate], wanted: str) -> NoticeTemplate:
    locales = [each.locale for each in templates]
    return templates[locales.index(negotiate(wanted, locales))]


def _taken_apart(template: NoticeTemplate) -> _Filling:
    text = template.text.strip().replace("\r\n", "\n")
    paragraphs = [each.strip() for each in re.split(r"\n[ \t]*\n", text) if each.strip()]
    locale = _locale(template.locale)
    turned = ' dir="rtl"' if locale is not None and locale.text_direction == "rtl" else ""
    html = "\n".join(
        f'<p lang="{escape(template.locale)}"{turned}>{escape(each).replace(chr(10), "<br>" + chr(10))}</p>'
        for each in paragraphs
    )
    return _Filling(template.locale, tuple(_PLACEHOLDER.split("\n\n".join(paragraphs))), tuple(_PLACEHOLDER.split(html)))


@lru_cache(maxsize=8192)
def _date(day: int, tag: str) -> str:
    """Write a day, counted from 1970, in the long form of a language; Babel takes some 0.1 ms for one."""
    from babel.dates import format_date  # noqa: PLC0415 - most gateways never refuse in their first minutes

    return format_date(datetime.fromtimestamp(day * _DAY_S, UTC).date(), "long", _locale(tag) or "en")


@lru_cache(maxsize=1024)
def _locale(tag: str) -> Locale | None:
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - as above

    try:
        return Locale.parse(tag, sep="-")
    except (ValueError, UnknownLocaleError):
        return None


@lru_cache(maxsize=1024)
def _full(tag: str) -> tuple[str, str, str] | None:
    """Give language, script and territory, what is not said by what is likely; None for what is no known language."""
    locale = _locale(tag) if is_locale_tag(tag) else None
    if locale is None:
        return None
    from babel.core import get_global  # noqa: PLC0415 - as above

    said = locale.language, locale.script, locale.territory
    narrowed = ((said[0], said[1]), (said[0], said[2]), (said[0],))
    likely = get_global("likely_subtags")
    guesses = ("_".join(part for part in parts if part) for parts in narrowed if all(parts))
    guess = next((likely[key] for key in guesses if key in likely), "")
    _, script, territory = (*guess.split("_"), "", "", "")[:3]
    return said[0], said[1] or script, said[2] or territory


def _language(tag: str) -> str:
    full = _full(tag)
    return full[0] if full else ""


def _nearness(wanted: str, reader: tuple[str, str, str], tag: str) -> tuple[bool, bool, bool, bool] | tuple[()]:
    full = _full(tag)
    if full is None or full[0] != reader[0]:
        return ()
    locale = _locale(tag)
    general = locale is not None and not locale.territory
    return tag.lower() == wanted.lower(), full[1] == reader[1], full[2] == reader[2], general
