"""The results: what is written, and what is not."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, Floor, Series
from benchmarks.machine import Machine, describe_machine
from benchmarks.report import Profile, Run, markdown, terminal_table, write

MACHINE = Machine(
    cpu="Example CPU (R) 3000",
    cores=2,
    memory_gib=4.0,
    kernel="Linux 6.1 x86_64",
    python="CPython 3.11.7",
    filesystem="ext4",
    versions={"grpcio": "1.0"},
)
MISSED = Figure(
    measured=Series("Check, miss", "calls/s", (60.0, 60.0)),
    baseline=Series("echo of miss", "calls/s", (100.0, 100.0)),
    transport="native",
    floor=Floor("ratio", "at least", 0.75),
)


def run(*, quick: bool = False) -> Run:
    return Run(
        at=datetime(2090, 1, 2, 3, 4, tzinfo=UTC),
        quick=quick,
        machine=MACHINE,
        entries=1000,
        figures=(MISSED,),
        notes=("a note",),
        profiles=(Profile("Check, miss", "native", ("a dear function",)),),
    )


def test_results_are_named_by_date_and_machine(tmp_path: Path) -> None:
    data, page = write(run(), tmp_path)

    assert "2090-01-02-example-cpu-r-3000-2-cores.json" == data.name
    assert "2090-01-02-example-cpu-r-3000-2-cores.md" == page.name


def test_the_data_hold_rounds_medians_ratios_and_verdicts(tmp_path: Path) -> None:
    data, _ = write(run(), tmp_path)
    (figure,) = json.loads(data.read_text())["figures"]

    assert [60.0, 60.0] == figure["measured"]["rounds"]
    assert (60.0, 0.6, False) == (figure["median"], figure["ratio"], figure["met"])


def test_a_missed_floor_is_said_with_its_distance_and_profile() -> None:
    page = markdown(run())

    assert "**missed**" in page
    assert "0.60 where ratio ≥ 0.75 is asked, short by 20%" in page
    assert "a dear function" in page


def test_a_quick_run_judges_nothing() -> None:
    page = markdown(run(quick=True))

    assert "missed" not in page
    assert "not for judging" in page
    assert "missed" not in terminal_table(run(quick=True))


def test_the_machine_is_described_without_its_name(tmp_path: Path) -> None:
    machine = describe_machine(tmp_path)

    assert platform.node() not in str(machine)
    assert machine.cores >= 1
