import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.phone_numbers import is_phone_number, phone_number, read_plans

CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
# Digits that national prefixes and carrier codes are made of come first, so that they are tried often.
NUMBERS = st.builds("+{}{}".format, st.sampled_from(CODES), st.text("0189234567", min_size=1, max_size=16))
EXAMPLES = [
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]


def as_library_writes(value: str) -> str | None:
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalised(value: str) -> str | None:
    try:
        return phone_number(value)
    except InvalidIdentifier:
        return None


@settings(max_examples=1500)
@given(NUMBERS | st.text("+0123456789", max_size=20))
@example("+5491100000000")
@example("+541115000000000")
@example("+390600000000")
@example("+8610000000000")
@example("+86112008610000000000")
@example("+3780549000000")
@example("+378900000")
@example("+800000000000")
@example("+12530000")
@example("+0012025550100")
def test_the_short_path_takes_only_what_the_library_leaves_as_it_is(value):
    if is_phone_number(value):
        assert value == as_library_writes(value)


@settings(max_examples=1500)
@given(NUMBERS)
def test_what_the_library_refuses_is_refused(value):
    written = as_library_writes(value)
    if written is None:
        assert (False, None) == (is_phone_number(value), normalised(value))


@settings(max_examples=1500)
@given(NUMBERS)
def test_a_number_in_form_is_its_own_form(value):
    written = normalised(value)
    if written is not None:
        assert (written, written) == (normalised(written), as_library_writes(written))


def test_every_country_s_example_numbers_take_the_short_path():
    assert [] == [value for value in EXAMPLES if not is_phone_number(value)]


def test_no_pattern_of_the_library_looks_at_what_stands_before_the_national_number():
    # The short path matches in the middle of the text: an anchor or a look behind would see the calling code.
    assert len(CODES) == len(list(read_plans()))
    patterns = [
        metadata.national_prefix_for_parsing or ""
        for code in CODES
        if (
            metadata := phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(
                code, phonenumbers.region_code_for_country_code(code)
            )
        )
    ]
    assert [] == [each for each in patterns if "^" in each or "(?<" in each or "\\b" in each or "\\A" in each]


@pytest.mark.parametrize(
    "written",
    [
        "+447700900123",
        "00447700900123",
        "+44 7700 900123",
        "+44 (0)7700 900-123",
        "+44.7700.900123",
        " +44\N{NO-BREAK SPACE}7700/900123 ",
        "\N{FULLWIDTH PLUS SIGN}44\N{EN DASH}7700\N{EN DASH}900123",
        "+\N{ARABIC-INDIC DIGIT FOUR}47700900123",
    ],
)
def test_ways_of_writing_one_number_are_one_number(written):
    assert "+447700900123" == phone_number(written)


@pytest.mark.parametrize("value", [f"+447700900{n:03}" for n in (0, 123, 999)] + [f"+1202555{n:04}" for n in (100, 199)])
def test_the_numbers_kept_free_for_drama_are_accepted(value):
    assert (True, value) == (is_phone_number(value), phone_number(value))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("07700900123", "with +"),
        ("447700900123", "with +"),
        ("+44 7700 900123 ext. 5", "with +"),
        ("+1 800 FLOWERS", "with +"),
        ("tel:+447700900123", "with +"),
        ("++447700900123", "with +"),
        ("+", "with +"),
        ("+44", "with +"),
        ("+999123456789", "calling code"),
        ("+0447700900123", "calling code"),
        ("+1202555", "this many digits"),
        ("+12025550", "this many digits"),
        ("+1202555010012345", "this many digits"),
        ("+" + "1" * 40, "calling code"),
    ],
)
def test_what_is_no_international_number_is_refused(value, words):
    with pytest.raises(InvalidIdentifier) as caught:
        phone_number(value)
    assert words in caught.value.description
    assert not is_phone_number(value)
