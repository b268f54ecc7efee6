"""The rules of how a list's entries live and end, how long they are remembered, and of what their subjects are told.

In words:

- an entry that lapses has a day at least to be reaffirmed, and lapses before its greatest term would end it;
- a list's clocks are never slower than a listed person's rights: the source told within five working days, a dispute decided
  within thirty days and put off once, by fifteen at most;
- a settled entry is released within thirty working days, where it is released by itself at all;
- what a listed person may ask to see, decisions and looks, is kept for a month at least, and nothing for ever;
- a notice is plain text in a language that dates can be written in; it says who restricts, on which law, where one objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from portcullis.domain.errors import PolicyProblem
from portcullis.domain.notices import (
    NEEDED,
    PLACEHOLDERS,
    is_known_locale,
    missing_placeholders,
    neutral,
    same_locale,
    unknown_placeholders,
)
from portcullis.domain.policies import NoticeTemplate, RestrictedList
from portcullis.domain.policy_places import Files, list_place, notice_place

MAX_NOTICES = 32
"""The most languages of one list's notices."""

MAX_NOTICE_LENGTH = 2_000
"""The longest text of a notice, in characters; an answer carries it twice for each reason, as text and as HTML."""

MAX_KEPT_S = 100 * 365 * 86_400
"""The longest that anything is kept: a hundred years, in seconds."""

_DAY_S = 86_400
_MONTH_S = 30 * _DAY_S

_CLOCKS = {"source_told_days": (1, 5), "decided_days": (1, 30), "extension_days": (0, 15), "settled_days": (0, 30)}
"""The fewest and the most days of each clock."""


def check_life(each: RestrictedList, number: int, files: Files) -> Iterator[PolicyProblem]:
    """Give everything that is wrong with the clocks and notices of one list, the ``number``-th of its policy."""
    place = list_place(files, number, each.name)
    yield from _check_lapse(each, place)
    yield from _check_clocks(each, place)
    yield from _check_kept(each, place)
    if len(each.notices) > MAX_NOTICES:
        yield PolicyProblem(f"{place}.notice", f"there are more than {MAX_NOTICES}", "keep those that your subjects read")
    for index, notice in enumerate(each.notices):
        yield from _check_notice(notice, each.notices[:index], notice_place(files, number, each.name, index))


def _check_lapse(each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    if each.lapse_s and not _DAY_S <= each.lapse_s <= each.max_term_s:
        yield PolicyProblem(
            f"{place}.lapse",
            "an entry needs a day at least to be reaffirmed, and its greatest term ends it anyhow",
            "write a day or more, up to max_term, as '90d', or leave the key out if entries do not lapse",
        )


def _check_clocks(each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    for key, (fewest, most) in _CLOCKS.items():
        if not fewest <= getattr(each, key) <= most:
            yield PolicyProblem(
                f"{place}.{key}",
                f"a listed person's clock has {fewest} to {most} days here",
                f"write a whole number from {fewest} to {most}",
            )
    # The calendars of the world take a while to load, and most policies name none.
    from portcullis.domain.working_days import is_calendar  # noqa: PLC0415

    if not is_calendar(each.calendar):
        yield PolicyProblem(
            f"{place}.calendar",
            "no working days are known of it",
            "write the ISO 3166 code of a country, as 'CN', or leave the key out for Monday to Friday",
        )


def _check_kept(each: RestrictedList, place: str) -> Iterator[PolicyProblem]:
    kept = {
        "kept_after_end": (each.kept_after_end_s, _DAY_S, "a day"),
        "looks_kept": (each.looks_kept_s, _MONTH_S, "30 days"),
        "decisions_kept": (each.decisions_kept_s, _MONTH_S, "30 days"),
    }
    for key, (seconds, least, shown) in kept.items():
        if not least <= seconds <= MAX_KEPT_S:
            yield PolicyProblem(
                f"{place}.{key}",
                f"a person has {shown} at least to ask about it, and nothing is kept for ever",
                f"write {shown} to 100 years, as '2y'",
            )


def _check_notice(notice: NoticeTemplate, earlier: tuple[NoticeTemplate, ...], place: str) -> Iterator[PolicyProblem]:
    if not is_known_locale(notice.locale):
        yield PolicyProblem(
            f"{place}.locale",
            "this is no language that notices can be written in",
            "write it as BCP 47 does, as 'en', 'zh-CN' or 'sr-Latn'",
        )
    elif any(same_locale(notice.locale, other.locale) for other in earlier):
        yield PolicyProblem(f"{place}.locale", "another notice has this language", "keep one notice for each language")
    yield from _check_text(notice.text, f"{place}.text")


def _check_text(text: str, place: str) -> Iterator[PolicyProblem]:
    if not text.strip() or len(text) > MAX_NOTICE_LENGTH or any(neutral(line) != line for line in text.split("\n")):
        yield PolicyProblem(
            place,
            "the notice is empty or no plain text",
            f"write 1 to {MAX_NOTICE_LENGTH} characters, without control and bidirectional ones",
        )
    if unknown := unknown_placeholders(text):
        yield PolicyProblem(
            place,
            f"there is no {' and no '.join(map(repr, unknown))} to fill in",
            f"write of these, in braces: {', '.join(PLACEHOLDERS)}",
        )
    elif missing := missing_placeholders(text):
        yield PolicyProblem(
            place,
            f"it does not tell {' and '.join(missing)}: who is refused must learn of {', '.join(NEEDED)}",
            f"write {' and '.join(f'{{{name}}}' for name in missing)} into it",
        )
