import os
import threading

from portcullis.mains.lifeline import VARIABLE, hold_on, supervised


def test_a_process_without_a_lifeline_is_on_its_own():
    assert not supervised({})
    assert hold_on({}) is None


def test_the_end_of_the_parents_side_ends_the_process():
    reading, writing = os.pipe()
    ended = threading.Event()
    statuses = []

    def end(status):
        statuses.append(status)
        ended.set()

    thread = hold_on({VARIABLE: str(reading)}, end)
    assert not ended.wait(0.05)
    os.close(writing)
    assert ended.wait(5)
    thread.join(5)
    os.close(reading)
    assert [1] == statuses
