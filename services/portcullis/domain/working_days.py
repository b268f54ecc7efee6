"""Working days: when so many of them have gone by after a moment.

The rules:

1. The day of the moment itself does not count; the term is over on the last counted day, at the moment's time of day. So
   no term is ever longer than so many working days, and one of a moment on a day off begins with the next working day.
2. What a working day is, the calendar says: the ISO 3166 code of a country, by its weekend, its public holidays and the
   weekends that it works to make up for them, all from the package ``holidays``; "" is Monday to Friday without holidays.
3. Days begin at midnight of the calendar's zone: China's standard time (UTC+8, without daylight saving time) for CN, and
   UTC for every other calendar.

Example, by the calendar CN: in 2026 the Spring Festival is off from Sunday, 15 February to Monday, 23 February, and
Saturday, 14 February and Saturday, 28 February are worked instead. Three working days after Thursday, 26 February, 09:00
are over on Monday, 2 March, 09:00: Friday, the Saturday made up for, Monday.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

MAX_DAYS = 366
"""The most working days that a term has."""

_CHINA = timezone(timedelta(hours=8))
_ONE_DAY = timedelta(days=1)
_SATURDAY = 5
_CODE_LENGTH = 2


def is_calendar(code: str) -> bool:
    """Say whether there is a calendar of this code: "" or the ISO 3166 code of a country whose holidays are known."""
    return not code or _working_day_of(code) is not None


def add_working_days(moment_s: float, days: int, calendar: str) -> float:
    """Give when so many working days have gone by after a moment; both are Unix seconds.

    Args:
        moment_s: when the term begins.
        days: 0 to 366; 0 gives the moment itself.
        calendar: a code that `is_calendar` knows.

    Raises:
        ValueError: no such calendar, or another number of days.
    """
    if not 0 <= days <= MAX_DAYS:
        raise ValueError(f"days: must be 0 to {MAX_DAYS}")
    if days == 0:
        return moment_s
    first = datetime.fromtimestamp(moment_s, _zone(calendar)).date()
    # The zones have no daylight saving time, so a day has as many seconds as any other.
    return moment_s + _length(first, days, calendar).total_seconds()


@lru_cache(maxsize=256)
def _length(first: date, days: int, calendar: str) -> timedelta:
    """Give how long a term is; remembered, as those of a day are the same and a calendar takes a millisecond to make."""
    is_worked = _working_day_of(calendar) if calendar else _is_monday_to_friday
    if is_worked is None:
        raise ValueError("calendar: not the code of a country whose holidays are known; give one, or none")
    day = first
    while days:
        day += _ONE_DAY
        days -= is_worked(day)
    return day - first


def _zone(calendar: str) -> timezone:
    return _CHINA if calendar == "CN" else UTC


def _is_monday_to_friday(day: date) -> bool:
    return day.weekday() < _SATURDAY


def _working_day_of(code: str) -> Callable[[date], bool] | None:
    """Give what tells a country's working days; None where its holidays are not known.

    Made anew for each term: the package's calendars grow while they are asked, which threads must not do to each other.
    """
    if len(code) != _CODE_LENGTH:
        return None
    # Imported where it is used: it takes a third of a second, and nothing that answers checks must ever wait for it.
    from holidays import country_holidays  # noqa: PLC0415 - see above

    try:
        found = country_holidays(code)
    except NotImplementedError:
        return None
    # Some countries go by a second code too, and a subdivision's days are not its country's.
    return found.is_working_day if found.country == code else None
