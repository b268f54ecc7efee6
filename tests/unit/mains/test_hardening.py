"""What a process of ours holds from its first line on; looked at in processes of their own, for it can't be undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import PORTCULLIS, ROOT, clean_environment

OPEN_TO_ALL = 0o077


def run(command: list[str], cwd: Path) -> None:
    """Run a command that a careless shell has started: new files are everybody's."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(PYTHONPATH=str(ROOT / "services")),
        umask=0,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr


def test_new_files_are_private_and_no_core_is_dumped_nor_can_be_again(tmp_path: Path) -> None:
    program = """
import resource
from pathlib import Path
from portcullis.mains.hardening import harden
harden()
Path("made").touch()
Path("folder").mkdir()
assert (0, 0) == resource.getrlimit(resource.RLIMIT_CORE)
"""
    run([sys.executable, "-c", program], tmp_path)

    assert (0o600, 0o700) == ((tmp_path / "made").stat().st_mode & 0o777, (tmp_path / "folder").stat().st_mode & 0o777)


def test_a_child_inherits_both(tmp_path: Path) -> None:
    child = "import os, resource; assert (0o077, (0, 0)) == (os.umask(0), resource.getrlimit(resource.RLIMIT_CORE))"
    program = f"""
import subprocess, sys
from portcullis.mains.hardening import harden
harden()
subprocess.run([sys.executable, "-c", {child!r}], check=True)
"""
    run([sys.executable, "-c", program], tmp_path)


@pytest.mark.parametrize("made_by", ["the command", "the module"])
def test_whatever_a_command_makes_is_its_owners_alone(tmp_path: Path, made_by: str) -> None:
    script = Path(sys.prefix) / "bin" / "portcullis"
    command = [str(script)] if made_by == "the command" else list(PORTCULLIS)
    run([*command, "keys", "init", "--home", str(tmp_path / "home")], tmp_path)

    made = list((tmp_path / "home").rglob("*"))
    assert made
    assert [] == [path for path in made if path.stat().st_mode & OPEN_TO_ALL]
