"""Token keys: what a snapshot names is what is looked under, and nothing is looked up with nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.demo.people import passport, phone, resident_id
from portcullis.domain.clearing import Clearing
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import join_segments
from portcullis.domain.token_keys import KeyNotHeld, TokenKey, lookup_of
from portcullis.domain.tokens import Tokeniser
from tests.support.token_rings import FIRST, SECOND, THIRD, Ring, named

NUMBER = "0123456789ABCDEF"
PEOPLE = (passport(1), resident_id(1), phone(1))


def probed(named_keys: tuple[TokenKey, ...], ring: Ring, *people: object) -> list[tuple[bytes, bool]]:
    into: list[tuple[bytes, bool]] = []
    for each in people or PEOPLE:
        lookup_of(named_keys, ring).probes(each.kind, each.value, each.country, into)  # type: ignore[attr-defined]
    return into


def under(tokeniser: Tokeniser, *people: object) -> list[tuple[bytes, bool]]:
    into: list[tuple[bytes, bool]] = []
    for each in people or PEOPLE:
        tokeniser.probes(each.kind, each.value, each.country, into)  # type: ignore[attr-defined]
    return into


def test_one_key_is_looked_under_by_its_own_method_and_nothing_in_between() -> None:
    lookup = lookup_of((named(SECOND),), Ring(FIRST, SECOND))
    assert SECOND.probes == lookup.probes


def test_two_keys_are_both_looked_under_the_newest_first() -> None:
    both = probed((named(SECOND), named(FIRST)), Ring(FIRST, SECOND, THIRD), passport(1))
    assert [*under(SECOND, passport(1)), *under(FIRST, passport(1))] == both


def test_a_key_for_clearances_alone_is_not_looked_under_for_records() -> None:
    assert under(SECOND) == probed((named(SECOND), named(FIRST, records=False)), Ring(FIRST, SECOND))


def test_a_snapshot_that_names_none_was_made_with_the_first_key() -> None:
    assert under(FIRST) == probed((), Ring(FIRST, SECOND))
    with pytest.raises(KeyNotHeld, match=r"token\.key"):
        lookup_of((), Ring(SECOND))


def test_a_snapshot_whose_keys_are_for_clearances_alone_is_never_looked_up_with_nothing() -> None:
    assert under(FIRST) == probed((named(SECOND, records=False),), Ring(FIRST, SECOND))


def test_a_key_that_is_missing_or_another_is_told_by_its_file() -> None:
    with pytest.raises(KeyNotHeld, match=r"copy token\.2\.key from the registry's host") as missing:
        lookup_of((named(SECOND),), Ring(FIRST))
    assert not missing.value.differs
    with pytest.raises(KeyNotHeld, match=r"token\.2\.key here is another") as other:
        lookup_of((named(SECOND),), Ring(FIRST, Tokeniser(bytes(32), 2)))
    assert other.value.differs


@given(st.binary(min_size=16, max_size=64), st.integers(1, 2**32 - 1))
def test_a_fingerprint_is_of_key_and_epoch_and_shows_neither(key: bytes, epoch: int) -> None:
    tokeniser = Tokeniser(key, epoch)
    assert tokeniser.fingerprint == Tokeniser(key, epoch).fingerprint
    assert tokeniser.fingerprint != Tokeniser(key + b"x" if len(key) < 64 else key[:-1], epoch).fingerprint
    assert tokeniser.fingerprint != Tokeniser(key, epoch % (2**32 - 1) + 1).fingerprint
    assert key.hex()[:16] != tokeniser.fingerprint


@pytest.mark.parametrize("stands_under", [FIRST, SECOND])
@pytest.mark.parametrize("issued_under", [FIRST, SECOND])
def test_a_redress_number_clears_under_whichever_keys_number_and_entry_stand(
    stands_under: Tokeniser, issued_under: Tokeniser
) -> None:
    mistaken, own = phone(1), passport(1)
    (found_by,) = stands_under.index_tokens(mistaken)
    (taken_for,) = issued_under.index_tokens(mistaken)
    strong = next(token for token, weak in under(issued_under, own) if not weak)
    record = Record(1, 0, until=2**31, entry_id=7, case_reference="case", measures=1)
    value = join_segments([(1, encode_body([record]))])
    replica = {found_by: value, issued_under.clearance(NUMBER, strong, taken_for): value}
    lookup = lookup_of((named(SECOND), named(FIRST)), Ring(FIRST, SECOND))
    sets = lookup.probe_sets([(each.kind, each.value, each.country) for each in (mistaken, own)])
    look = Clearing(NUMBER, sets, replica.get)
    assert None is look.get(found_by)
    assert (7,) == look.entries
    assert value == Clearing("F" * 16, sets, replica.get).get(found_by)
