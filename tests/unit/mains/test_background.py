"""Work beside a part's calls."""

from __future__ import annotations

import threading

import pytest

from portcullis.mains.background import Background


def test_all_work_is_told_to_stop_and_waited_for_at_the_end():
    ended = []

    def work(stop: threading.Event) -> None:
        assert stop.wait(10)
        ended.append(threading.current_thread().name)

    with Background(on_failure=lambda: ended.append("failure")) as background:
        background.run("one", work)
        background.run("two", work)
    assert ["portcullis-one", "portcullis-two"] == sorted(ended)


@pytest.mark.parametrize("way", ["breaks", "ends"])
def test_work_that_does_not_go_on_ends_the_process(way):
    failed = threading.Event()

    def work(stop: threading.Event) -> None:
        if way == "breaks":
            raise ValueError("somebody's name")

    with Background(on_failure=failed.set) as background:
        background.run("one", work)
        assert failed.wait(10)
