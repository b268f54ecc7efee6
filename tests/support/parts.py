"""The production form: each part a plain process, told everything by its environment."""

from __future__ import annotations

import signal
import socket
import subprocess
from http import HTTPStatus
from pathlib import Path

from tests.support.processes import wait_for
from tests.support.stack import PORTCULLIS, ROOT, START_S, STOP_S, clean_environment, fetch


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Part:
    """One `portcullis serve PART`, in the place of one that was killed where that is given."""

    def __init__(self, part: str, folder: Path, number: int = 0, *, after: Part | None = None, **environment: str) -> None:
        self.name = f"{part}-{number}"
        self.grpc = after.grpc if after else f"127.0.0.1:{free_port()}"
        self.http = after.http if after else f"127.0.0.1:{free_port()}"
        self.stderr = folder / f"{self.name}.stderr"
        ports = {
            "PORTCULLIS_GRPC_PORT": self.grpc.rpartition(":")[2],
            "PORTCULLIS_HTTP_PORT": self.http.rpartition(":")[2],
        }
        with self.stderr.open("w") as err:
            self.process = subprocess.Popen(
                [*PORTCULLIS, "serve", part],
                cwd=ROOT,
                env=clean_environment(**environment, **ports),
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
            )

    def is_ready(self) -> bool:
        assert self.process.poll() is None, f"{self.name} ended: {self.stderr.read_text()}"
        try:
            return fetch(self.http, "/readyz")[0] == HTTPStatus.OK
        except OSError:
            return False

    def wait_until_ready(self) -> None:
        wait_for(self.is_ready, within_s=START_S, what=f"the readiness of {self.name}", every_s=0.1)

    def stop(self) -> int:
        """Ask it to stop, as an orchestrator does; gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S)
