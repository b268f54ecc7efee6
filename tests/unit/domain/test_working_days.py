"""Terms in working days, around holidays whose dates are published."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.working_days import MAX_DAYS, add_working_days, is_calendar

CHINA = timezone(timedelta(hours=8))
MOMENTS = st.integers(1_700_000_000, 1_800_000_000)
DAY_S = 86_400


def at(text: str, zone: timezone = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("begins", "days", "ends"),
    [
        # The State Council's arrangement of 2025: off from 1 to 8 October; 28 September and 11 October are worked.
        ("2025-09-26T10:00", 1, "2025-09-28T10:00"),
        ("2025-09-26T10:00", 3, "2025-09-30T10:00"),
        ("2025-09-29T10:00", 3, "2025-10-10T10:00"),
        ("2025-10-03T23:30", 1, "2025-10-09T23:30"),
        ("2025-10-09T10:00", 3, "2025-10-13T10:00"),
        # Of 2024: off from 1 to 7 October; 29 September and 12 October are worked.
        ("2024-09-30T10:00", 5, "2024-10-12T10:00"),
        # Of 2026: the Spring Festival off from 15 to 23 February; 14 and 28 February are worked.
        ("2026-02-13T10:00", 2, "2026-02-24T10:00"),
        ("2026-02-26T09:00", 3, "2026-03-02T09:00"),
    ],
)
def test_chinese_terms_count_the_weekends_made_up_for_and_leave_the_holidays_out(begins: str, days: int, ends: str) -> None:
    assert at(ends, CHINA) == add_working_days(at(begins, CHINA), days, "CN")


def test_a_chinese_day_begins_at_midnight_in_china() -> None:
    # Friday, 23:00 in London is Saturday, 07:00 in Beijing: the first working day after it is Monday, not the Saturday.
    assert at("2026-11-02T07:00", CHINA) == add_working_days(at("2026-10-30T23:00"), 1, "CN")
    # Sunday, 17:00 in London is Monday, 01:00 in Beijing, and that day itself does not count.
    assert at("2026-11-03T01:00", CHINA) == add_working_days(at("2026-11-01T17:00"), 1, "CN")


@pytest.mark.parametrize(
    ("begins", "days", "ends"),
    [
        ("2026-11-23T12:00", 5, "2026-11-30T12:00"),
        ("2026-11-20T12:00", 1, "2026-11-23T12:00"),
        ("2026-11-21T12:00", 1, "2026-11-23T12:00"),
        ("2026-12-24T12:00", 1, "2026-12-25T12:00"),
    ],
)
def test_without_a_calendar_monday_to_friday_are_worked(begins: str, days: int, ends: str) -> None:
    assert at(ends) == add_working_days(at(begins), days, "")


def test_another_country_has_its_own_weekend_and_holidays() -> None:
    # Christmas and the day after it, and the Monday in the place of the latter, which is a Saturday in 2026.
    assert at("2026-12-29T12:00") == add_working_days(at("2026-12-24T12:00"), 1, "GB")
    # Friday and Saturday are the weekend in Jordan.
    assert at("2026-11-22T12:00") == add_working_days(at("2026-11-19T12:00"), 1, "JO")


@pytest.mark.parametrize("code", ["", "CN", "GB", "US", "DE"])
def test_a_calendar_is_none_or_a_country_of_known_holidays(code: str) -> None:
    assert is_calendar(code)


@pytest.mark.parametrize("code", ["XA", "cn", "CHN", "China", "UK", "C", "CN-BJ", "../"])
def test_what_is_no_country_is_no_calendar(code: str) -> None:
    assert not is_calendar(code)
    with pytest.raises(ValueError, match="calendar"):
        add_working_days(0, 1, code)


@pytest.mark.parametrize("days", [-1, MAX_DAYS + 1])
def test_a_term_has_a_number_of_days_that_can_be(days: int) -> None:
    with pytest.raises(ValueError, match="days"):
        add_working_days(0, days, "")


@given(moment=MOMENTS, days=st.integers(1, 30))
def test_a_term_ends_later_the_more_days_it_has_at_the_same_time_of_day(moment: int, days: int) -> None:
    one_less, end = (add_working_days(moment, each, "CN") for each in (days - 1, days))
    assert one_less < end
    assert 0 == (end - moment) % DAY_S


def test_no_working_day_is_no_time() -> None:
    assert 1_750_000_000.5 == add_working_days(1_750_000_000.5, 0, "CN")


def test_the_package_of_holidays_is_loaded_when_a_calendar_is_asked_and_not_before() -> None:
    code = (
        "import sys; from portcullis.domain import dispute_rules, policy_rules, plans, working_days as days;"
        "days.add_working_days(0, 3, ''); days.is_calendar('');"
        "sys.exit('holidays' in sys.modules)"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
