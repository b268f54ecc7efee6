"""Streams of bodies put together: the same as dictionaries would give, in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.streams import merged, overlaid
from tests.support.distribution import BANK, COURT, records, token

KEYS = st.tuples(st.integers(0, 15).map(token), st.integers(1, 3))
BODIES = st.dictionaries(KEYS, st.binary(min_size=1, max_size=2), max_size=12)
CHANGES = st.dictionaries(KEYS, st.binary(max_size=2), max_size=12)


def stream(bodies):
    return iter(sorted((key, number, body) for (key, number), body in bodies.items()))


@given(BODIES, CHANGES, CHANGES)
def test_changes_laid_over_bodies_are_those_of_a_dictionary(bodies, first, second):
    together = {key: body for key, body in (bodies | first | second).items() if body}
    assert list(stream(together)) == list(overlaid(overlaid(stream(bodies), stream(first)), stream(second)))


@given(BODIES)
def test_streams_of_different_lists_are_merged_in_order(bodies):
    parts = [{key: body for key, body in bodies.items() if key[1] == number} for number in (1, 2, 3)]
    assert list(stream(bodies)) == list(merged(stream(part) for part in parts))


def test_one_stream_alone_is_passed_on_as_it_is():
    only = iter(records(range(3)))
    assert only is merged([only])


def test_no_stream_at_all_is_an_empty_one():
    assert [] == list(merged([]))


@pytest.mark.parametrize("changes", [records(range(3))[::-1], [*records([1]), *records([1])]])
def test_changes_out_of_order_or_doubled_are_refused(changes):
    with pytest.raises(SnapshotInvalid) as caught:
        list(overlaid(iter(records(range(9), on=BANK)), iter(changes)))
    assert Refusal.RECORDS_MALFORMED == caught.value.refusal


def test_nothing_is_held_back_and_nothing_is_read_ahead():
    read = []

    def noting():
        for each in records(range(5), on=COURT):
            read.append(each)
            yield each

    first = next(overlaid(noting(), iter(())))
    assert [first] == read
