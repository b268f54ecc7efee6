"""A partner that floods: an open-loop load, whatever becomes of it, for as long as another is measured.

Run as a module it reads a `Plan` as a line of JSON from standard input, prints ``flooding`` when it begins, and once its
standard input ends what was `Found` as JSON.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import msgspec

from benchmarks.arrivals import drive
from benchmarks.openloop import Plan
from benchmarks.processes import yield_to_others


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Of the flood's calls, the share that left the caller, and of those the share that was refused."""

    sent: float
    refused: float


def run(plan: Plan, is_over: Callable[[], bool]) -> Found:
    """Drive the plan, until it is over or its time is."""
    begin = time.monotonic()
    load, last = plan.arrivals(begin), begin + plan.seconds
    print("flooding", flush=True)
    drive([load], last, last, is_over=is_over)
    sent = sum(len(each.lateness) for each in load.connections)
    due = sent + sum(each.waiting for each in load.connections)
    refused = sum(len(each.refused) for each in load.connections)
    return Found(sent=sent / max(due, 1), refused=refused / max(sent, 1))


def _main() -> None:
    yield_to_others()
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    over = threading.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    print(msgspec.json.encode(run(plan, over.is_set)).decode(), flush=True)


if __name__ == "__main__":
    _main()
