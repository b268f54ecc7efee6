"""The open-loop driver speaks to a real gRPC server, and its times count from the due moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from benchmarks.http2 import Call, header_blocks
from benchmarks.openloop import CallFailed, Plan, run

METHOD = "Say"
SERVICE = "portcullis.tests.Echo"


@pytest.fixture
def address() -> Iterator[str]:
    handlers = {METHOD: grpc.unary_unary_rpc_method_handler(lambda request, _: request)}
    handlers["Refuse"] = grpc.unary_unary_rpc_method_handler(
        lambda _, context: context.abort(grpc.StatusCode.UNAVAILABLE, "no")
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def plan(address: str, method: str = METHOD, message: bytes = b"x" * 100, **changes: object) -> Plan:
    host, _, port = address.rpartition(":")
    call = Call(
        host=host,
        port=int(port),
        path=f"/{SERVICE}/{method}",
        headers={"authorization": "Bearer " + "k" * 200},
        message=message,
    )
    given = {
        "call": call,
        "rate": 200.0,
        "seconds": 0.5,
        "warm_up_s": 0.1,
        "connections": 2,
        **changes,
    }
    return Plan(**given)


def test_every_call_that_was_due_is_answered_and_timed(address: str) -> None:
    times = run(plan(address))

    assert 50 < times.calls < 150
    assert 0 < times.p50_us <= times.p99_us


def test_windows_are_waited_for_so_that_large_messages_go_through(address: str) -> None:
    assert run(plan(address, message=b"x" * 50_000, rate=50.0)).calls > 0


def test_what_is_refused_is_no_time(address: str) -> None:
    with pytest.raises(CallFailed, match="refused"):
        run(plan(address, method="Refuse"))


def test_a_server_that_goes_away_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        closer = threading.Thread(target=lambda: [listener.accept()[0].close() for _ in range(2)])
        closer.start()
        with pytest.raises((CallFailed, OSError)):
            run(plan(f"{host}:{port}"))
        closer.join()


def test_headers_are_entered_into_the_table_once() -> None:
    first, later = header_blocks({"a": "1", "b": "2"})

    # RFC 7541: literals with incremental indexing, then indices; the newest entry is 62.
    assert b"\x40\x01a\x011\x40\x01b\x012" == first
    assert bytes((0x80 | 63, 0x80 | 62)) == later
