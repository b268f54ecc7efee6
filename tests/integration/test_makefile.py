"""What `make` says on a machine that lacks something: one line of it, and exit status 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OLD = "#!/bin/sh\nexit 1\n"
WITHOUT_VENV = f"""#!/bin/sh
if [ "$1" = -m ]; then printf 'no ensurepip\\nhere\\n'; exit 1; fi
exec {sys.executable} "$@"
"""


# Of a make that these tests run under, this one must know nothing: it would name itself make[1].
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}


def make(tmp_path: Path, python: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "run", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Give all that was printed but make's own last line, which names the rule."""
    return [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make: ***")]


@pytest.mark.parametrize("script", [OLD, WITHOUT_VENV])
def test_a_python_that_is_too_old_or_has_no_venv_module_is_told_in_one_line(tmp_path: Path, script: str) -> None:
    python = tmp_path / "python"
    python.write_text(script)
    python.chmod(0o755)

    done = make(tmp_path, str(python))

    assert 2 == done.returncode
    (line,) = said(done)
    assert "Python 3.11 or newer with its venv module is needed" in line
    assert "apt-get install python3-venv" in line


@pytest.mark.parametrize("python", ["", "/nowhere/python3"])
def test_no_python_at_all_is_told_in_one_line(tmp_path: Path, python: str) -> None:
    done = make(tmp_path, python)

    assert 2 == done.returncode
    (line,) = said(done)
    assert "Python 3.11 or newer" in line


def test_a_package_index_out_of_reach_is_told_in_one_line(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "", "PIP_RETRIES": "0", "PIP_NO_INDEX": "0"}

    done = make(tmp_path, sys.executable, **nowhere)

    assert 2 == done.returncode
    begun, line = said(done)
    assert "installing into" in begun
    assert "see that the package index can be reached" in line
