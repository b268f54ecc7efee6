"""Notices: the golden texts in English and Chinese, which language speaks, and that no value disturbs its surroundings."""

from __future__ import annotations

import subprocess
import sys
import time
from html import escape
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.life_rules import check_life
from portcullis.domain.notice_texts import BUILT_IN, OUT_OF_DATE
from portcullis.domain.notices import (
    NEEDED,
    PLACEHOLDERS,
    Notice,
    Refused,
    is_known_locale,
    is_locale_tag,
    missing_placeholders,
    negotiate,
    neutral,
    unknown_placeholders,
    write_notice,
)
from portcullis.domain.policies import NoticeTemplate
from portcullis.registry.policy_files import load_policy
from tests.support.policies import a_list

GOLDEN = Path(__file__).with_name("golden")
DEMONSTRATION = load_policy(Path(str(resources.files("portcullis.demo") / "policy")))
COURT = DEMONSTRATION.list_named("court-judgment-defaulters")
CARRIERS = DEMONSTRATION.list_named("carrier-misconduct")
EXCLUDED = DEMONSTRATION.list_named("self-exclusion")
UNTIL = 1_924_992_000
"""2031-01-01T00:00:00Z."""
PLAIN = "{authority}|{law}|{objection}|{list}|{case_reference}|{until}|{objection_until}|{action}"


def refused(**changes: object) -> Refused:
    values = {
        "authority": "Demonstration Enforcement Court",
        "list": "Judgment defaulters",
        "law": "Demonstration Rules on Restricting High Consumption, article 3",
        "objection": "https://court.demonstration.example/objections?a=1&b=2",
        "action": "Buy a train ticket",
        "case_reference": "(2090) Demo <1>",
        "until": UNTIL,
    }
    return Refused(**(values | changes))  # type: ignore[arg-type]


def own(*locales: str) -> tuple[NoticeTemplate, ...]:
    return tuple(NoticeTemplate(each, PLAIN) for each in locales)


STALE = refused(case_reference="", until=None)


@pytest.mark.parametrize("locale", ["en", "zh-CN"])
@pytest.mark.parametrize(
    ("name", "told", "templates"),
    [
        ("own", refused(), COURT.notices),
        ("self-exclusion", refused(list=EXCLUDED.title, action="Pay in"), EXCLUDED.notices),
        (
            "carriers",
            refused(list=CARRIERS.title, authority=CARRIERS.authority, action="Buy a plane ticket"),
            CARRIERS.notices,
        ),
        ("built-in", refused(list=CARRIERS.title, authority=CARRIERS.authority), ()),
        ("out-of-date", STALE, COURT.notices),
    ],
)
def test_a_notice_reads_as_its_golden_file(name: str, told: Refused, templates: tuple[NoticeTemplate, ...], locale: str):
    """Read the file through when it changes: a person who was refused something reads no more than this."""
    notice = write_notice(told, templates, locale)
    golden = GOLDEN / f"notice-{name}-{locale}.txt"
    assert golden.read_text(encoding="utf-8") == f"{notice.text}\n\n--- {notice.locale}\n\n{notice.html}\n"


@pytest.mark.parametrize("template", [*BUILT_IN, *OUT_OF_DATE], ids=lambda each: each.locale)
def test_portcullis_s_own_templates_keep_the_rules_of_every_list_s(template: NoticeTemplate):
    assert [] == [str(problem) for problem in check_life(a_list("court", notices=(template,)), 0, {})]


@pytest.mark.parametrize("template", BUILT_IN, ids=lambda each: each.locale)
def test_portcullis_s_own_notices_tell_everything(template: NoticeTemplate):
    assert set(PLACEHOLDERS) == {name for name in PLACEHOLDERS if f"{{{name}}}" in template.text}


@pytest.mark.parametrize(
    ("wanted", "locales", "spoken"),
    [
        ("", (), "en"),
        ("en", (), "en"),
        ("en-GB", (), "en"),
        ("zh", (), "zh"),
        ("zh-CN", (), "zh"),
        ("zh-TW", (), "zh"),
        ("ZH-cn", (), "zh"),
        ("cmn", (), "zh"),
        ("de", (), "en"),
        ("qq", (), "en"),
        ("", ("zh-CN", "fr"), "zh-CN"),
        ("de", ("zh-CN", "fr"), "zh-CN"),
        ("fr-CA", ("zh-CN", "fr"), "fr"),
        ("zh-TW", ("zh-CN", "fr"), "zh-CN"),
        ("en", ("zh-CN", "fr"), "en"),
        ("zh", ("fr",), "zh"),
        ("zh-TW", ("zh", "zh-Hant"), "zh-Hant"),
        ("zh-HK", ("zh-CN", "zh-TW"), "zh-TW"),
        ("zh-SG", ("zh-TW", "zh-CN"), "zh-CN"),
        ("en-GB", ("en-US", "en"), "en"),
        ("en-US", ("en", "en-US"), "en-US"),
        ("sr-RS", ("sr-Latn", "sr"), "sr"),
        ("fr", ("no language at all", "fr"), "fr"),
        ("", ("no language at all",), "en"),
    ],
)
def test_the_nearest_language_speaks_and_else_the_first(wanted: str, locales: tuple[str, ...], spoken: str):
    assert spoken == write_notice(refused(), own(*locales), wanted).locale


@pytest.mark.parametrize(
    ("wanted", "locales", "spoken"),
    [("", (), "en"), ("zh", (), "zh"), ("", ("zh-CN",), "zh"), ("", ("fr",), "en"), ("en", ("zh-CN",), "en")],
)
def test_without_an_entry_no_list_s_own_words_are_used_but_its_language_is(
    wanted: str, locales: tuple[str, ...], spoken: str
):
    notice = write_notice(STALE, own(*locales), wanted)
    assert spoken == notice.locale
    assert "|" not in notice.text


@given(st.text(max_size=40), st.lists(st.sampled_from(["en", "zh-CN", "zh-Hant", "fr", "??", ""]), min_size=1, max_size=4))
def test_whatever_is_wanted_one_that_is_there_is_given(wanted: str, available: list[str]):
    assert negotiate(wanted, available) in available


@pytest.mark.parametrize(
    ("locale", "day"),
    [("en", "January 1, 2031"), ("zh-CN", "2031年1月1日"), ("de", "1. Januar 2031"), ("fr", "1 janvier 2031")],
)
def test_dates_are_written_as_the_language_writes_them(locale: str, day: str):
    assert [day, day] == write_notice(refused(), own(locale), locale).text.split("|")[5:7]


def test_a_day_is_the_one_in_utc():
    days = [write_notice(refused(until=UNTIL + second), own("en"), "en").text.split("|")[5] for second in (-1, 0, 86_399)]
    assert ["December 31, 2030", "January 1, 2031", "January 1, 2031"] == days


def test_a_language_written_from_the_right_says_so_in_html():
    assert '<p lang="ar" dir="rtl">' in write_notice(refused(), own("ar"), "ar").html


def test_paragraphs_and_lines_are_kept():
    template = NoticeTemplate("en", "one\r\ntwo {law}\n \n\n three & <b>{objection}</b> {authority} ")
    notice = write_notice(refused(authority="A", law="B", objection="C"), (template,), "en")
    assert (
        Notice(
            "en",
            "one\ntwo B\n\nthree & <b>C</b> A",
            '<p lang="en">one<br>\ntwo B</p>\n<p lang="en">three &amp; &lt;b&gt;C&lt;/b&gt; A</p>',
        )
        == notice
    )


values = st.text(max_size=30) | st.sampled_from(
    ["{until}", "{authority}", "<script>alert(1)</script>", "a\nb", "a\u202eb", "\u2066x", "\x1b[31m", "{", "&amp;", "'\""]
)


@given(st.fixed_dictionaries(dict.fromkeys(("authority", "list", "law", "objection", "action", "case_reference"), values)))
def test_a_value_is_never_taken_for_a_placeholder_or_markup_and_never_breaks_its_line(given_values: dict[str, str]):
    notice = write_notice(refused(**given_values), own("en"), "en")
    order = ("authority", "law", "objection", "list", "case_reference")
    expected = "|".join(neutral(given_values[name]) for name in order)
    tail = f"January 1, 2031|January 1, 2031|{neutral(given_values['action'])}"
    assert f"{expected}|{tail}" == notice.text
    assert f'<p lang="en">{escape(f"{expected}|{tail}")}</p>' == notice.html
    assert neutral(notice.text) == notice.text


def test_what_turns_the_direction_or_is_not_seen_is_left_out_and_control_characters_become_blanks():
    assert "ab c d\u3000e" == neutral("a\u202eb\nc\x00d\u3000\u200be")


def test_a_placeholder_that_is_none_stays_as_it_is_where_no_rule_was_asked():
    """A list whose key others hold must not be able to break an answer."""
    template = NoticeTemplate("en", "{authority.__class__} {0} {} {nobody} {law}")
    assert "{authority.__class__} {0} {} {nobody} L" == write_notice(refused(law="L"), (template,), "en").text


@pytest.mark.parametrize(
    ("text", "unknown", "missing"),
    [
        (PLAIN, (), ()),
        ("{authority} {law}", (), ("objection",)),
        ("{authority} {law} {objection} {Law} {} {a b}", ("{Law}", "{}", "{a b}"), ()),
        ("{authority} {law} {objection} } {", ("}", "{"), ()),
        ("{{law}}", ("{}",), ("authority", "objection")),
        ("", (), NEEDED),
    ],
)
def test_placeholders_of_a_template_are_told(text: str, unknown: tuple[str, ...], missing: tuple[str, ...]):
    assert (unknown, missing) == (unknown_placeholders(text), missing_placeholders(text))


@pytest.mark.parametrize("tag", ["zh", "zh-CN", "sr-Latn-RS", "en-GB", "qq", "zh-Hant-TW-x-private"])
def test_a_language_as_bcp_47_writes_it_may_be_asked_for(tag: str):
    assert is_locale_tag(tag)


@pytest.mark.parametrize(
    "tag", ["", "zh_CN", "z", "zh-", "zh CN", "../../x", "zh-\n", "zh\n", "a" * 9, "zh" + "-abcdefgh" * 4]
)
def test_what_is_not_written_like_a_language_may_not(tag: str):
    assert not is_locale_tag(tag)


def test_notices_can_be_written_in_languages_that_babel_knows_only():
    assert [True, True, False, False] == [is_known_locale(tag) for tag in ("zh-Hans", "pt-BR", "qq", "zh_CN")]


def test_babel_is_not_loaded_before_the_first_notice():
    program = (
        "import sys\n"
        "import portcullis.gateway.desk\n"
        "from portcullis.domain import notices\n"
        "assert 'babel' not in sys.modules\n"
        "notices.prepare()\n"
        "assert 'babel.dates' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_notice_costs_no_more_than_a_small_part_of_a_refusal():
    """The bound is generous, for a busy machine: some 15 microseconds are usual."""
    write_notice(refused(), COURT.notices, "zh-CN")
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        for day in range(100):
            write_notice(refused(until=UNTIL + day % 7 * 86_400), COURT.notices, "zh-CN")
        best = min(best, (time.perf_counter() - started) / 100)
    assert best < 200e-6
