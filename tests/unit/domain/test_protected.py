"""Rule 3: protected actions, told in code and not in configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.protected import (
    PROTECTED_WORDS,
    deciding_attributes,
    is_protected,
    protected_samples,
    why_protected,
)

RAIL = "rail.ticket.purchase"


@pytest.mark.parametrize(
    ("action", "good"),
    [
        ("food.purchase", "food"),
        ("grocery.order.place", "food"),
        ("medicine.purchase", "medicine and medical care"),
        ("medical.appointment.book", "medicine and medical care"),
        ("housing.rent", "the housing one lives in"),
        ("utility.contract.open", "utilities"),
        ("education.enrol", "basic education, private schools included"),
        ("school.private.enrol", "basic education, private schools included"),
        ("wage.pay", "wages"),
        ("legal.counsel.engage", "legal help"),
        ("transport.basic.ride", "basic transport"),
        ("bus.ticket.purchase", "basic transport"),
        ("metro.ride", "basic transport"),
    ],
)
def test_what_a_person_needs_to_live_is_protected(action, good):
    assert is_protected(action, {})
    assert good == why_protected(action)


@pytest.mark.parametrize(
    "action",
    ["loan.apply", "air.ticket.purchase", "property.purchase", "foodie.club.join", "golf.round.book", "call.identify"],
)
def test_other_actions_are_not_protected(action):
    assert not is_protected(action, {})
    assert "" == why_protected(action)
    assert [] == protected_samples(action)
    assert () == deciding_attributes(action)


@pytest.mark.parametrize(
    "action",
    ["order.food", "online.food.order", "food-delivery.order", "purchase.medicine", "private-school.enrol", "buses.ride"],
)
def test_a_protected_word_protects_wherever_in_the_name_it_stands(action):
    """Rule 3: or an action would escape by another order of its words."""
    assert is_protected(action, {"train": "G101", "seat_class": "first"})


@pytest.mark.parametrize(
    "action",
    ["rail.ticket", "rail.tickets.purchase", "rail.purchase", "train.seat.book", "purchase.rail-ticket", "ferry.board"],
)
def test_ordinary_seats_are_protected_whatever_the_action_is_called(action):
    """Rule 3."""
    assert deciding_attributes(action)
    assert is_protected(action, {"train": "K1", "seat_class": "second", "cabin_class": "third"})


@pytest.mark.parametrize(
    ("train", "seat_class", "expected"),
    [
        ("K1", "second", True),
        ("K1", "hard-sleeper", True),
        ("D301", "second", True),
        ("1461", "soft-seat", True),
        ("K1", "a class nobody knows", True),
        ("K1", "soft-sleeper", False),
        ("D301", "first", False),
        ("D301", "Business", False),
        ("K1", "soft_sleeper", False),
        ("G101", "second", False),
        ("g101", "second", False),
        (" G101", "second", False),
    ],
)
def test_ordinary_seats_on_trains_are_protected(train, seat_class, expected):
    assert expected is is_protected(RAIL, {"train": train, "seat_class": seat_class})


@pytest.mark.parametrize(
    ("cabin_class", "expected"), [("third", True), ("deck", True), ("second", False), ("first", False), ("Suite", False)]
)
def test_ordinary_passages_on_ships_are_protected(cabin_class, expected):
    assert expected is is_protected("ship.ticket.purchase", {"cabin_class": cabin_class})


@pytest.mark.parametrize("action", [RAIL, "ship.ticket.purchase", "rail.ticket.change", "ferry.ticket.purchase"])
def test_a_ticket_of_unknown_form_counts_as_ordinary(action):
    assert is_protected(action, {})
    assert is_protected(action, dict.fromkeys(deciding_attributes(action), 1))


@pytest.mark.parametrize("action", [RAIL, "ship.ticket.purchase"])
def test_the_samples_are_protected_forms_with_every_deciding_attribute(action):
    samples = protected_samples(action)
    assert samples
    for sample in samples:
        assert set(deciding_attributes(action)) == set(sample)
        assert is_protected(action, sample)


def test_suspicious_texts_widen_the_samples():
    trains = {sample["train"] for sample in protected_samples(RAIL, ["K7777", "G7"])}
    assert "K7777" in trains
    assert "G7" not in trains


@given(st.sampled_from(sorted(PROTECTED_WORDS)), st.text("abcdefgh.-", max_size=20))
def test_no_end_of_a_name_lifts_the_protection(first, rest):
    assert is_protected(f"{first}.{rest}", {"train": "G101", "seat_class": "first", "cabin_class": "first"})
