"""How old a vouching is, whatever the clocks say."""

from __future__ import annotations

import math

import pytest

from portcullis.gateway.following.freshness import Freshness
from portcullis.ports import Vouched
from tests.support.clocks import HandClock


class Looking:
    def __init__(self):
        self.clock = HandClock()
        self.freshness = Freshness(self.clock)
        self.serial = 0

    def see(self, ago_s=0.0, *, again=False, took_s=0.0):
        self.serial += not again
        looked_at = self.clock.monotonic()
        vouched = Vouched(1, self.serial, self.clock.now() - ago_s)
        self.clock.advance(took_s)
        self.freshness.accept(self.freshness.sighting(vouched, looked_at))

    @property
    def age_s(self):
        return self.freshness.age_s()


@pytest.fixture
def looking():
    return Looking()


def test_before_the_first_the_age_is_infinite(looking):
    assert math.inf == looking.age_s


def test_the_first_is_as_old_as_the_wall_clock_says_and_grows_older(looking):
    looking.see(ago_s=40)
    looking.clock.advance(2)
    assert 42 == looking.age_s


def test_the_first_is_never_of_the_future(looking):
    looking.see(ago_s=-7200)
    assert 0 == looking.age_s


@pytest.mark.parametrize("skew", [7200.0, -7200.0])
def test_setting_the_clock_after_a_look_changes_nothing(looking, skew):
    looking.see(ago_s=3)
    looking.clock.set_wall(skew)
    assert 3 == looking.age_s


def test_a_newer_one_is_no_older_than_the_look_before_it_began(looking):
    looking.see()
    looking.clock.advance(1)
    looking.see(ago_s=7200)
    assert 1 == looking.age_s
    looking.clock.advance(5)
    looking.see(ago_s=7200, took_s=2)
    assert 7 == looking.age_s


def test_the_same_one_seen_again_is_no_younger(looking):
    looking.see(ago_s=3)
    looking.clock.advance(10)
    looking.see(again=True)
    assert 13 == looking.age_s


def test_the_same_one_seen_again_bounds_the_next(looking):
    looking.see()
    looking.clock.advance(10)
    looking.see(again=True)
    looking.clock.advance(1)
    looking.see(ago_s=7200)
    assert 1 == looking.age_s


def test_a_store_that_plays_back_what_it_withheld_makes_nothing_fresh(looking):
    looking.see()
    looking.clock.advance(3600)
    looking.see(ago_s=3600, again=True)
    for second in range(1, 50):
        looking.clock.advance(1)
        looking.see(ago_s=3600)
        assert 3590 < looking.age_s <= 3600, second


@pytest.mark.parametrize("skew", [7200.0, -7200.0])
def test_a_store_that_plays_back_makes_nothing_fresh_where_this_hosts_clock_is_wrong(looking, skew):
    looking.see(ago_s=skew)
    looking.clock.advance(1)
    looking.see(ago_s=skew)
    looking.clock.advance(3600)
    looking.see(ago_s=skew + 3599)
    assert 3590 < looking.age_s <= max(3600, skew + 3600)


def test_what_is_played_back_bears_no_witness_to_the_time(looking, monkeypatch):
    heard = []
    looking.see()
    looking.clock.advance(3600)
    looking.see(ago_s=3600, again=True)
    monkeypatch.setattr(looking.clock, "hear", lambda *said: heard.append(said))
    looking.clock.advance(1)
    looking.see(ago_s=3600)
    assert [] == heard


def test_a_publisher_whose_clock_was_set_is_believed_from_then_on(looking):
    looking.see()
    for ago_s in (-7200, -7200, 0, 0, 7200, 7200):
        looking.clock.advance(1)
        looking.see(ago_s=ago_s)
        assert looking.age_s <= 1


def test_a_publisher_whose_clock_goes_slower_grows_no_older(looking):
    for hour in range(200):
        looking.see(ago_s=hour * 1.5)
        looking.clock.advance(3599)
        looking.see(ago_s=hour * 1.5 + 3599, again=True)
        looking.clock.advance(1)
    looking.see(ago_s=300)
    assert looking.age_s <= 2
