"""A receiver of events over HTTP, on a free port of loopback, that can be made to misbehave."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes, dict[str, str]]

ACCEPTED: Answer = (202, b"", {})


def status(code: int, body: bytes = b"", **headers: str) -> Callable[[], Answer]:
    """Answer with a status; underscores in the names of headers are hyphens."""
    return lambda: (code, body, {name.replace("_", "-"): value for name, value in headers.items()})


def hang_up() -> Answer:
    """Take the event, then close the connection without an answer."""
    raise ConnectionAbortedError


@dataclass
class WebReceiver:
    """What was received. ``bodies`` are those that were taken, in their order; ``faults`` are what comes first."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: deque[Callable[[], Answer]] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: bytes, headers: dict[str, str]) -> Answer:
        with self.lock:
            fault = self.faults.popleft() if self.faults else None
        if fault is None or fault is hang_up:
            with self.lock:
                self.bodies.append(body)
                self.headers.append(headers)
        return ACCEPTED if fault is None else fault()


@contextmanager
def web_receiver(port: int = 0) -> Iterator[WebReceiver]:
    """Run a receiver."""
    receiver = WebReceiver()
    server = _Server(("127.0.0.1", port), _Handler)
    server.receiver = receiver
    receiver.url = f"http://127.0.0.1:{server.server_port}/events"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.close_connections()
        server.server_close()
        thread.join()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server(ThreadingHTTPServer):
    receiver: WebReceiver
    daemon_threads = False
    block_on_close = True

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close_connections(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A hung-up connection is meant."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # whoever posted it has died
            self.close_connection = True
            return
        try:
            code, text, headers = self.server.receiver.answer(body, {k.lower(): v for k, v in self.headers.items()})
        except ConnectionAbortedError:
            self.close_connection = True
            return
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Keep it quiet."""
