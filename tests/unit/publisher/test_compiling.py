"""Compiling a reading of the registry."""

from __future__ import annotations

import gc
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.editions import Credential, Legal
from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.records import ALL_MEASURES, decode_records
from portcullis.publisher.compiling import Left, compile_edition
from portcullis.publisher.spool import Spool
from tests.support.distribution import DictRegistry, entry, records, token
from tests.support.policies import NOW, YEAR_S, a_list, measure

POLICY = Policy(
    lists=(
        a_list("court", measure("trains"), measure("loans"), measure("hotels")),
        a_list("secret", disclosure=Disclosure.AUTHORITY_ONLY),
        a_list("bikes", measure("rides")),
    )
)


def compiled(registry):
    compilation = compile_edition(registry, version=5, now=NOW)
    with compilation.spool as spool:
        return compilation.edition, {key: list(decode_records(value)) for key, value in spool}, compilation.faults


def one_record(indexed):
    registry = DictRegistry(POLICY)
    registry.put(1, indexed)
    edition, found, faults = compiled(registry)
    return edition, found[token(1)][0] if found else None, faults


def test_the_edition_holds_what_was_read():
    registry = DictRegistry(POLICY)
    registry.credentials = (Credential("k1", "ticketing", "00" * 32),)
    registry.put(1)
    edition, found, _ = compiled(registry)
    assert (5, NOW, 1, 1) == (edition.version, edition.published_at, edition.registry_seq, edition.records)
    assert (POLICY, registry.credentials) == (edition.policy, edition.credentials)
    assert [token(1)] == list(found)


def test_a_list_is_named_by_its_place_in_the_policy():
    assert 2 == one_record(entry(1, "bikes"))[1].list_index


def test_measures_become_a_mask_by_their_place_in_the_list():
    assert 0b110 == one_record(entry(1, measures=("hotels", "loans")))[1].measures


def test_an_entry_that_names_no_measures_has_all():
    assert ALL_MEASURES == one_record(entry(1))[1].measures


def test_a_measure_that_the_list_no_longer_has_is_passed_over():
    assert 0b001 == one_record(entry(1, measures=("gone", "trains")))[1].measures


def test_an_entry_left_without_any_measure_is_left_out_and_counted():
    _, record, faults = one_record(entry(1, measures=("gone",)))
    assert record is None
    assert {Left("court", "no measure of the entry is in the policy"): 1} == faults


def test_entries_of_unknown_and_authority_only_lists_stay_in_the_registry():
    registry = DictRegistry(POLICY)
    registry.put(1, entry(1, "secret"))
    registry.put(2, entry(2, "unheard-of"))
    registry.put(3, entry(3, "court"))
    edition, found, faults = compiled(registry)
    assert ([token(3)], 1, {}) == (list(found), edition.records, faults)


def test_a_beginning_is_kept_only_when_it_lies_ahead():
    assert 0 == one_record(entry(1, valid_from=NOW - 1))[1].valid_from
    assert 0 == one_record(entry(1, valid_from=-5))[1].valid_from
    assert NOW + 60 == one_record(entry(1, valid_from=NOW + 60))[1].valid_from


def test_an_entry_past_its_end_goes_in_for_expiry_is_judged_at_check_time():
    assert NOW - 5 == one_record(entry(1, until=NOW - 5))[1].until


def test_a_stay_goes_in():
    assert one_record(entry(1, stayed=True))[1].stayed


def test_entries_that_rest_on_the_same_share_a_legal_row():
    registry = DictRegistry(POLICY)
    for number in range(20):
        registry.put(number, entry(number, legal_basis=f"section {number % 3}"))
    edition, found, _ = compiled(registry)
    assert 3 == len(edition.legal)
    named = {record.entry_id: edition.legal[record.legal_index] for each in found.values() for record in each}
    assert {number: Legal(f"section {number % 3}", "https://redress.example/court") for number in range(20)} == named


def test_a_list_with_too_many_legal_bases_takes_no_place_from_another(monkeypatch):
    monkeypatch.setattr("portcullis.publisher.compiling._LEGAL_PLACES", 4)
    registry = DictRegistry(POLICY)
    for number in range(10):
        registry.put(number, entry(number, legal_basis=f"section {number}"))
    registry.put(10, entry(10, "bikes"))
    _, found, faults = compiled(registry)
    assert {Left("court", "the list has too many legal bases"): 8} == faults
    assert [10] == [record.entry_id for each in found.values() for record in each if record.list_index == 2]


def test_what_does_not_fit_is_cut_or_left_out_and_counted():
    _, record, faults = one_record(entry(1, until=1 << 40, case_reference="案" * 100))
    assert (0xFFFF_FFFF, "案" * 85) == (record.until, record.case_reference)
    assert 2 == faults.total()
    assert one_record(entry(1 << 32))[1] is None
    assert one_record(entry(1, valid_from=1 << 32))[1] is None


def test_one_token_gathers_all_of_its_entries_by_list_and_entry():
    registry = DictRegistry(POLICY)
    for number, name in ((9, "bikes"), (4, "court"), (2, "court")):
        registry.put(1, entry(number, name))
    _, found, _ = compiled(registry)
    assert [(0, 2), (0, 4), (2, 9)] == [(record.list_index, record.entry_id) for record in found[token(1)]]


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["court", "secret", "bikes", "unheard-of"])), max_size=60))
def test_the_records_are_the_entries_of_lists_that_may_leave_the_registry(pairs):
    registry = DictRegistry(POLICY)
    expected: dict[bytes, set[int]] = defaultdict(set)
    for entry_id, (number, name) in enumerate(pairs):
        registry.put(number, entry(entry_id, name, until=NOW + YEAR_S))
        if name in {"court", "bikes"}:
            expected[token(number)].add(entry_id)
    edition, found, _ = compiled(registry)
    assert expected == {key: {record.entry_id for record in each} for key, each in found.items()}
    assert sorted(found) == list(found)
    assert len(expected) == edition.records


def test_a_registry_that_fails_meanwhile_leaves_no_spool(tmp_path):
    registry = DictRegistry(POLICY)

    def failing():
        yield token(1), entry(1)
        raise OSError("gone")

    registry.index = failing
    with pytest.raises(OSError, match="gone"):
        compile_edition(registry, version=1, now=NOW, folder=tmp_path)
    # A spool left open warns when it is collected, and a warning fails the test.
    gc.collect()


def test_a_spool_gives_its_records_as_often_as_asked_in_memory_and_on_disk(tmp_path):
    for size in (10, 100_000):
        pairs = [(key, value * size) for key, value in records(range(100))]
        with Spool(tmp_path) as spool:
            for pair in pairs:
                spool.put(*pair)
            assert 100 == spool.records
            assert pairs == list(spool)
            assert pairs == list(spool)
    assert [] == list(tmp_path.iterdir())
