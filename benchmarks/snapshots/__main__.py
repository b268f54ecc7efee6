"""``make bench-snapshot``: import, publish, first sync, warm start and delta latency, at one size after the other.

The exit status is 0 when everything was measured, whether or not the floors are met (the table says so).
"""

from __future__ import annotations

import argparse
import compileall
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report
from benchmarks.command import RESULTS, say
from benchmarks.machine import describe_machine
from benchmarks.processes import REPOSITORY
from benchmarks.snapshots import baselines, growth, measuring, outage, registries
from benchmarks.snapshots.parts import stand_on

SIZES = (1_000_000, 10_000_000, 15_000_000)
CHANGES = 400


def main() -> None:
    """Read the arguments, run, and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshots", description=__doc__)
    parser.add_argument("--sizes", type=_sizes, default=SIZES, metavar="N,N", help="how many entries, in turn")
    parser.add_argument("--changes", type=int, default=CHANGES, help="how many changes are timed at each size")
    parser.add_argument("--registries", type=Path, help="keep the registries here, and take those that are here already")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    arguments = parser.parse_args()
    with ExitStack() as held:
        folder = arguments.registries or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-bench-")))
        run = measure(folder, arguments.sizes, arguments.changes)
    data, page = growth.write(run, arguments.output)
    print(f"\n{growth.markdown(run)}\nwritten: {page}\n         {data}")


def measure(folder: Path, sizes: tuple[int, ...], changes: int) -> growth.Growth:
    """Measure every size; ``folder`` takes the registries."""
    at = report.now()
    # As it is where the package is installed; a checkout may be on a machine that writes no bytecode by itself.
    compileall.compile_dir(REPOSITORY / "services" / "portcullis", quiet=1)
    found = []
    base: growth.Baselines | None = None
    dead: outage.Outage | None = None
    for home, built in registries.build(folder, sizes):
        say(f"{built.entries:,} entries")
        base = base or _baselines(home)
        found.append(measuring.measure(home, built, changes))
        if dead is None:
            say("checks without Valkey and publisher")
            dead = outage.measure(home)
    assert base is not None  # noqa: S101 - there is at least one size
    return growth.Growth(at=at, machine=describe_machine(folder), baselines=base, sizes=tuple(found), outage=dead)


def _baselines(home: Path) -> growth.Baselines:
    with stand_on(home) as stand:
        return growth.Baselines(
            rows_per_s=baselines.raw_rows_per_s(stand.home),
            records_per_s=baselines.raw_records_per_s(stand.home),
            start_s=baselines.start_s(),
            visible_s=tuple(baselines.raw_visible_s(stand, 100)),
        )


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(each.replace("_", "")) for each in text.split(","))


if __name__ == "__main__":
    main()
