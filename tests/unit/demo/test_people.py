import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import imo as library_imo
from stdnum.cn import ric
from stdnum.cn import uscc as library_uscc

from portcullis.demo import people
from portcullis.domain.identifiers import normalise

MAKERS = {
    people.resident_id: people.RESIDENT_IDS,
    people.uscc: people.USCCS,
    people.imo: people.IMO_NUMBERS,
    people.phone: people.PHONES,
    people.passport: people.DOCUMENTS,
}


@pytest.mark.parametrize("maker", MAKERS)
@given(data=st.data())
def test_every_made_up_identifier_is_normalised_and_its_number_s_own(maker, data):
    first, second = data.draw(st.lists(st.integers(0, MAKERS[maker] - 1), min_size=2, max_size=2, unique=True))
    identifier = maker(first)
    assert identifier == normalise(identifier.kind, identifier.value, identifier.country)
    assert identifier == maker(first)
    assert identifier != maker(second)


@given(st.integers(0, people.RESIDENT_IDS - 1))
def test_made_up_residents_are_born_from_2090_on_and_pass_the_library(number):
    value = people.resident_id(number).value
    assert value == ric.validate(value)
    assert ric.get_birth_date(value).year >= 2090


@given(st.integers(0, people.DOCUMENTS - 1), st.sampled_from(["passport", "national-id", "tax-id", "registration-id"]))
def test_made_up_documents_are_of_countries_that_are_none(number, kind):
    country = people.document(kind, number).country
    assert ("X", True) == (country[0], country != "XK")


@given(st.integers(0, people.USCCS - 1))
def test_made_up_organisations_have_an_authority_that_nobody_was_given(number):
    value = people.uscc(number).value
    assert ("0", value) == (value[0], library_uscc.validate(value))


@given(st.integers(0, people.IMO_NUMBERS - 1))
def test_made_up_ships_have_numbers_below_every_ship_s(number):
    value = people.imo(number).value
    assert ("0", value) == (value[0], library_imo.validate(value))


def test_made_up_phones_are_the_drama_ranges_and_no_others():
    expected = {f"+447700900{n:03}" for n in range(1000)} | {f"+1202555{n:04}" for n in range(100, 200)}
    assert expected == {people.phone(n).value for n in range(people.PHONES)}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_number_beyond_the_capacity_is_refused(maker):
    for number in (-1, MAKERS[maker]):
        with pytest.raises(ValueError, match="there are only"):
            maker(number)


def test_a_kind_without_country_is_no_document():
    with pytest.raises(ValueError, match="no country"):
        people.document("phone", 0)
