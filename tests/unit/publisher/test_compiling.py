"""Compiling the entries of one token in one list."""

from __future__ import annotations

import pytest

from portcullis.domain.records import ALL_MEASURES, decode_body
from portcullis.publisher.compiling import BodyCompiler
from portcullis.publisher.terms import TermsBuilder
from tests.support.distribution import entry
from tests.support.policies import NOW, a_list, measure

COURT = a_list("court", measure("trains"), measure("loans"))


@pytest.fixture
def compiler():
    return BodyCompiler(7, TermsBuilder(7, COURT), NOW + 0.5)


def one(compiler, **changes):
    entry_id = changes.pop("entry_id", 1)
    records = list(decode_body(7, compiler.body([entry(entry_id, **changes)])))
    return records[0] if records else None


def test_one_token_gathers_its_entries_in_the_order_of_their_ids(compiler):
    body = compiler.body([entry(9), entry(2), entry(4)])
    assert [2, 4, 9] == [record.entry_id for record in decode_body(7, body)]


def test_no_entries_make_an_empty_body(compiler):
    assert b"" == compiler.body([])


def test_measures_become_a_mask(compiler):
    assert ALL_MEASURES == one(compiler).measures
    assert 0b10 == one(compiler, measures=("loans",)).measures
    assert 0b101 == one(compiler, measures=("trains", "unheard-of")).measures


def test_a_beginning_is_kept_only_when_it_lies_ahead(compiler):
    assert 0 == one(compiler, valid_from=NOW - 1).valid_from
    assert 0 == one(compiler, valid_from=-5).valid_from
    assert NOW + 60 == one(compiler, valid_from=NOW + 60).valid_from


def test_an_entry_past_its_end_goes_in_for_expiry_is_judged_at_check_time(compiler):
    assert NOW - 5 == one(compiler, until=NOW - 5).until
    assert 0 == one(compiler, until=-5).until


def test_a_stay_goes_in(compiler):
    assert one(compiler, stayed=True).stayed
    assert not one(compiler).stayed


def test_entries_that_rest_on_the_same_share_a_legal_row(compiler):
    records = [one(compiler, entry_id=number, legal_basis=f"section {number % 3}") for number in range(20)]
    legal = compiler.terms.terms().legal
    assert 3 == len(legal)
    assert [f"section {number % 3}" for number in range(20)] == [legal[each.legal_index].legal_basis for each in records]


def test_what_is_too_long_is_cut_in_the_subjects_favour_and_counted(compiler):
    record = one(compiler, until=1 << 40, case_reference="案" * 100)
    assert (0xFFFF_FFFF, "案" * 85) == (record.until, record.case_reference)
    assert 2 == compiler.faults.total()


@pytest.mark.parametrize("length", [1, 63, 64, 255])
def test_a_reference_of_up_to_255_bytes_stays_whole(compiler, length):
    assert "x" * length == one(compiler, case_reference="x" * length).case_reference
    assert 0 == compiler.faults.total()


@pytest.mark.parametrize("changes", [{"entry_id": 1 << 32}, {"entry_id": -1}, {"valid_from": 1 << 32}])
def test_what_does_not_fit_is_left_out_and_counted(compiler, changes):
    assert one(compiler, **changes) is None
    assert 1 == compiler.faults.total()
    assert not compiler.terms.terms().legal, "what is left out takes no row"


def test_an_entry_whose_names_find_no_room_is_left_out_and_counted(compiler):
    for number in range(30):
        one(compiler, measures=(f"m{number}",))
    assert one(compiler, measures=("too-much",)) is None
    assert {"the list has too many names of measures": 1} == compiler.faults


def test_an_entry_whose_legal_basis_finds_no_room_is_left_out_and_counted(compiler, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.terms.MAX_LEGAL_ROWS", 1)
    assert one(compiler, legal_basis="section 1") is not None
    assert one(compiler, legal_basis="section 2") is None
    assert {"the list has too many legal bases": 1} == compiler.faults
