"""The benchmarks run, from the first process to the written results; their figures are judged elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_lines import REPOSITORY

# What hangs is to be found, and a slow machine is not to fail.
_LONGEST_S = 300
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(_LONGEST_S + 20)]

needs_h2load = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load (nghttp2-client) is not installed")


def quick_run(module: str, folder: Path) -> list[dict[str, Any]]:
    """Run a benchmark in its quick form; gives its figures."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--quick", "--output", folder],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    written = sorted(folder.glob("*-quick.json"))
    assert written
    assert all(data.with_suffix(".md").exists() for data in written)
    figures: list[dict[str, Any]] = [each for data in written for each in json.loads(data.read_text())["figures"]]
    assert all(figure["measured"]["rounds"] for figure in figures)
    return figures


def measured(figures: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Give what was measured and on which transport; of a name what stands before its first comma."""
    return {(figure["measured"]["name"].partition(",")[0], figure["transport"]) for figure in figures}


def test_a_quick_run_measures_everything_that_can_be_measured_here(tmp_path: Path) -> None:
    figures = quick_run("benchmarks", tmp_path)
    names = {(figure["measured"]["name"], figure["transport"]) for figure in figures}

    for transport in ("grpcio", "native"):
        assert ("BatchCheck(1,000), misses", transport) in names
        # Without h2load the run says so and goes on.
        assert (shutil.which("h2load") is not None) == (("Check, miss", transport) in names)
    assert ("decide(), miss", "") in names
    assert ("p99 of a check, a change each 0.1 s", "") in names
    assert all(figure["median"] > 0 for figure in figures)


def test_a_quick_run_measures_the_exchange(tmp_path: Path) -> None:
    figures = quick_run("benchmarks.exchange", tmp_path)

    assert {
        ("journal", ""),
        ("ReportEvents", "grpcio"),
        ("ReportEvents", "native"),
        ("p50 of a RESTRICT", "grpcio"),
        ("p50 of a RESTRICT above an ALLOW's", "grpcio"),
        ("longest until the last of 20 watchers has a change", "grpcio"),
    } <= measured(figures)
    assert all(figure["baseline"] for figure in figures)


def test_a_quick_run_measures_floods_of_two_sizes_on_each_transport(tmp_path: Path) -> None:
    figures = quick_run("benchmarks.fairness", tmp_path)

    assert ["grpcio"] * 4 + ["native"] * 4 == [figure["transport"] for figure in figures]
    assert all(figure["baseline"] for figure in figures)


@needs_h2load
def test_a_quick_run_measures_overload_and_attacks_before_and_behind_envoy(tmp_path: Path) -> None:
    pytest.importorskip("envoy", reason="there is no Envoy for this platform")
    figures = measured(quick_run("benchmarks.overload", tmp_path))

    assert {"grpcio", "native", "Envoy, grpcio", "Envoy, native"} == {transport for _, transport in figures}
    for transport in ("grpcio", "native", "Envoy, grpcio", "Envoy, native"):
        assert any(name.endswith(": memory taken") for name, of in figures if of == transport)
