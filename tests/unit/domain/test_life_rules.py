"""The rules of a list's clocks, of what is kept and of its notices, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from portcullis.domain.errors import PolicyProblem
from portcullis.domain.life_rules import MAX_NOTICE_LENGTH, MAX_NOTICES
from portcullis.domain.policies import NoticeTemplate, Policy
from portcullis.domain.policy_rules import check_policy
from tests.support.policies import YEAR_S, a_list, policy
from tests.support.policy_checks import refusals

DAY_S = 86_400
TEXT = "{authority} {law} {objection}"


def of_list(**changes: Any) -> Policy:
    return policy(a_list("court", **changes))


def of_notices(*notices: tuple[str, str]) -> Policy:
    return of_list(notices=tuple(NoticeTemplate(locale, text) for locale, text in notices))


def only(checked: Policy) -> PolicyProblem:
    (problem,) = check_policy(checked)
    return problem


def test_a_list_that_states_none_of_it_is_sound():
    assert [] == check_policy(of_list())


def test_a_list_that_states_all_of_it_is_sound():
    stated = {
        "four_eyes": True,
        "lapse_s": 90 * DAY_S,
        "calendar": "CN",
        "source_told_days": 1,
        "decided_days": 1,
        "extension_days": 0,
        "stays_on_dispute": True,
        "settled_days": 3,
        "kept_after_end_s": DAY_S,
        "looks_kept_s": 30 * DAY_S,
        "decisions_kept_s": 30 * DAY_S,
        "notices": (NoticeTemplate("zh-CN", TEXT), NoticeTemplate("zh-Hant", TEXT), NoticeTemplate("en", TEXT)),
    }
    assert [] == check_policy(of_list(**stated))


@pytest.mark.parametrize("lapse", [1, DAY_S - 1, -DAY_S, 5 * YEAR_S + 1])
def test_a_lapse_is_a_day_at_least_and_no_longer_than_the_term(lapse: int):
    assert ["list[court].lapse"] == refusals(of_list(lapse_s=lapse))


@pytest.mark.parametrize("lapse", [0, DAY_S, 5 * YEAR_S])
def test_a_lapse_may_be_as_long_as_the_term(lapse: int):
    assert [] == refusals(of_list(lapse_s=lapse))


@pytest.mark.parametrize("calendar", ["XX", "cn", "CHN", "China", " "])
def test_a_calendar_is_one_whose_working_days_are_known(calendar: str):
    assert ["list[court].calendar"] == refusals(of_list(calendar=calendar))


@pytest.mark.parametrize("calendar", ["", "CN", "US", "DE"])
def test_a_calendar_is_the_code_of_a_country(calendar: str):
    assert [] == refusals(of_list(calendar=calendar))


@pytest.mark.parametrize(
    ("key", "fewest", "most"),
    [("source_told_days", 1, 5), ("decided_days", 1, 30), ("extension_days", 0, 15), ("settled_days", 0, 30)],
)
def test_no_clock_is_slower_than_the_rights_of_a_listed_person(key: str, fewest: int, most: int):
    problem = only(of_list(**{key: most + 1}))
    assert (f"list[court].{key}", f"write a whole number from {fewest} to {most}") == (problem.where, problem.instead)
    assert [f"list[court].{key}"] == refusals(of_list(**{key: fewest - 1}))
    assert [] == refusals(of_list(**{key: fewest})) + refusals(of_list(**{key: most}))


@pytest.mark.parametrize(("key", "least"), [("kept_after_end", 1), ("looks_kept", 30), ("decisions_kept", 30)])
def test_nothing_is_kept_for_too_short_a_time_or_for_ever(key: str, least: int):
    for seconds in (0, least * DAY_S - 1, 100 * YEAR_S + 1):
        assert [f"list[court].{key}"] == refusals(of_list(**{f"{key}_s": seconds}))
    assert [] == refusals(of_list(**{f"{key}_s": least * DAY_S}))


@pytest.mark.parametrize("locale", ["", "qq", "zh_CN", "english", "../en"])
def test_a_notice_is_in_a_language_that_can_be_written(locale: str):
    assert ["list[court].notice[0].locale"] == refusals(of_notices((locale, TEXT)))


def test_a_list_has_one_notice_for_each_language():
    checked = of_notices(("zh-CN", TEXT), ("en", TEXT), ("zh-Hans-CN", TEXT))
    assert ["list[court].notice[2].locale"] == refusals(checked)


def test_a_list_has_a_bounded_number_of_notices():
    known = "ar bg ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv nl pl pt ro ru sk sl sv th tr"
    notices = [(locale, TEXT) for locale in known.split()]
    assert MAX_NOTICES + 1 == len(notices)
    assert ["list[court].notice"] == refusals(of_notices(*notices))
    assert [] == refusals(of_notices(*notices[:-1]))


@pytest.mark.parametrize(
    "text", [" \n", f"{TEXT}\x1b[31m", f"{TEXT}\u202e", f"{TEXT}\u200b", TEXT + "x" * MAX_NOTICE_LENGTH]
)
def test_a_notice_is_plain_text_of_bounded_length(text: str):
    assert "list[court].notice[0].text" in refusals(of_notices(("en", text)))


def test_a_notice_may_have_lines_paragraphs_and_wide_blanks():
    assert [] == refusals(of_notices(("zh", f"一\u3000二\n\n{TEXT}\n三")))


def test_a_notice_tells_who_restricts_on_which_law_and_where_one_objects():
    problem = only(of_notices(("en", "{authority} {until}")))
    assert "list[court].notice[0].text" == problem.where
    assert "it does not tell law and objection: who is refused must learn of authority, law, objection" == problem.what
    assert "write {law} and {objection} into it" == problem.instead


def test_a_notice_has_no_placeholder_that_nothing_fills():
    problem = only(of_notices(("en", TEXT + " {nmae} {Until}")))
    assert "there is no '{nmae}' and no '{Until}' to fill in" == problem.what
    assert "case_reference" in problem.instead


def test_a_notice_of_a_file_is_placed_in_it():
    checked = policy(a_list("court", notices=(NoticeTemplate("en", TEXT), NoticeTemplate("??", TEXT))))
    assert ["lists/court.toml:notice[1].locale"] == [
        problem.where for problem in check_policy(checked, {"lists[0]": "lists/court.toml"})
    ]
