"""The relay's port, as whoever reaches it may use it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI

from portcullis.mains import held_connections
from portcullis.mains.held_connections import HeldConnection

WITHIN_S = 10.0


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(held_connections, "ASK_WITHIN_S", 0.3)
    monkeypatch.setattr(held_connections, "MAX_CONNECTIONS", 4)
    app = FastAPI()

    @app.get("/")
    def answer() -> dict[str, str]:
        return {}

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=HeldConnection, ws="none", log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join()


def opened(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=WITHIN_S)


def is_dropped(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: "])
def test_a_connection_that_asks_nothing_is_dropped(address: tuple[str, int], said: bytes) -> None:
    with opened(address) as connection:
        connection.sendall(said)

        assert is_dropped(connection)


def test_a_connection_that_has_asked_once_is_not_kept_for_ever(address: tuple[str, int]) -> None:
    with opened(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"{}"):
            answer += connection.recv(4096)
        connection.sendall(b"GET / HTT")

        assert is_dropped(connection)


def test_one_connection_too_many_is_dropped_and_the_others_are_answered(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_connections, "ASK_WITHIN_S", 60.0)
    connections = [opened(address) for _ in range(5)]

    assert is_dropped(connections[-1])
    connections[0].sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert connections[0].recv(12) == b"HTTP/1.1 200"
    for each in connections:
        each.close()
