"""Streams of bodies put together: the same as dictionaries would give, in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain import routes
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import Base, Delta, base_target, delta_target
from portcullis.domain.routes import ListRoute, Route
from portcullis.domain.streams import building, in_turn, merged, overlaid
from tests.support.distribution import BANK, CARRIERS, COURT, records, token

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


def base(version):
    return Base(target=base_target("court", version), version=version, records=3, length=1)


def delta(since, changes):
    target = delta_target("court", since, since + 1)
    return Delta(target=target, since=since, version=since + 1, changes=changes, length=1)


def test_a_route_in_turn_gives_each_list_its_base_and_then_its_deltas():
    lists = [ListRoute(COURT, base(1), (delta(1, 1), delta(2, 1))), ListRoute(BANK, None, (delta(7, 1),))]
    read = in_turn(lists, lambda number, file: iter([(file.target.encode(), number, b"")]))
    assert [
        (base_target("court", 1).encode(), COURT, b""),
        (delta_target("court", 1, 2).encode(), COURT, b""),
        (delta_target("court", 2, 3).encode(), COURT, b""),
        (delta_target("court", 7, 8).encode(), BANK, b""),
    ] == list(read)


def test_a_replica_is_built_from_what_is_held_and_the_bases_with_large_deltas_laid_over(monkeypatch):
    monkeypatch.setattr(routes, "MANY_CHANGES", 2)
    small, large, last = delta(1, 1), delta(2, 3), delta(3, 1)
    files = {
        base(1).target: records(range(3)),
        small.target: records([0], "first"),
        large.target: records([1, 3, 4], "large"),
        last.target: records([0], "last"),
    }
    held = {BANK: records(range(9), on=BANK), CARRIERS: records(range(9), on=CARRIERS)}
    route = Route((ListRoute(COURT, base(1), (small, large, last)), ListRoute(BANK, None, ())), in_place=False)
    bodies, changes = building(
        route,
        12,
        lambda numbers: iter(sorted(each for number in numbers for each in held[number])),
        lambda _, file: iter(files[file.target]),
    )
    court = [*records([0], "first"), *records([1, 3, 4], "large"), *records([2])]
    assert sorted([*court, *held[BANK]]) == list(bodies)
    assert files[last.target] == list(changes)
