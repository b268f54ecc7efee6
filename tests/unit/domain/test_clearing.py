"""Redress numbers in a check: what they take away, and what they never do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.clearing import Clearing
from portcullis.domain.records import Record, decode_records, encode_body
from portcullis.domain.segments import join_segments
from portcullis.domain.token_keys import ProbeSet
from portcullis.domain.tokens import Tokeniser

NUMBER, OTHER_NUMBER = "0123456789ABCDEF", "0000000000000000"
CLEARANCE = Tokeniser(b"a key of tests, and of tests alone").clearance
OWN, OWN_WEAK, PHONE, STRANGER = (bytes([place]) * 16 for place in range(4))
PROBES = ((PHONE, False), (OWN, False), (OWN_WEAK, True))


def a_record(entry_id: int, list_number: int = 1) -> Record:
    return Record(list_number, 0, until=2**31, entry_id=entry_id, case_reference=f"case-{entry_id}", measures=3)


def value_of(*records: Record) -> bytes:
    numbers = sorted({each.list_number for each in records})
    return join_segments((number, encode_body(each for each in records if each.list_number == number)) for number in numbers)


def cleared(number: str, own: bytes, mistaken: bytes, *records: Record) -> dict[bytes, bytes]:
    return {CLEARANCE(number, own, mistaken): value_of(*records)}


def clearing(replica: dict[bytes, bytes], number: str = NUMBER) -> Clearing:
    return Clearing(number, [ProbeSet(CLEARANCE, PROBES)], replica.get)


def test_an_entry_that_the_number_clears_is_not_found():
    look = clearing({PHONE: value_of(a_record(1)), **cleared(NUMBER, OWN, PHONE, a_record(1))})
    assert None is look.get(PHONE)
    assert (1,) == look.entries


def test_other_entries_under_the_same_token_stay():
    found = value_of(a_record(1), a_record(2), a_record(3, list_number=2))
    look = clearing({PHONE: found, **cleared(NUMBER, OWN, PHONE, a_record(1))})
    assert value_of(a_record(2), a_record(3, list_number=2)) == look.get(PHONE)
    assert (1,) == look.entries


def test_an_entry_found_by_another_token_than_the_one_cleared_stays():
    found = value_of(a_record(1))
    look = clearing({PHONE: found, OWN_WEAK: found, **cleared(NUMBER, OWN, PHONE, a_record(1))})
    assert [None, found] == [look.get(PHONE), look.get(OWN_WEAK)]


def test_what_the_holder_s_own_document_finds_stays():
    found = value_of(a_record(1))
    look = clearing({OWN: found, **cleared(NUMBER, OWN, OWN, a_record(1))})
    assert found == look.get(OWN)
    assert () == look.entries


def test_a_weak_match_of_the_holder_s_document_may_be_cleared_but_clears_nothing():
    found = value_of(a_record(1))
    by_own = clearing({OWN_WEAK: found, **cleared(NUMBER, OWN, OWN_WEAK, a_record(1))})
    assert None is by_own.get(OWN_WEAK)
    by_weak = clearing({PHONE: found, **cleared(NUMBER, OWN_WEAK, PHONE, a_record(1))})
    assert found == by_weak.get(PHONE)


def test_a_number_of_somebody_else_clears_nothing():
    found = value_of(a_record(1))
    replica = {
        PHONE: found,
        **cleared(NUMBER, OWN, PHONE, a_record(1)),
        **cleared(OTHER_NUMBER, STRANGER, PHONE, a_record(1)),
    }
    assert found == clearing(replica, OTHER_NUMBER).get(PHONE)


def test_a_clearance_of_another_list_or_entry_clears_nothing():
    found = value_of(a_record(1))
    look = clearing({PHONE: found, **cleared(NUMBER, OWN, PHONE, a_record(2), a_record(1, list_number=2))})
    assert found == look.get(PHONE)


def test_a_token_that_finds_nothing_finds_nothing_with_a_number_either():
    look = clearing(cleared(NUMBER, OWN, PHONE, a_record(1)))
    assert None is look.get(PHONE)
    assert () == look.entries


keys = st.tuples(st.integers(1, 3), st.integers(1, 5))
under = st.dictionaries(st.sampled_from([OWN, OWN_WEAK, PHONE, STRANGER]), st.sets(keys, min_size=1))
pairs = st.dictionaries(
    st.tuples(st.sampled_from([OWN, OWN_WEAK, STRANGER]), st.sampled_from([OWN, OWN_WEAK, PHONE])), st.sets(keys, min_size=1)
)


@given(under, pairs)
def test_what_is_found_is_what_a_plain_model_finds(
    found: dict[bytes, set[tuple[int, int]]], clearances: dict[tuple[bytes, bytes], set[tuple[int, int]]]
):
    def value(entries: set[tuple[int, int]]) -> bytes:
        return value_of(*(a_record(entry_id, number) for number, entry_id in entries))

    replica = {token: value(entries) for token, entries in found.items()}
    replica |= {CLEARANCE(NUMBER, own, mistaken): value(entries) for (own, mistaken), entries in clearances.items()}
    look = clearing(replica)
    left_out = set()
    for token, _ in PROBES:
        by = [clearances.get((own, token), set()) for own, weak in PROBES if not weak and own != token]
        gone = found.get(token, set()) & set().union(*by)
        kept = found.get(token, set()) - gone
        left_out |= {entry_id for _, entry_id in gone}
        given_value = look.get(token)
        assert kept == {(each.list_number, each.entry_id) for each in decode_records(given_value or b"")}
        assert (given_value is None) == (not kept)
    assert left_out == set(look.entries)
