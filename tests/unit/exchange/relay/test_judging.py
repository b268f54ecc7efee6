"""What a receiver's answer means, and when it is asked again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.exchange.relay.judging import MAX_ATTEMPTS, PARK_AFTER_S, Trouble, after_delivery, after_trouble, judge
from portcullis.ports.relay import Fault, Place, Reply

PLACE = Place(log="log", position=5)
TROUBLE = Trouble(fault=Fault.STATUS, reason="the receiver answered with status 500")


@pytest.mark.parametrize("status", [200, 202, 204])
def test_an_event_was_taken(status: int) -> None:
    assert judge(Reply(status, b"whatever")) is None


@pytest.mark.parametrize(
    ("reply", "final"),
    [
        (Reply(400, b'{"err": "invalid_issuer", "description": "x"}'), True),
        (Reply(400, b'{"err": "spaces and secrets"}'), True),
        (Reply(400, b'{"err": "invalid_key"}'), False),
        (Reply(410, b""), True),
        (Reply(400, b""), False),
        (Reply(400, b'{"error": "x"}'), False),
        (Reply(400, b'{"err": ""}'), False),
        (Reply(400, b'{"err": 5}'), False),
        (Reply(400, b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b', "err": "invalid_issuer"}'), False),
        (Reply(400, b"\xff"), False),
        (Reply(201, b""), False),
        (Reply(302, b""), False),
        (Reply(401, b'{"err": "authentication_failed"}'), False),
        (Reply(404, b""), False),
        (Reply(429, b"", 5.0), False),
        (Reply(500, b'{"err": "invalid_issuer"}'), False),
    ],
    ids=str,
)
def test_an_event_was_not_taken_and_only_a_refusal_of_its_own_is_final(reply: Reply, *, final: bool) -> None:
    trouble = judge(reply)

    assert trouble is not None
    assert final == trouble.final
    assert reply.retry_after_s == trouble.after_s


def test_of_a_refusal_only_a_code_is_kept() -> None:
    assert "invalid_issuer" in judge(Reply(400, b'{"err": "invalid_issuer"}')).reason
    assert "secrets" not in judge(Reply(400, b'{"err": "spaces and secrets"}')).reason


def test_every_pause_is_twice_the_one_before_up_to_five_minutes() -> None:
    place, pauses = PLACE, []
    for _ in range(12):
        place = after_trouble(place, TROUBLE, on=1, now=1000.0, draw=lambda: 1.0)
        pauses.append(place.retry_at - 1000.0)

    assert 1.0 == pauses[0]
    assert all(min(300.0, earlier * 2) == later for earlier, later in pairwise(pauses))


@given(st.integers(0, MAX_ATTEMPTS - 2), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e9))
def test_a_pause_is_never_longer_than_an_hour_nor_shorter_than_half_a_second(
    attempts: int, drawn: float, asked_s: float | None
) -> None:
    before = Place(log="log", position=5, attempts=attempts, failing_since=1000.0 if attempts else 0.0)
    trouble = Trouble(fault=Fault.STATUS, reason="x", after_s=asked_s)

    pause = after_trouble(before, trouble, on=1, now=1000.0, draw=lambda: drawn).retry_at - 1000.0

    assert 0.5 <= pause <= 3600.0
    # The times are sums, and rounded.
    assert pause >= min(asked_s or 0.0, 3600.0) - 1e-6


def test_a_stream_parks_at_the_bounds_and_not_before() -> None:
    last = Place(log="log", position=5, attempts=MAX_ATTEMPTS - 2, failing_since=1000.0)
    almost = after_trouble(last, TROUBLE, on=1, now=1000.0 + PARK_AFTER_S - 1, draw=lambda: 0.5)
    assert almost.parked == ""

    by_tries = after_trouble(almost, TROUBLE, on=1, now=1001.0, draw=lambda: 0.5)
    by_time = after_trouble(last, TROUBLE, on=1, now=1000.0 + PARK_AFTER_S, draw=lambda: 0.5)
    at_once = after_trouble(PLACE, Trouble(fault=Fault.REFUSED, reason="no", final=True), on=1, now=7.0, draw=lambda: 0.5)

    assert TROUBLE.reason == by_tries.parked == by_time.parked
    assert ("no", 7.0, 0.0) == (at_once.parked, at_once.parked_at, at_once.retry_at)
    assert 5 == at_once.position


def test_a_delivery_ends_the_trouble() -> None:
    troubled = after_trouble(PLACE, TROUBLE, on=1, now=1000.0, draw=lambda: 0.5)

    assert after_delivery(troubled) == PLACE
