"""The terms of a list: places that are only ever appended."""

from __future__ import annotations

import pytest

from portcullis.domain.editions import Legal
from portcullis.domain.records import ALL_MEASURES
from portcullis.publisher.terms import TermsBuilder
from tests.support.policies import a_list, measure

COURT = a_list("court", measure("trains"), measure("loans"))


def test_the_measures_of_the_definition_have_the_first_bits():
    builder = TermsBuilder(3, COURT)
    assert (0b01, 0b10, 0b11) == (builder.mask(("trains",)), builder.mask(("loans",)), builder.mask(("loans", "trains")))
    assert builder.fits


def test_an_entry_that_names_no_measures_has_all():
    assert ALL_MEASURES == TermsBuilder(3, COURT).mask(())


def test_a_name_that_the_policy_lacks_gets_a_bit_too():
    builder = TermsBuilder(3, COURT)
    assert 0b100 == builder.mask(("hotels",))
    assert ("trains", "loans", "hotels") == builder.terms().measures


def test_places_stay_what_they_were_whatever_comes():
    builder = TermsBuilder(3, COURT)
    builder.mask(("hotels",))
    rows = [builder.legal_place(f"section {number}", "https://redress.example") for number in (1, 2, 1)]
    assert [0, 1, 0] == rows
    later = TermsBuilder(3, a_list("court", measure("loans"), measure("golf")), builder.terms())
    assert (0b100, 0b1000) == (later.mask(("hotels",)), later.mask(("golf",)))
    assert (1, 2) == (
        later.legal_place("section 2", "https://redress.example"),
        later.legal_place("section 3", "https://redress.example"),
    )
    assert builder.terms().legal == later.terms().legal[:2]
    assert Legal("section 3", "https://redress.example") == later.terms().legal[2]


def test_terms_have_changed_when_a_row_a_name_or_the_definition_is_new():
    earlier = TermsBuilder(3, COURT).terms()
    assert TermsBuilder(3, COURT).changed
    assert not TermsBuilder(3, COURT, earlier).changed
    assert TermsBuilder(3, a_list("court", measure("trains")), earlier).changed
    builder = TermsBuilder(3, COURT, earlier)
    builder.mask(("trains",))
    assert not builder.changed
    builder.mask(("hotels",))
    assert builder.changed
    builder = TermsBuilder(3, COURT, earlier)
    builder.legal_place("section 1", "https://redress.example")
    assert builder.changed


def test_beyond_32_names_there_is_no_bit_and_the_terms_are_full():
    builder = TermsBuilder(3, COURT)
    masks = [builder.mask((f"m{number}",)) for number in range(40)]
    assert [0] * 10 == masks[30:]
    assert all(masks[:30])
    assert (32, True, True) == (len(builder.terms().measures), builder.full, builder.fits)


def test_a_definition_whose_measures_find_no_room_beside_old_names_does_not_fit_but_does_afresh():
    old = TermsBuilder(3, COURT)
    for number in range(30):
        old.mask((f"m{number}",))
    more = a_list("court", measure("trains"), measure("loans"), measure("golf"))
    assert not TermsBuilder(3, more, old.terms()).fits
    assert TermsBuilder(3, more).fits


def test_beyond_the_greatest_row_there_is_no_place_and_the_terms_are_full(monkeypatch):
    monkeypatch.setattr("portcullis.publisher.terms.MAX_LEGAL_ROWS", 2)
    builder = TermsBuilder(3, COURT)
    assert [0, 1, None, 0] == [builder.legal_place(f"section {number}", "x") for number in (1, 2, 3, 1)]
    assert builder.full


@pytest.mark.parametrize("number", [1, 65_535])
def test_terms_carry_the_number_and_the_definition(number):
    terms = TermsBuilder(number, COURT).terms()
    assert (number, COURT) == (terms.number, terms.definition)
