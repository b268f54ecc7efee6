import os
import socket

import pytest

from portcullis.domain.errors import SetupFault
from portcullis.mains.listening import dialled, holder_of, reserve_port


def listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def test_port_zero_takes_a_free_port():
    with reserve_port("127.0.0.1", 0, "--grpc-port") as reservation:
        assert 0 != reservation.getsockname()[1]


def test_a_taken_port_is_refused_with_its_holder_and_what_to_do():
    with listening() as sock, pytest.raises(SetupFault) as refused:
        reserve_port("127.0.0.1", sock.getsockname()[1], "--grpc-port")
    assert f"process {os.getpid()} " in str(refused.value)
    assert "--grpc-port 0" in str(refused.value)


def test_a_port_that_another_stack_shares_with_its_workers_is_taken():
    with reserve_port("127.0.0.1", 0, "--grpc-port") as other, pytest.raises(SetupFault, match="taken"):
        reserve_port("127.0.0.1", other.getsockname()[1], "--grpc-port")


def test_a_reservation_lets_workers_listen_and_takes_no_connection_itself():
    with reserve_port("127.0.0.1", 0, "--grpc-port") as reservation, socket.socket() as worker:
        port = reservation.getsockname()[1]
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", port))
        worker.listen()
        worker.settimeout(5)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                worker.accept()[0].close()


def test_an_unknown_host_is_refused_with_the_variable_to_mend():
    with pytest.raises(SetupFault, match="PORTCULLIS_GRPC_HOST"):
        reserve_port("no-such-host.invalid", 0, "--grpc-port")


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(SetupFault, match="can't be bound"):
        reserve_port("192.0.2.1", 0, "--http-port")


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("127.0.0.1", "127.0.0.1:5"),
        ("0.0.0.0", "127.0.0.1:5"),
        ("::", "[::1]:5"),
        ("::1", "[::1]:5"),
        ("example", "example:5"),
    ],
)
def test_a_listening_address_is_dialled_where_this_machine_reaches_it(host, target):
    assert target == dialled(host, 5)


def test_nobody_holds_a_free_port():
    with reserve_port("127.0.0.1", 0, "--grpc-port") as reservation:
        assert "" == holder_of(reservation.getsockname()[1])


def test_a_port_on_which_a_dead_servers_connections_time_out_can_be_had() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            # Who closes first keeps the connection in TIME_WAIT.
            accepted.close()

    with reserve_port("127.0.0.1", port, "--grpc-port") as reservation:
        assert port == reservation.getsockname()[1]
