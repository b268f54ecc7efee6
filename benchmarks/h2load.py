"""h2load as a load generator for unary gRPC calls, and the reading of what it prints.

h2load posts the same length-prefixed message on every stream and counts HTTP statuses. It can't see ``grpc-status``: that a
target answers rightly is shown by a real call before the rounds and another after them (`benchmarks.targets`), and that it
refuses nobody in between by the bytes of the answers, for a refusal has none.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import msgspec

from benchmarks.processes import LOAD_CPU, pinned

MISSING = (
    "h2load is missing, so no throughput over the network is measured; install it (Debian: apt-get install nghttp2-client)"
)

CLIENTS = 8
STREAMS = 16


class Load(msgspec.Struct, frozen=True):
    """What h2load saw in one round: calls a second, its own mean time of a call in microseconds, and the answers' bytes."""

    rate: float
    calls: int
    mean_us: float
    data_bytes: int


class LoadFailed(Exception):
    """Some call of a round did not end with HTTP 200, or h2load printed something else than expected."""


def is_installed() -> bool:
    """Say whether h2load is on the path."""
    return shutil.which("h2load") is not None


def frame(message: bytes) -> bytes:
    """Put gRPC's five bytes before a message: not compressed, and its length."""
    return struct.pack(">BI", 0, len(message)) + message


def drive(
    address: str,
    path: str,
    body: Path,
    headers: dict[str, str],
    *,
    seconds: float,
    warm_up_s: float,
    streams: int = STREAMS,
) -> Load:
    """Post the body for some seconds over `CLIENTS` connections with so many calls under way on each.

    Raises:
        LoadFailed: a call failed on the HTTP level.
    """
    fields = {"content-type": "application/grpc", "te": "trailers", **headers}
    arguments = ["h2load", "-t", "1", "-c", str(CLIENTS), "-m", str(streams), "-d", str(body)]
    arguments += ["-D", f"{seconds * 1000:.0f}ms", f"--warm-up-time={warm_up_s * 1000:.0f}ms"]
    for name, value in fields.items():
        arguments += ["-H", f"{name}: {value}"]
    with pinned(LOAD_CPU):
        done = subprocess.run(
            [*arguments, f"http://{address}{path}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + warm_up_s + 60,
        )
    if done.returncode:
        raise LoadFailed(f"h2load ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return read_output(done.stdout)


def read_output(text: str) -> Load:
    """Read h2load's summary.

    Raises:
        LoadFailed: some call did not end with HTTP 200, or the summary is not there.
    """
    finished = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)\b", text)
    data = re.search(r"\((\d+)\) data", text)
    if finished is None or counts is None or mean is None or data is None:
        raise LoadFailed("h2load printed no summary")
    done, succeeded, *faults = (int(number) for number in counts.groups())
    if done == 0 or done != succeeded or any(faults):
        raise LoadFailed(f"of {done} calls {done - succeeded} did not end with HTTP 200")
    mean_us = float(mean[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[mean[2]]
    return Load(rate=float(finished[1]), calls=done, mean_us=mean_us, data_bytes=int(data[1]))
