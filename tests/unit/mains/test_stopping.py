import asyncio
import os
import signal

import pytest

from portcullis.mains.stopping import stop_event, stop_signals
from tests.support.processes import wait_for


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_drains_and_a_second_one_hurries(number):
    before = signal.getsignal(number)
    with stop_signals() as signals:
        assert not signals.asked()
        os.kill(os.getpid(), number)
        assert signals.asked(5)
        assert not signals.hurry()
        os.kill(os.getpid(), number)
        wait_for(signals.hurry)
    assert signal.getsignal(number) == before


async def test_a_signal_sets_the_event_of_the_loop():
    with stop_event() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 5)
