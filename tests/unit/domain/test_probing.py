"""Who goes through numbers is stopped, whichever way; who asks about customers is not."""

from __future__ import annotations

import hashlib
import unicodedata
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.probing.traffic import HONEST, SCRAPERS, mixed, shop
from benchmarks.probing.trials import honest_windows, until_stopped
from portcullis.domain.crowding import Crowd, Note, looks_crowded
from portcullis.domain.identifiers import Identifier, normalise
from portcullis.domain.probing import Detector, Level, Sign, Suspicion
from tests.support.people import document, imo, passport, phone, resident_id, uscc

AT_RANDOM = "valid IDs at random"
OF_ONE_REGION = "valid IDs of one region, at random"
_CHARACTERS = [chr(code) for code in range(0x110000)]
DIGITS = [[each for each in _CHARACTERS if unicodedata.decimal(each, None) == digit] for digit in range(10)]
SEPARATORS = [each for each in _CHARACTERS if unicodedata.category(each) in {"Zs", "Pd"}] + list("./\\()\N{MIDDLE DOT}")
SEPARATORS += ["\N{MINUS SIGN}", "\N{FRACTION SLASH}", "\N{DIVISION SLASH}"]
PEOPLE = [made(number) for made in (phone, resident_id, uscc, imo, passport) for number in (1, 2, 70)]
PEOPLE += [document("national-id", 3), document("tax-id", 4), document("registration-id", 5)]
TOLD_APART = sorted(SCRAPERS.keys() - {AT_RANDOM, OF_ONE_REGION})


def crowded(notes: list[Note]) -> tuple[int, tuple[int, int, int]]:
    crowd = Crowd()
    crowd.add(notes)
    return crowd.count, crowd.crowded()


def noted(kind: str, value: str) -> tuple[str, str, bytes]:
    return kind, value, hashlib.blake2b(value.encode(), digest_size=16).digest()


def phones(first: int, count: int = 64) -> list[tuple[str, str, bytes]]:
    return [noted("phone", f"+4477009{number:05d}") for number in range(first, first + count)]


def studied(detector: Detector, windows: int, **given: int) -> Suspicion:
    told = detector.study(phones(0), 0.0, **given)
    for number in range(1, windows):
        told = detector.study(phones(number * 64), float(number), **given)
    return told


@pytest.mark.parametrize("name", sorted(HONEST.keys() - {"shop, Zipf 1.0", "shop, Zipf 1.2"}))
def test_honest_partners_raise_no_alarm(name: str) -> None:
    """The others are measured with more windows by ``make bench-probing``."""
    for workers in (1, 16):
        told = honest_windows(HONEST[name](5), 600, workers=workers)
        assert (0, 0) == (told.slowed, told.stopped)


@pytest.mark.parametrize("name", TOLD_APART)
def test_a_scraper_is_stopped_within_a_thousand_numbers(name: str) -> None:
    for workers in (1, 4, 16):
        known = until_stopped(SCRAPERS[name](3), before=shop(3, customers=2_000), history=2_500, workers=workers)
        new = until_stopped(SCRAPERS[name](3), workers=workers)
        for found in (known, new):
            assert found.stopped is not None
            assert found.stopped <= 1_000


@pytest.mark.parametrize("seed", [4, 5])
def test_a_scraper_of_one_region_is_stopped_within_a_thousand_numbers_at_a_partner_of_some_history(seed: int) -> None:
    found = until_stopped(SCRAPERS[OF_ONE_REGION](seed), before=shop(seed, customers=20_000), history=30_000)
    assert found.slowed is not None
    assert found.stopped is not None
    assert found.slowed <= 500
    assert found.stopped <= 1_000


@pytest.mark.parametrize("history", [6_400, 30_000])
@pytest.mark.parametrize("name", [each for each in TOLD_APART if each.startswith(("phones", "resident", "passports"))])
def test_who_hides_neighbours_among_ten_times_as_many_customers_is_stopped_however_short_the_history(
    name: str, history: int
) -> None:
    honest = shop(3, customers=20_000)
    found = until_stopped(mixed(honest, SCRAPERS[name](3)), before=honest, history=history)
    assert found.stopped is not None
    assert found.stopped <= 1_000


def test_who_tries_check_digits_among_ten_times_as_many_customers_of_a_partner_at_ease_is_stopped() -> None:
    honest = shop(3, customers=20_000)
    found = until_stopped(mixed(honest, SCRAPERS["check digits tried"](3)), before=honest, history=30_000)
    assert found.stopped is not None
    assert found.stopped <= 1_000
    assert Sign.INVALID in found.signs


def test_a_history_excuses_only_so_many_neighbours() -> None:
    """Somebody who is patient, and goes through numbers one in ten from the first day on, does not become usual."""
    detector = Detector()
    told = detector.study([], 0.0)
    for number in range(200):
        notes = [noted("passport", f"XA{draw:09}") for draw in Random(number).sample(range(10**9), 58)] + phones(
            number * 6, 6
        )
        told = max(told, detector.study(notes, float(number)))
    assert told.level is not Level.NORMAL


def test_a_group_of_colleagues_with_neighbouring_phones_is_not_held_back() -> None:
    detector = Detector()
    assert Level.NORMAL is detector.study(phones(0, 40), 0.0).level


def test_slow_comes_before_stop() -> None:
    detector = Detector()
    levels = [detector.study(phones(number * 16, 16), float(number)).level for number in range(9)]
    assert Level.NORMAL is levels[0]
    assert sorted(levels) == levels


def test_one_canary_slows_and_another_one_stops() -> None:
    detector = Detector()
    assert Level.SLOWED is detector.canary([b"one"], 0.0).level
    assert Level.SLOWED is detector.canary([b"one"], 1.0).level
    told = detector.canary([b"other"], 86_000.0)
    assert (Level.STOPPED, (Sign.CANARY,)) == (told.level, told.signs)


def test_a_canary_slows_when_it_is_asked_about_and_not_for_ever() -> None:
    detector = Detector()
    assert Level.SLOWED is detector.canary([b"one"], 0.0).level
    soon = detector.study([], 60.0)
    assert (Level.NORMAL, pytest.approx(0.5, rel=0.01)) == (soon.level, soon.amount)
    assert pytest.approx(0.25, rel=0.01) == detector.study([], 86_300.0).amount
    assert 0.0 == detector.study([], 86_500.0).amount


def test_another_canary_stops_within_a_day_and_only_slows_after_it() -> None:
    soon, late = Detector(), Detector()
    for each in (soon, late):
        each.canary([b"one"], 0.0)
    assert Level.STOPPED is soon.canary([b"other"], 86_300.0).level
    assert Level.SLOWED is late.canary([b"other"], 86_500.0).level


def test_a_canary_and_another_sign_slow_for_longer() -> None:
    detector = Detector()
    detector.study(phones(0), 0.0)
    detector.canary([b"one"], 1.0)
    assert Level.STOPPED is detector.study([], 2.0).level


def test_suspicion_begins_anew_after_a_stop() -> None:
    detector = Detector()
    detector.canary([b"one", b"other"], 0.0)
    detector.begin_anew()
    assert Level.NORMAL is detector.study([], 0.0).level


def test_suspicion_halves_within_a_day() -> None:
    detector = Detector()
    before = studied(detector, 1).amount
    after = detector.study([], 1.0 + 86_400.0).amount
    assert before / 2 == pytest.approx(after, rel=0.01)


def test_how_a_number_is_set_out_hides_nothing() -> None:
    plain = [noted("phone", f"+4477009000{number:02d}") for number in range(64)]
    dressed = [noted("phone", f"+44 (7700) 9{'-' * (number % 3)}000{number:02d}") for number in range(64)]
    assert crowded(plain) == crowded(dressed)


@st.composite
def writings(draw: st.DrawFn) -> tuple[Identifier, str]:
    """Draw an identifier, and a way of writing it: digits of any script, letters of any size, separators anywhere."""
    person = draw(st.sampled_from(PEOPLE))
    written = [
        draw(st.sampled_from(DIGITS[int(each)]) if each in "0123456789" else st.sampled_from([each, each.lower()]))
        for each in person.value
    ]
    for separator in draw(st.lists(st.sampled_from(SEPARATORS), max_size=64 - len(written))):
        written.insert(draw(st.integers(0, len(written))), separator)
    return person, "".join(written)


@given(writings())
@example((Identifier("phone", "+447700900001"), "00 44 (0) 7700 900001"))
@example((Identifier("imo", "0123450"), "IMO 0123450"))
@example((Identifier("imo", "0123450"), "IMO0123450"))
@example((Identifier("passport", "XA0000001"), "XA0000001" + "\\" * 12))
def test_a_number_lies_in_the_same_cells_however_it_is_written(told: tuple[Identifier, str]) -> None:
    person, written = told
    assert person.value == normalise(person.kind, written).value
    assert (2, (1, 1, 1)) == crowded([noted(person.kind, person.value), noted(person.kind, written)])


@pytest.mark.parametrize("separator", ["\\", "\N{EN DASH}", "\N{MIDDLE DOT}", "\N{FRACTION SLASH}"])
@pytest.mark.parametrize("before", [0, 200])
def test_who_dresses_each_number_in_another_way_is_stopped_as_soon_as_who_does_not(separator: str, before: int) -> None:
    detector = Detector()
    for number in range(before):
        at_random = [noted("passport", f"XA{draw:09}") for draw in Random(number).sample(range(10**9), 64)]
        detector.study(at_random, number / 10)
    levels = []
    for number in range(4):
        plain = phones(number * 64)
        dressed = [(kind, value + separator * (2 + place % 40), token) for place, (kind, value, token) in enumerate(plain)]
        assert looks_crowded(dressed)
        levels.append(detector.study(dressed, (before + number) / 10).level)
    assert Level.STOPPED in levels


def test_numbers_of_several_kinds_are_told_apart() -> None:
    notes = [noted("phone", "+447700900001"), noted("phone", "+447700900002"), noted("passport", "+447700900001")]
    assert (3, (1, 1, 1)) == crowded(notes)


def test_a_detector_shows_nothing_that_was_asked() -> None:
    detector = Detector()
    told = studied(detector, 3)
    assert "447700" not in repr(detector) + repr(told) + repr(vars(detector))
