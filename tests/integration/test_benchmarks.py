"""The benchmarks run, from the first process to the written results; their figures are judged elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_lines import REPOSITORY


@pytest.mark.e2e
def test_a_quick_run_measures_everything_that_can_be_measured_here(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--output", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)

    (data,) = tmp_path.glob("*-quick.json")
    run = json.loads(data.read_text())
    measured = {(figure["measured"]["name"], figure["transport"]) for figure in run["figures"]}

    for transport in ("grpcio", "native"):
        assert ("BatchCheck(1,000), misses", transport) in measured
        # Without h2load the run says so and goes on.
        assert (shutil.which("h2load") is not None) == (("Check, miss", transport) in measured)
    assert ("decide(), miss", "") in measured
    assert ("p99 of a check, a change each 0.1 s", "") in measured
    assert all(figure["median"] > 0 for figure in run["figures"])
    assert data.with_suffix(".md").exists()


@pytest.mark.e2e
def test_a_quick_run_measures_the_exchange(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.exchange", "--quick", "--output", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)

    (data,) = tmp_path.glob("*-exchange-quick.json")
    figures = json.loads(data.read_text())["figures"]
    measured = {figure["measured"]["name"].partition(",")[0] for figure in figures}

    assert {
        "journal",
        "ReportEvents",
        "p50 of a RESTRICT",
        "p50 of a RESTRICT above an ALLOW's",
        "longest until the last of 20 watchers has a change",
    } <= measured
    assert all(figure["measured"]["rounds"] and figure["baseline"] for figure in figures)
    assert data.with_suffix(".md").exists()
