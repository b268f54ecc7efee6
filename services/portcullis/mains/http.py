"""The status server: /metrics, /healthz and /readyz, and nothing else.

It answers a few callers at a time and turns the rest away, so a slow or hostile scraper can't take the process with it.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, disable_created_metrics, generate_latest

from portcullis.domain.errors import SetupFault
from portcullis.mains.listening import taken
from portcullis.mains.readiness import Readiness

_AT_ONCE = 16
_REQUEST_TIMEOUT_S = 5.0
_OPTION = "--http-port"


class StatusServer:
    """Serves one process's metrics and health over HTTP, from threads of its own."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, readiness: Callable[[], Readiness]) -> None:
        """Bind the port; 0 takes a free one.

        Raises:
            SetupFault: the port is taken, or the address can't be bound.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        try:
            self._server = _Server(host, port, registry, readiness)
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                raise taken(host, port, _OPTION) from fault
            raise SetupFault(
                f"port {port} of {host} can't be bound ({fault.strerror}); choose another with {_OPTION} PORT"
            ) from fault
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="status", daemon=True)

    @property
    def port(self) -> int:
        """The port bound."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give up the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, registry: CollectorRegistry, readiness: Callable[[], Readiness]) -> None:
        self.registry = registry
        self.readiness = readiness
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for this host's name, which can take seconds and serves nothing here.
        socket_server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a caller that went away is not this server's fault."""


def socket_server_bind(server: ThreadingHTTPServer) -> None:
    """Bind without looking the host's name up."""
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.socket.bind(server.server_address)
    server.server_address = server.socket.getsockname()
    server.server_name, server.server_port = str(server.server_address[0]), int(server.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_TIMEOUT_S
    server_version = "portcullis"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        elif path == "/healthz":
            self._answer(HTTPStatus.OK, "text/plain; charset=utf-8", b"ok\n")
        elif path == "/readyz":
            readiness = self.server.readiness()
            status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, "application/json", readiness.to_json())
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n")

    do_HEAD = do_GET  # noqa: N815 - the base class's naming

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Name the fault by its standard phrase alone: the base class tells what was sent, and that may be anything."""
        status = HTTPStatus(code)
        self.close_connection = True
        # A request that can't be read is one of HTTP 0.9 to the base class, whose answers have no status.
        self.request_version = "HTTP/1.0"
        self.command = getattr(self, "command", None) or ""
        self.requestline = ""
        self._answer(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's naming
        """Keep scrapes out of the log."""
