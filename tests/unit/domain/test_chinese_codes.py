import calendar
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric
from stdnum.cn import uscc as library_uscc
from stdnum.exceptions import InvalidComponent, ValidationError
from stdnum.iso7064 import mod_11_2

from portcullis.domain.chinese_codes import (
    USCC_ALPHABET,
    is_resident_id,
    is_uscc,
    resident_id,
    resident_id_check,
    uscc,
    uscc_check,
)
from portcullis.domain.errors import InvalidIdentifier
from tests.support import people

REGIONS = st.sampled_from(["110101", "310101", "440103", "810000", "820000"]) | st.integers(0, 999_999).map("{:06}".format)
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31)).map(lambda day: f"{day.year:04}{day:%m%d}") | st.integers(
    0, 99_991_399
).map("{:08}".format)
BODIES = st.builds("{}{}{:03}".format, REGIONS, DAYS, st.integers(0, 999))
RIGHT = BODIES.map(lambda body: body + mod_11_2.calc_check_digit(body))
ANY_RESIDENT_ID = RIGHT | st.builds("{}{}".format, BODIES, st.sampled_from("0123456789X"))
ANY_USCC = st.builds(
    lambda head, tail: head + tail,
    st.text("0123456789", min_size=8, max_size=8) | st.text(USCC_ALPHABET, min_size=8, max_size=8),
    st.text(USCC_ALPHABET, min_size=10, max_size=10),
)


def accepts(canonical, value: str) -> bool:
    try:
        return value == canonical(value)
    except InvalidIdentifier:
        return False


def fault_of(canonical, value: str) -> str:
    with pytest.raises(InvalidIdentifier) as caught:
        canonical(value)
    return caught.value.description


@given(ANY_RESIDENT_ID)
def test_the_short_path_for_resident_ids_is_the_long_one(value):
    assert accepts(resident_id, value) == is_resident_id(value)


@given(ANY_RESIDENT_ID)
def test_a_resident_id_is_judged_as_the_library_does_but_for_region_and_century(value):
    try:
        ric.validate(value)
    except (InvalidComponent, KeyError):
        # The library gives one error for no such date and for a region unknown to its table, another for one half known.
        real = value[10:14] in {f"{month:02}{day:02}" for month in range(1, 13) for day in range(1, 32)} and (
            int(value[6:10]) >= 1 and int(value[12:14]) <= calendar.monthrange(int(value[6:10]), int(value[10:12]))[1]
        )
        assert real or not is_resident_id(value)
    except ValidationError:
        assert not is_resident_id(value)
    else:
        assert is_resident_id(value) == ("1800" <= value[6:10] <= "2199")


@given(st.text("0123456789", min_size=17, max_size=17))
def test_the_check_character_is_that_of_iso_7064(body):
    assert mod_11_2.calc_check_digit(body) == resident_id_check(body)


@given(st.integers(0, people.RESIDENT_IDS - 1), st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_is_always_found(number, place, offset):
    value = people.resident_id(number).value
    digit = "0123456789X".index(value[place])
    wrong = value[:place] + str((digit + offset) % 10) + value[place + 1 :]
    if wrong != value:
        assert not is_resident_id(wrong)


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("11010120920229001", True),
        ("11010121000229001", False),
        ("11010120910229001", False),
        ("11010120900431001", False),
        ("11010120901301001", False),
        ("11010122000101001", False),
        ("11010117991231001", False),
        ("83000020900101001", True),
        ("91184020900101001", True),
        ("99984020900101001", False),
        ("16010120900101001", False),
    ],
    ids=[
        "a leap day",
        "no leap year at the century",
        "no leap year",
        "no 31st of April",
        "no 13th month",
        "after 2199",
        "before 1800",
        "a resident of Taiwan",
        "a foreigner's residence card",
        "no province behind 9",
        "no such province",
    ],
)
def test_date_and_region_must_be_possible(body, counts):
    value = body + resident_id_check(body)
    assert (counts, counts) == (is_resident_id(value), accepts(resident_id, value))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("110101209001010012", "check digit"),
        ("110101900101001", "15 digits"),
        ("11010120900101001", "18 characters"),
        ("1101012090010100X1", "17 digits"),
        ("\N{SUPERSCRIPT TWO}1010120900101001A", "check digit"),
    ],
)
def test_a_bad_resident_id_is_told_what_is_wrong(value, words):
    assert words in fault_of(resident_id, value)


def test_a_small_x_is_the_check_character():
    value = next(each for each in (people.resident_id(n).value for n in range(1000)) if each.endswith("X"))
    assert value == resident_id(value.lower())


@given(ANY_USCC | st.integers(0, people.USCCS - 1).map(lambda number: people.uscc(number).value))
def test_the_short_path_for_credit_codes_is_the_long_one(value):
    assert accepts(uscc, value) == is_uscc(value)


@given(ANY_USCC)
def test_the_check_character_of_a_credit_code_is_the_library_s(value):
    assert library_uscc.calc_check_digit(value) == uscc_check(value[:17])


@given(ANY_USCC.map(lambda value: value[:17] + uscc_check(value[:17])) | ANY_USCC)
def test_a_credit_code_is_judged_as_the_library_does_but_for_lettered_authorities(value):
    assert (value[0] in "ANY" and is_uscc("9" + value[1:17] + uscc_check("9" + value[1:17])) and is_uscc(value)) or (
        library_uscc.is_valid(value) == is_uscc(value)
    )


@pytest.mark.parametrize("authority", ["A", "N", "Y"])
def test_armed_forces_rural_collectives_and_others_have_credit_codes(authority):
    body = f"{authority}1110000000000001"
    assert accepts(uscc, body + uscc_check(body))


def test_the_library_takes_the_unassigned_authority_of_made_up_organisations():
    value = people.uscc(123_456_789).value
    assert (True, "0") == (library_uscc.is_valid(value), value[0])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0111000000000000", "18 characters"),
        ("01110000MA000000I0", "without I, O"),
        ("B1110000MA00000000", "authority"),
        ("0A110000MA00000000", "seven digits"),
        ("01110000\N{SNOWMAN}A00000000", "without I, O"),
    ],
)
def test_a_bad_credit_code_is_told_what_is_wrong(value, words):
    assert words in fault_of(uscc, value)
    assert not is_uscc(value)


def test_a_wrong_check_character_of_a_credit_code_is_named():
    value = people.uscc(5).value
    wrong = value[:17] + ("0" if value[17] != "0" else "1")
    assert "check digit" in fault_of(uscc, wrong)
    assert not is_uscc(wrong)
