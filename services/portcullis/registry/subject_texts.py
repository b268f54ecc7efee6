"""The text of a subject's record (`portcullis.registry.subject_records`), in English and Chinese.

It says what the record says, in the same order, in words. Every value is made harmless first: nothing that a value holds can
turn the direction of writing or begin a line. Days are written by Babel in the language, times of day in UTC. What a value
of another release means, and has no words here, is told as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from portcullis.domain.notices import neutral
from portcullis.registry.subject_phrases import PHRASES, TERMS

LOCALES: Final = tuple(PHRASES)
"""The languages of the text; the first speaks where none is near."""

_Json = Mapping[str, Any]

_OF_DISPUTE: Final = re.compile(r"dispute (\S+)( was not decided)?")
"""What the registry writes as the reason of a step that a dispute, or the end of its time, has taken by itself."""


def write_record(record: _Json, locale: str) -> str:
    """Write a record in words, in one of `LOCALES`."""
    return "\n".join(_Writer(locale).record(record)) + "\n"


class _Writer:
    """Writes in one language."""

    def __init__(self, locale: str) -> None:
        self._locale = locale
        self._phrases = PHRASES[locale]
        self._terms = TERMS[locale]

    def record(self, record: _Json) -> Iterator[str]:
        yield self._say("title")
        yield self._say("made", at=self._time(record["made_at"]))
        yield from self._part("entries", "no entries", record["entries"])
        for number, entry in enumerate(record["entries"], 1):
            yield from ("", *self._entry(number, entry))
        yield from self._part("decisions", "no decisions", record["decisions"])
        for number, decision in enumerate(record["decisions"], 1):
            yield from ("", *self._decision(number, decision))
        yield from ("", self._say("rights title"), "", self._say("rights"))

    def _part(self, title: str, empty: str, found: Sequence[_Json]) -> Iterator[str]:
        yield from ("", self._say(title, count=str(len(found))))
        if not found:
            yield from ("", self._say(empty))

    def _entry(self, number: int, entry: _Json) -> Iterator[str]:
        yield f"{number}. {self._say('entry', list=entry['list']['title'], authority=entry['authority'])}"
        yield from map(_indented, self._facts(entry))
        yield from self._lines("history", map(self._step, entry["history"]))
        for dispute in entry["disputes"]:
            yield from map(_indented, self._dispute(dispute))
        yield from self._lines("looks", map(self._look, entry["looks"]))

    def _facts(self, entry: _Json) -> Iterator[str]:
        for name in ("case_reference", "law", "purpose"):
            yield self._say(name, value=entry[name])
        standing = "in-force" if entry["binds"] else f"{entry['status']}, not binding"
        yield self._say("standing", standing=self._term("standing", standing, entry["status"]))
        yield self._say("from", at=self._time(entry["from"]))
        yield self._say("until", at=self._time(entry["until"]))
        yield self._say(f"ends by {entry['ends_by']}", at=self._time(entry["ends_at"]))
        if entry["amendment_pending"]:
            yield self._say("pending")
        objection = entry["objection"]
        if objection["until"]:
            yield self._say(
                "objection",
                where=objection["where"],
                list=entry["list"]["name"],
                case=entry["case_reference"],
                until=self._time(objection["until"]),
            )

    def _step(self, step: _Json) -> str:
        done = self._term("step", step["step"])
        if step["ground"]:
            done = self._say("ground", step=done, ground=self._term("ground", step["ground"]))
        return self._told(step, done)

    def _told(self, step: _Json, what: str) -> str:
        told = self._say("told", at=self._time(step["at"]), what=what, by=self._term("role", step["by"]))
        told += self._say("why", why=self._why(step)) if step["why"] else ""
        return told + (self._say("document", document=step["document"]) if step["document"] else "")

    def _why(self, step: _Json) -> str:
        """Say why: in the language where the registry has written it, and else as people wrote it."""
        written = _OF_DISPUTE.fullmatch(step["why"]) if step["by"] in ("subject", "clock") else None
        if written is None:
            return str(step["why"])
        return self._say("why not decided" if written[2] else "why disputed", case=written[1])

    def _dispute(self, dispute: _Json) -> Iterator[str]:
        ground = self._term("objection", dispute["ground"] or "")
        yield self._say("dispute", case=dispute["case_id"], at=self._time(dispute["opened_at"]), ground=ground)
        if dispute["state"] == "OPEN":
            yield _indented(self._say("decide by", at=self._time(dispute["decide_by"])))
            yield _indented(self._say("has reviewer" if dispute["has_reviewer"] else "no reviewer"))
        if dispute["source_told_at"]:
            yield _indented(self._say("source told", at=self._time(dispute["source_told_at"])))
        elif dispute["state"] == "OPEN":
            yield _indented(self._say("tell source by", at=self._time(dispute["tell_source_by"])))
        if dispute["extended"]:
            yield _indented(self._say("extended"))
        if dispute["stayed"]:
            yield _indented(self._say("stayed"))
        if dispute["closed_at"]:
            end = self._term("end", dispute["resolution"] or dispute["state"])
            yield _indented(self._say("closed", at=self._time(dispute["closed_at"]), end=end))
        for each in dispute["steps"]:
            yield _indented(f"- {self._told(each, self._term('case step', each['step']))}")
        for each in dispute["evidence"]:
            by = self._term("role", each["by"])
            yield _indented("- " + self._say("evidence", at=self._time(each["at"]), reference=each["reference"], by=by))

    def _decision(self, number: int, decision: _Json) -> Iterator[str]:
        told = self._say(
            "decision",
            at=self._time(decision["at"]),
            partner=decision["partner"]["title"],
            outcome=self._term("outcome", decision["outcome"]),
            action=decision["action"]["title"],
        )
        yield f"{number}. {told}"
        for phrase, flag in (("only a look", "only_a_look"), ("out of date", "list_out_of_date")):
            if decision[flag]:
                yield _indented(self._say(phrase))
        yield _indented(self._say("purpose", value=decision["purpose"]))
        if decision["redress_number_counted"]:
            yield _indented(self._say("number counted"))
        if decision["partner_reference"]:
            yield _indented(self._say("partner reference", value=decision["partner_reference"]))
        if decision["attributes"]:
            asked = self._say("and").join(
                f"{name} = {_plain(value)}" for name, value in sorted(decision["attributes"].items())
            )
            yield _indented(self._say("attributes", value=asked))
        yield from self._lines("reasons", map(self._reason, decision["reasons"]))
        yield from self._lines("looks", map(self._look, decision["looks"]))

    def _reason(self, reason: _Json) -> str:
        told = self._say(
            "reason",
            effect=self._term("effect", reason["effect"]),
            list=reason["list"]["title"],
            authority=reason["authority"],
            law=reason["law"],
        )
        told += self._say("reason case", case=reason["case_reference"]) if reason["case_reference"] else ""
        told += self._say("reason until", at=self._time(reason["until"])) if reason["until"] else ""
        told += self._say("trial") if reason["only_a_trial"] else ""
        return told + (self._say("weak") if reason["weak"] else "")

    def _look(self, look: _Json) -> str:
        by = self._term("role", look["by"]) if look["by"] == "subject" else look["by"]
        return self._say("look", at=self._time(look["at"]), by=by, purpose=self._term("look purpose", look["purpose"]))

    def _lines(self, title: str, lines: Iterator[str]) -> Iterator[str]:
        found = [f"   - {line}" for line in lines]
        if found:
            yield from (_indented(self._say(title)), *found)

    def _say(self, phrase: str, **values: str) -> str:
        return self._phrases[phrase].format(**{name: neutral(value) for name, value in values.items()})

    def _term(self, kind: str, *values: str) -> str:
        """Give the words of the first value that has some; the last one as it stands where none has."""
        known = (self._terms[kind][value] for value in values if value in self._terms[kind])
        return next(known, values[-1])

    def _time(self, instant: str | None) -> str:
        if instant is None:
            return "-"
        at = datetime.fromisoformat(instant).astimezone(UTC)
        return f"{_day(at.year, at.month, at.day, self._locale)} {at:%H:%M}"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _indented(line: str) -> str:
    return f"   {line}"


@lru_cache(maxsize=4096)
def _day(year: int, month: int, day: int, locale: str) -> str:
    from babel.dates import format_date  # noqa: PLC0415 - takes 0.1 s, which other commands need not wait for

    return format_date(datetime(year, month, day, tzinfo=UTC).date(), "long", locale=locale)
