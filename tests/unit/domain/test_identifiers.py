import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portcullis.domain.identifiers import KINDS, Identifier, InvalidIdentifier, canonical_country, normalise
from tests.support import people

COUNTRY_KINDS = ("passport", "national-id", "tax-id", "registration-id")
MADE_UP = st.one_of(
    st.integers(0, people.RESIDENT_IDS - 1).map(people.resident_id),
    st.integers(0, people.USCCS - 1).map(people.uscc),
    st.integers(0, people.IMO_NUMBERS - 1).map(people.imo),
    st.integers(0, people.PHONES - 1).map(people.phone),
    st.builds(people.document, st.sampled_from(COUNTRY_KINDS), st.integers(0, people.DOCUMENTS - 1)),
)
SEPARATORS = st.text(" -./\N{NO-BREAK SPACE}\N{EN DASH}", max_size=2)


def refusal(kind: str, value: str, country: str = "") -> InvalidIdentifier:
    with pytest.raises(InvalidIdentifier) as caught:
        normalise(kind, value, country)
    return caught.value


def full_width(text: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) for each in text)


def test_every_kind_s_name_fits_the_personalisation_of_a_token():
    assert [] == [name for name in KINDS if not 1 <= len(name.encode()) <= 16]


def test_the_kinds_with_a_country_are_the_documents():
    assert set(COUNTRY_KINDS) == {kind.name for kind in KINDS.values() if kind.has_country}


@given(MADE_UP)
def test_a_canonical_identifier_stays_as_it_is(identifier):
    assert identifier == normalise(identifier.kind, identifier.value, identifier.country)


@given(MADE_UP)
def test_the_short_path_takes_every_made_up_identifier(identifier):
    assert KINDS[identifier.kind].is_canonical(identifier.value)


@given(MADE_UP, st.data())
def test_separators_do_not_count(identifier, data):
    head, rest = identifier.value[:2], identifier.value[2:]
    spelled = head + "".join(data.draw(SEPARATORS) + each for each in rest)
    assume(len(spelled) <= 64)
    assert identifier == normalise(identifier.kind, f"  {spelled} ", identifier.country)


@given(MADE_UP)
def test_full_width_characters_are_the_ordinary_ones(identifier):
    assert identifier == normalise(identifier.kind, full_width(identifier.value), full_width(identifier.country))


@given(MADE_UP)
def test_small_letters_are_capitals(identifier):
    assert identifier == normalise(identifier.kind, identifier.value.lower(), identifier.country.lower())


@given(st.sampled_from(sorted(KINDS)), st.text(max_size=24) | st.text("0123456789X+ -", max_size=24))
def test_the_short_path_and_the_long_one_agree_on_any_text(kind, value):
    known = KINDS[kind]
    try:
        written = known.canonical(value)
    except InvalidIdentifier:
        assert not known.is_canonical(value)
    else:
        assert written == known.canonical(written)
        assert written == value or not known.is_canonical(value)


@given(st.sampled_from(sorted(KINDS)), st.text(min_size=3, max_size=70), st.text(max_size=5))
def test_no_refusal_and_no_repr_ever_holds_the_value(kind, value, country):
    value = f"{value}\N{SNOWMAN}7391"
    fault = refusal(kind, value, country)
    assert "7391" not in f"{fault} {fault!r} {fault.args} {fault.violations}"
    assert fault.__context__ is None or fault.__suppress_context__


def test_the_repr_of_an_identifier_hides_its_value():
    passport = people.passport(7)
    assert passport.value not in repr(passport)
    assert passport.value not in str(passport.__rich_repr__())


def test_a_refusal_names_one_field_and_carries_it_as_violation():
    fault = refusal("phone", "12")
    assert ("value", fault.description) == (fault.field, fault.violations[0].description)
    assert ["value"] == [violation.field for violation in fault.violations]


def test_an_unknown_kind_is_refused_with_the_kinds_that_are_known():
    fault = refusal("drivers-licence", "12345")
    assert "kind" == fault.field
    assert all(name in fault.description for name in KINDS)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(COUNTRY_KINDS)))
def test_a_kind_without_country_refuses_one(kind):
    assert "country" == refusal(kind, "1", "XA").field


@pytest.mark.parametrize("country", ["UK", "FRA", "ZZ", "X1", "F", "France", "F\x00", "*", "?"])
def test_a_country_must_be_an_alpha_2_code(country):
    assert "country" == refusal("passport", "P1234567", country).field


def test_a_country_may_be_left_out():
    assert Identifier("passport", "P1234567", "") == normalise("passport", "P1234567")


def test_a_country_s_code_is_brought_into_form():
    assert ["", "CU", "CU"] == [canonical_country(each) for each in ("", "CU", " cu ")]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "value", ["", "   ", "1" * 65, "12\x0034567", "12\n34567", "12\N{ZERO WIDTH SPACE}34567", "12\ud80034567"]
)
def test_nothing_too_much_and_invisible_characters_are_refused(kind, value):
    assert "value" == refusal(kind, value).field


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("a 12.345/67-8", "A12345678"),
        ("A123456(7)", "A1234567"),
        ("51 65\N{NO-BREAK SPACE}4321", "51654321"),
        (
            "\N{CYRILLIC SMALL LETTER A}\N{CYRILLIC SMALL LETTER BE} 123456",
            "\N{CYRILLIC CAPITAL LETTER A}\N{CYRILLIC CAPITAL LETTER BE}123456",
        ),
        ("\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}\N{ARABIC-INDIC DIGIT THREE}", "123"),
        ("123", "123"),
        ("1" * 32, "1" * 32),
    ],
)
@pytest.mark.parametrize("kind", COUNTRY_KINDS)
def test_document_numbers_have_one_form(kind, written, canonical):
    assert Identifier(kind, canonical, "XA") == normalise(kind, written, "XA")


@pytest.mark.parametrize(
    "value", ["12", "1" * 33, "UNKNOWN", "A12345#", "A12345,", "A1_2345", "ISIN: 123", "A\N{COMBINING ACUTE ACCENT}+12"]
)
def test_what_is_no_document_number_is_refused(value):
    assert "value" == refusal("passport", value, "XA").field


def test_a_national_check_is_not_enforced_on_documents():
    assert "ABCD010101HDFXXX99" == normalise("national-id", "ABCD010101HDFXXX99", "MX").value


def test_cyrillic_and_latin_letters_that_look_alike_stay_different():
    assert normalise("passport", "\N{CYRILLIC CAPITAL LETTER A}123456") != normalise("passport", "A123456")


@pytest.mark.parametrize("written", ["0123450", "IMO 0123450", "imo0123450", "IMO-0123450", " 012 3450 "])
def test_an_imo_number_may_have_its_prefix(written):
    assert "0123450" == normalise("imo", written).value


@pytest.mark.parametrize(
    "value", ["0123451", "123450", "01234500", "IMO", "MMSI 0123450", "012345A", "\N{SUPERSCRIPT TWO}12345A"]
)
def test_what_is_no_imo_number_is_refused(value):
    assert "value" == refusal("imo", value).field


@given(st.integers(0, 9_999_999).map("{:07}".format))
def test_the_short_path_for_imo_numbers_is_the_library_s_check(value):
    from stdnum import imo

    assert imo.is_valid(value) == KINDS["imo"].is_canonical(value)


def test_canonical_documents_need_no_library():
    script = (
        "import sys; from portcullis.domain.identifiers import normalise\n"
        "normalise('passport', 'P1234567', 'XA')\n"
        "normalise('cn.resident-id', '110101209001010011')\n"
        "normalise('imo', '0123450')\n"
        "print(sorted({'phonenumbers', 'stdnum'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd(), timeout=60
    )
    assert "[]" == done.stdout.strip()
