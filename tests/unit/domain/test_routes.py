"""The way from what is held to what is published."""

from __future__ import annotations

import pytest

from portcullis.domain.editions import FORMAT, Legal
from portcullis.domain.manifests import Base, Delta, Manifest, base_target, delta_target, terms_target
from portcullis.domain.multisets import EMPTY
from portcullis.domain.routes import MANY_CHANGES, is_large, route_from_bases, route_to
from tests.support.distribution import BANK, CARRIERS, COURT, LEGAL, NAMES, edition, list_edition

MANY = 10_000_000


def delta(since, version, changes=10, name="court"):
    return Delta(target=delta_target(name, since, version), since=since, version=version, changes=changes, length=1)


def manifest(number, version, *deltas, base=100, records=MANY):
    name = NAMES[number]
    return Manifest(
        format=FORMAT,
        list=name,
        number=number,
        version=version,
        records=records,
        digest=EMPTY,
        terms=terms_target(name, 1),
        base=Base(target=base_target(name, base), version=base, records=records, length=1),
        deltas=deltas,
    )


def one(number, version, records=MANY, **changes):
    return list_edition(number, version, (), **({"records": records} | changes))


def published(version, *lists):
    return edition(version, of=[each.number for each in lists], lists=lists)


def taken(route):
    return [(each.base.version if each.base else None, [step.version for step in each.deltas]) for each in route.lists]


def test_without_a_replica_all_lists_begin_with_their_bases():
    court, bank = manifest(COURT, 142, delta(100, 140), delta(140, 142)), manifest(BANK, 100)
    route = route_to(published(142, one(COURT, 142), one(BANK, 100)), [court, bank], None)
    assert ([(100, [140, 142]), (100, [])], False) == (taken(route), route.in_place)
    assert route == route_from_bases([court, bank])


def test_each_list_goes_on_from_the_version_that_it_has():
    manifests = [manifest(COURT, 142, delta(100, 140), delta(140, 142)), manifest(BANK, 100)]
    held = published(141, one(COURT, 120), one(BANK, 100))
    route = route_to(published(142, one(COURT, 142), one(BANK, 100)), manifests, held)
    assert ([(None, [140, 142]), (None, [])], True) == (taken(route), route.in_place)


@pytest.mark.parametrize(
    "held",
    [
        one(COURT, 99),
        one(COURT, 143),
        one(COURT, 142, digest="11" * 64),
        one(COURT, 142, records=7),
        one(COURT, 140, legal=(Legal("Another Act", "https://redress.example/other"), *LEGAL)),
        one(COURT, 140, measures=("flights", "loans")),
        one(COURT, 140, name="another"),
    ],
    ids=[
        "a gap",
        "a later version",
        "another digest",
        "other records",
        "legal rows moved",
        "measures moved",
        "another list",
    ],
)
def test_what_deltas_can_not_mend_begins_with_the_base(held):
    manifests = [manifest(COURT, 142, delta(100, 140), delta(140, 142))]
    route = route_to(published(142, one(COURT, 142)), manifests, published(141, held))
    assert ([(100, [140, 142])], False) == (taken(route), route.in_place)


def test_rows_added_at_the_end_need_no_base():
    added = one(COURT, 142, legal=(*LEGAL, Legal("Another Act", "")), measures=("loans", "flights"))
    route = route_to(published(142, added), [manifest(COURT, 142, delta(140, 142))], published(141, one(COURT, 140)))
    assert ([(None, [142])], True) == (taken(route), route.in_place)


@pytest.mark.parametrize(("records", "in_place"), [(MANY_CHANGES, True), (2 * MANY, False)])
def test_a_new_list_is_added_in_place_when_it_is_small(records, in_place):
    manifests = [manifest(COURT, 100), manifest(CARRIERS, 100, records=records)]
    new = published(142, one(COURT, 100), one(CARRIERS, 100, records=records))
    route = route_to(new, manifests, published(141, one(COURT, 100)))
    assert ([(None, []), (100, [])], in_place) == (taken(route), route.in_place)


def test_a_list_that_had_nothing_and_comes_to_much_is_built_anew():
    manifests = [manifest(COURT, 142, delta(100, 142, MANY))]
    route = route_to(published(142, one(COURT, 142)), manifests, published(100, one(COURT, 100, records=0)))
    assert ([(None, [142])], False) == (taken(route), route.in_place)


@pytest.mark.parametrize(("records", "in_place"), [(0, True), (1, False)])
def test_a_list_that_is_gone_asks_for_a_new_replica_if_it_had_bodies(records, in_place):
    held = published(141, one(COURT, 100), one(BANK, 100, records=records))
    assert in_place == route_to(published(142, one(COURT, 100)), [manifest(COURT, 100)], held).in_place


@pytest.mark.parametrize(
    ("changes", "records", "large"),
    [
        (MANY_CHANGES, 10, False),
        (MANY_CHANGES + 1, 10, True),
        (MANY // 10, MANY, False),
        (MANY // 10 + 1, MANY, True),
    ],
)
def test_many_changes_are_large_where_they_are_a_good_part_of_the_records(changes, records, large):
    assert large == is_large(changes, records)


def test_many_small_deltas_are_large_together():
    steps = [delta(version, version + 1, 400_000) for version in range(100, 104)]
    new, held = published(104, one(COURT, 104)), published(100, one(COURT, 100))
    assert not route_to(new, [manifest(COURT, 104, *steps)], held).in_place
