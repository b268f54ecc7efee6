"""Processes that write a spool: ``python -m tests.support.spool_children fork|append|gateway FOLDER ...``.

They say what happened to each record, one line each: ``recorded ID`` or ``refused ID``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.spool import FileSpool
from portcullis.domain.errors import RecordUnavailable
from tests.support.decision_records import a_record


def say(line: str) -> None:
    """Write a line at once, whole or not at all."""
    os.write(1, f"{line}\n".encode())


async def record(spool: FileSpool, *names: str) -> None:
    try:
        await spool.append([a_record(name) for name in names])
    except RecordUnavailable:
        for name in names:
            say(f"refused {name}")
    else:
        for name in names:
            say(f"recorded {name}")


async def append(folder: Path, count: int) -> None:
    """Append so many records, one after another."""
    with closing(FileSpool(folder, clock=SystemClock())) as spool:
        for number in range(count):
            await record(spool, f"d{number}")


async def append_forever(folder: Path, name: str) -> None:
    """Append from ten tasks at once until killed; segments are short, so that a kill falls on their ends as well."""
    spool = FileSpool(folder, clock=SystemClock(), segment_bytes=20_000)

    async def one(task: int) -> None:
        number = 0
        while True:
            await record(spool, f"{name}-{task}-{number}", f"{name}-{task}-{number + 1}")
            number += 2

    await asyncio.gather(*(one(task) for task in range(10)))


def fork_writers(folder: Path) -> None:
    """Start a writer for each ``start NAME``; any other line is said again, after all that was said before."""
    # Nobody waits for those that are killed.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        command, _, name = line.strip().partition(" ")
        if command != "start":
            say(line.strip())
            continue
        pid = os.fork()
        if not pid:
            asyncio.run(append_forever(folder, name))
        say(f"started {pid}")


async def serve(folder: Path) -> None:
    """Serve checks over a spool until the input ends."""
    from tests.support.gateways import running_gateway
    from tests.support.spool_gateways import publish

    with closing(FileSpool(folder, clock=SystemClock())) as spool:
        async with running_gateway("grpcio", spool=spool) as bench:
            await publish(bench)
            say(f"serving {bench.port}")
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    place = Path(sys.argv[2])
    if sys.argv[1] == "fork":
        fork_writers(place)
    elif sys.argv[1] == "append":
        asyncio.run(append(place, int(sys.argv[3])))
    else:
        asyncio.run(serve(place))
