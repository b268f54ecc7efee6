"""The benchmark runs, from the first process to the written results; its figures are judged elsewhere."""

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
