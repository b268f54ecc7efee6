"""Reading TOML tables key by key, with a problem for each fault instead of a stop at the first.

Every reader takes the key, and gives a harmless stand-in when the key is missing or faulty and has no default. `close`
reports the keys that nobody asked for.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from portcullis.domain.errors import PolicyProblem

Choice = TypeVar("Choice", bound=StrEnum)

SECONDS = {"y": 365 * 86_400, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
"""The units of a duration, in seconds. A year has 365 days."""

_DURATION = re.compile(r"(\d{1,9})([ydhms])")


class Table:
    """One table of a file, at a place such as ``lists/ofac-sdn.toml:measure[loans]``."""

    def __init__(self, data: dict[str, Any], place: str, problems: list[PolicyProblem]) -> None:
        self.place = place
        self._data = data
        self._problems = problems
        self._asked: list[str] = []

    def fault(self, key: str, what: str, instead: str) -> None:
        """Report a problem of one key."""
        self._problems.append(PolicyProblem(self._at(key), what, instead))

    def faulty(self, key: str) -> bool:
        """Say whether a problem of this key was reported."""
        return any(problem.where == self._at(key) for problem in self._problems)

    def text(self, key: str, *, default: str | None = None, instead: str = "write a text in quotes") -> str:
        """Read a text."""
        value = self._take(key, str, required=default is None, instead=instead)
        return value if isinstance(value, str) else default or ""

    def flag(self, key: str) -> bool:
        """Read true or false; false by default."""
        return self._take(key, bool, required=False, instead="write true or false, without quotes") is True

    def whole(self, key: str, *, default: int, instead: str) -> int:
        """Read a whole number."""
        value = self._take(key, int, required=False, instead=instead)
        if isinstance(value, bool):
            self.fault(key, "it is true or false, and must be a whole number", instead)
            return default
        return value if isinstance(value, int) else default

    def texts(self, key: str, *, instead: str) -> tuple[str, ...]:
        """Read an array of texts."""
        value = self._take(key, list, required=True, instead=instead)
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            self.fault(key, "it must be an array of texts", instead)
            return ()
        return tuple(value) if isinstance(value, list) else ()

    def choice(self, key: str, choices: type[Choice], *, stand_in: Choice, why: str = "") -> Choice:
        """Read one of a few words, spelt exactly."""
        words = [each.value for each in choices]
        instead = f"write one of: {', '.join(words)}"
        value = self._take(key, str, required=True, instead=instead, why=why)
        if not isinstance(value, str):
            return stand_in
        if value not in words:
            self.fault(key, f"{value!r} is none of its words", instead)
            return stand_in
        return choices(value)

    def choices(self, key: str, choices: type[Choice]) -> tuple[Choice, ...]:
        """Read an array of a few words, spelt exactly; all of them where it is not there."""
        words = [each.value for each in choices]
        instead = f"write an array of: {', '.join(words)}"
        value = self._take(key, list, required=False, instead=instead)
        if value is None:
            return tuple(choices)
        if not isinstance(value, list) or not all(each in words for each in value) or len(set(value)) < len(value):
            self.fault(key, "it must be an array of these words, each once", instead)
            return ()
        return tuple(choices(each) for each in value)

    def duration_s(self, key: str, *, stand_in: int, default: int | None = None) -> int:
        """Read a duration such as "2y", "90d", "24h", "15m" or "30s", in seconds; it must be there if it has no default."""
        instead = "write a whole number and a unit in quotes, as '2y', '90d', '24h', '15m' or '30s'"
        value = self._take(key, str, required=default is None, instead=instead)
        if not isinstance(value, str):
            return stand_in if default is None else default
        found = _DURATION.fullmatch(value)
        if not found:
            self.fault(key, "this is no duration", instead)
            return stand_in
        return int(found[1]) * SECONDS[found[2]]

    def moment(self, key: str, *, required: bool, stand_in: int) -> int | None:
        """Read a date (UTC midnight) or a date and time with offset, as Unix seconds; None when it is not there."""
        instead = "write a date without quotes, as 2026-01-01, or with time and offset, as 2026-01-01T08:00:00Z"
        value = self._take(key, date, required=required, instead=instead)
        if not isinstance(value, date):
            return stand_in if required or key in self._data else None
        if not isinstance(value, datetime):
            value = datetime.combine(value, time(), UTC)
        if value.tzinfo is None:
            self.fault(key, "a time without its offset can't be placed", instead)
            return stand_in
        return int(value.timestamp())

    def anything(self, key: str) -> Any:
        """Read a value of any type; None when it is not there."""
        self._asked.append(key)
        return self._data.get(key)

    def table(self, key: str, *, instead: str, required: bool = True) -> Table | None:
        """Read a table, which must be there unless told otherwise."""
        value = self._take(key, dict, required=required, instead=instead)
        return Table(value, self._at(key), self._problems) if isinstance(value, dict) else None

    def tables(self, key: str, *, named: bool = True) -> list[Table]:
        """Read an array of tables; their places carry their names, or their numbers."""
        instead = f"write [[{key}]] tables"
        value = self._take(key, list, required=False, instead=instead)
        rows = value if isinstance(value, list) else []
        if not all(isinstance(row, dict) for row in rows):
            self.fault(key, "it must be an array of tables", instead)
            return []
        return [Table(row, f"{self._at(key)}[{_label(row, n, named=named)}]", self._problems) for n, row in enumerate(rows)]

    def close(self) -> None:
        """Report each key that nobody asked for, with the nearest known one."""
        for key in self._data:
            if key not in self._asked:
                near = get_close_matches(key, self._asked, n=1)
                instead = f"write {near[0]!r} if that is meant" if near else f"known keys: {', '.join(self._asked)}"
                self.fault(key, f"there is no key {key!r}", instead)

    def _take(self, key: str, wanted: type, *, required: bool, instead: str, why: str = "") -> object:
        """Give the value when it is there and of its type, else None, with a problem where one is due."""
        self._asked.append(key)
        value = self._data.get(key)
        if value is None:
            if required:
                self.fault(key, f"{key!r} is missing" + (why and f"; {why}"), instead)
            return None
        if not isinstance(value, wanted):
            self.fault(key, f"it is {_kind(value)}, and must be {_KINDS[wanted]}", instead)
            return None
        return value

    def _at(self, key: str) -> str:
        return f"{self.place}{key}" if self.place.endswith(":") else f"{self.place}.{key}"


_KINDS: dict[type, str] = {
    bool: "true or false",
    str: "a text",
    int: "a whole number",
    float: "a number",
    datetime: "a date and time",
    date: "a date",
    time: "a time",
    list: "an array",
    dict: "a table",
}


def _kind(value: object) -> str:
    return next(name for kind, name in _KINDS.items() if isinstance(value, kind))


def _label(row: dict[str, Any], number: int, *, named: bool) -> str:
    name = row.get("name") if named else None
    return name if isinstance(name, str) and name else str(number)
