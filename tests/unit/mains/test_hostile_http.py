"""Bytes that are no request, to the status server: it answers with an error that tells nothing back, and goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from portcullis.mains.http import StatusServer
from portcullis.mains.readiness import readiness_of
from tests.support.people import resident_id

CANARY = resident_id(90_001).value.encode()

pieces = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"GET ", b"PUT ", CANARY, b" /metrics", b"/healthz?x=", b" HTTP/1.1", b" HTTP/9.9", b"HTTP/x", b"\r\n"]
    ),
    st.sampled_from([b"\r\n\r\n", b"\0", b"Host: a\r\n", b"Content-Length: -1\r\n", b"Expect: 100-continue\r\n"]),
    st.sampled_from([b"h: v\r\n", b"Transfer-Encoding: chunked\r\n", b": \r\n", b" folded\r\n", b"\xed\xa0\x80"]),
)


@pytest.fixture(scope="module")
def server() -> Iterator[StatusServer]:
    served = StatusServer("127.0.0.1", 0, CollectorRegistry(), lambda: readiness_of(()))
    served.start()
    yield served
    served.close()


def answer(server: StatusServer, sent: bytes) -> bytes:
    """Send bytes and nothing more, and read until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        heard = b""
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65_536):
                heard += data
        except OSError:
            # It need not read to the end what it refuses.
            pass
        return heard


@settings(max_examples=60)
@given(st.lists(st.tuples(pieces, st.sampled_from([1, 1, 1, 300, 4000])), max_size=8))
def test_no_bytes_stop_it_and_none_are_told_back(server: StatusServer, given: list[tuple[bytes, int]]) -> None:
    assert CANARY not in answer(server, b"".join(piece * times for piece, times in given))
    assert answer(server, b"GET /healthz HTTP/1.0\r\n\r\n").endswith(b"ok\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (CANARY + b" /metrics HTTP/1.1\r\n\r\n", b"501"),
        (b"GET " + CANARY + b" and " + CANARY + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/" + CANARY + b"\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1." + CANARY + b"\r\n\r\n", b"400"),
        (b"GET /" + CANARY + b"A" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /" + CANARY + b" HTTP/1.1\r\n\r\n", b"404"),
    ],
)
def test_an_error_names_its_kind_and_nothing_that_was_sent(server: StatusServer, sent: bytes, status: bytes) -> None:
    heard = answer(server, sent)
    assert status in heard.partition(b"\r\n")[0]
    assert CANARY not in heard
