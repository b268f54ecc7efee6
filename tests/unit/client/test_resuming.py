from __future__ import annotations

import threading
import time

import pytest

from portcullis.client import ClientError, InternalError, OutOfRange, Unavailable
from portcullis.client.resuming import Resumption, Watchdog, silent


def heard(randomness: float = 1.0) -> Resumption:
    resumption = Resumption(lambda: randomness)
    resumption.received()
    return resumption


def test_a_watch_that_was_never_answered_does_not_go_on() -> None:
    fault = Unavailable("nobody", status="UNAVAILABLE")

    with pytest.raises(Unavailable) as caught:
        Resumption().pause_s(fault)

    assert fault is caught.value


def test_the_pauses_grow_up_to_a_bound_and_begin_anew_once_something_is_heard() -> None:
    resumption = heard()
    fault = Unavailable("away", status="UNAVAILABLE")

    pauses = [resumption.pause_s(fault) for _ in range(50)]
    resumption.received()

    assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0] == pytest.approx(pauses[:8])
    assert 5.0 == pauses[-1]
    assert 0.1 == resumption.pause_s(None)


def test_the_pauses_of_many_differ_and_none_is_shorter_than_asked_for() -> None:
    assert 0.05 == heard(0.0).pause_s(None)
    assert 2.5 == heard().pause_s(Unavailable("away", status="UNAVAILABLE", retry_after_s=2.5))


@pytest.mark.parametrize(
    "status", ["UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "INTERNAL"]
)
def test_what_may_pass_is_waited_out(status: str) -> None:
    assert heard().pause_s(ClientError("", status=status)) > 0


@pytest.mark.parametrize(
    "fault",
    [
        OutOfRange("too old", status="OUT_OF_RANGE"),
        InternalError("ours", status="INTERNAL", reason="ERROR_REASON_INTERNAL"),
        ClientError("revoked", status="UNAUTHENTICATED"),
        ClientError("no such method", status="UNIMPLEMENTED"),
    ],
)
def test_what_stays_is_raised(fault: ClientError) -> None:
    with pytest.raises(ClientError) as caught:
        heard().pause_s(fault)

    assert fault is caught.value


def test_silence_is_an_error_that_may_pass() -> None:
    assert "the gateway has sent nothing for 30 s" == str(silent(30.0))
    assert heard().pause_s(silent(30.0)) > 0


def test_a_watchdog_gives_up_what_waits_for_too_long() -> None:
    given_up = threading.Event()
    watchdog = Watchdog(given_up.set, 0.05)
    watchdog.wait_begins()

    assert given_up.wait(10)
    assert watchdog.has_given_up
    watchdog.close()


def test_a_watchdog_does_not_count_the_time_between_two_waits() -> None:
    given_up = threading.Event()
    watchdog = Watchdog(given_up.set, 0.02)
    watchdog.wait_begins()
    watchdog.wait_ends()
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        assert not given_up.wait(0.01)
    watchdog.close()

    assert not watchdog.has_given_up
