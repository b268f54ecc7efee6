"""The embedded stack as a newcomer runs it: a process of its own, in a home of its own, on free ports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portcullis.client import Client, Identifier
from portcullis.demo import lists
from portcullis.mains.metric_files import discard_metric_folder
from portcullis.mains.stack_file import left_behind
from tests.support.processes import end, is_alive, wait_for

ROOT = Path(__file__).resolve().parents[2]
PORTCULLIS = (sys.executable, "-m", "portcullis")
START_S = 60.0
STOP_S = 20.0

_READY = re.compile(r"portcullis ready grpc=(?P<grpc>\S+) home=(?P<home>.+)")


def clean_environment(**more: str) -> dict[str, str]:
    """Give this process's environment without settings of ours, and without proxies."""
    unwanted = ("PORTCULLIS_", "HTTP_PROXY", "HTTPS_PROXY", "GRPC_PROXY", "PROMETHEUS_")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(unwanted)}
    # Dozens of interpreters start here: compiling every import anew would take most of the time.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"PYTHONPYCACHEPREFIX": str(ROOT / ".pytest_cache" / "bytecode")} | more


def portcullis(*arguments: str | Path, timeout_s: float = 60.0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end."""
    command = [*PORTCULLIS, *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def fetch(address: str, path: str) -> tuple[int, str]:
    """Get a page of a status server: its status and text."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


class RunningStack:
    """One `portcullis run`."""

    def __init__(self, home: Path, *arguments: str, umask: int = -1, **environment: str) -> None:
        self.home = home
        self._files = home.parent / f"{home.name}-output"
        self._files.mkdir(exist_ok=True)
        command = [*PORTCULLIS, "run", "--home", str(home), "--grpc-port", "0", "--http-port", "0", *arguments]
        with self.stdout.open("w") as out, self.stderr.open("w") as err:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                umask=umask,
            )

    @property
    def stdout(self) -> Path:
        return self._files / "stdout"

    @property
    def stderr(self) -> Path:
        return self._files / "stderr"

    def wait_until_ready(self) -> None:
        wait_for(lambda: self._ready() or self._ended(), within_s=START_S, what=f"the ready line ({self.stderr})")

    def _ready(self) -> re.Match[str] | None:
        text = self.stdout.read_text()
        return _READY.search(text) if text.endswith("\n") else None

    def _ended(self) -> None:
        if self.process.poll() is not None:
            raise AssertionError(f"the stack ended with {self.process.returncode}: {self.stderr.read_text()}")

    @property
    def grpc(self) -> str:
        ready = self._ready()
        assert ready is not None
        return ready["grpc"]

    @property
    def commands(self) -> list[str]:
        """The commands printed for trying."""
        lines = self.stdout.read_text().splitlines()
        return [line.strip() for line in lines[1:] if line.strip() and not line.strip().startswith("#")]

    @property
    def file(self) -> dict[str, Any]:
        """What stands in run/stack.json."""
        return dict(json.loads((self.home / "run" / "stack.json").read_text()))

    @property
    def http(self) -> str:
        return str(self.file["http"])

    @property
    def children(self) -> Mapping[str, int]:
        return dict(self.file["children"])

    @property
    def keys(self) -> Mapping[str, str]:
        return dict(json.loads((self.home / "demo-keys.json").read_text()))

    def client(self, partner: str, *, timeout_s: float = 5.0) -> Client:
        return Client(self.grpc, api_key=self.keys[partner], timeout_s=timeout_s)

    def metric(self, line: str) -> float:
        """Give the value of one sample, named as it stands in the text format; 0 where it is not there."""
        _, text = fetch(self.http, "/metrics")
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(STOP_S)

    def clean_up(self) -> None:
        """End whatever is left, gently first, then by its process id."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S)
        for pid in left_children(self.home):
            end(pid)
        left = left_behind(self.home)
        if left is not None:
            discard_metric_folder(Path(left.metrics))


def left_children(home: Path) -> list[int]:
    """Give the living processes that run/stack.json names."""
    try:
        children = json.loads((home / "run" / "stack.json").read_text())["children"].values()
    except FileNotFoundError:
        return []
    return [pid for pid in children if is_alive(pid)]


@contextmanager
def running_stack(home: Path, *arguments: str, umask: int = -1, **environment: str) -> Iterator[RunningStack]:
    """Run a stack, ready, while the context lasts; by default with this process's umask."""
    stack = RunningStack(home, *arguments, umask=umask, **environment)
    try:
        stack.wait_until_ready()
        yield stack
    finally:
        stack.clean_up()


def listed_resident(place: int = 0) -> Identifier:
    """Give the resident ID of a row of the demonstration's court list."""
    row = list(lists.rows("court-judgment-defaulters"))[place]
    return Identifier("cn.resident-id", row["identifiers"][0]["value"])


TRANSPORTS = ("grpcio", "native")


@pytest.fixture(scope="session", params=TRANSPORTS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One running stack per transport, with the demonstration; tests leave it as they find it."""
    home = tmp_path_factory.mktemp(f"stack-{request.param}") / "home"
    with running_stack(home, "--transport", request.param) as running:
        yield running
