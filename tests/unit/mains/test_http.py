import json
import socket
import threading
import urllib.error
import urllib.request
from http import HTTPStatus

import pytest
from prometheus_client import CollectorRegistry, Counter

from portcullis.domain.errors import SetupFault
from portcullis.mains.http import StatusServer
from portcullis.mains.readiness import Check, readiness_of


@pytest.fixture
def serve():
    servers = []

    def start(*checks, registry=None, port=0):
        server = StatusServer("127.0.0.1", port, registry or CollectorRegistry(), lambda: readiness_of(checks))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


def fetch(server, path, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read()


def test_metrics_are_in_the_prometheus_text_format(serve):
    registry = CollectorRegistry()
    Counter("apples_total", "Apples.", registry=registry).inc(3)
    status, body = fetch(serve(registry=registry), "/metrics")
    assert (HTTPStatus.OK, True) == (status, b"apples_total 3.0" in body)
    assert b"_created" not in body


def test_a_living_process_is_healthy_even_when_not_ready(serve):
    assert (HTTPStatus.OK, b"ok\n") == fetch(serve(Check("gateway", lambda: "down")), "/healthz")


def test_ready_when_every_check_passes(serve):
    status, body = fetch(serve(Check("gateway", lambda: None)), "/readyz")
    assert HTTPStatus.OK == status
    assert {"ready": True, "checks": ["gateway"], "failing": {}, "degraded": {}} == json.loads(body)


def test_not_ready_names_the_failing_checks(serve):
    status, body = fetch(serve(Check("gateway", lambda: "NOT_SERVING"), Check("disk", lambda: None)), "/readyz")
    assert HTTPStatus.SERVICE_UNAVAILABLE == status
    assert {"gateway": "NOT_SERVING"} == json.loads(body)["failing"]


def test_a_check_that_is_not_vital_degrades_without_taking_the_traffic_away(serve):
    status, body = fetch(serve(Check("publisher", lambda: "down", vital=False)), "/readyz")
    assert (HTTPStatus.OK, {"publisher": "down"}) == (status, json.loads(body)["degraded"])


def test_a_check_that_breaks_counts_as_failed(serve):
    status, body = fetch(serve(Check("gateway", lambda: 1 / 0)), "/readyz")
    assert HTTPStatus.SERVICE_UNAVAILABLE == status
    assert "ZeroDivisionError" in json.loads(body)["failing"]["gateway"]


def test_head_gives_no_body_and_other_paths_give_404(serve):
    server = serve()
    assert (HTTPStatus.OK, b"") == fetch(server, "/healthz", "HEAD")
    assert HTTPStatus.NOT_FOUND == fetch(server, "/secrets")[0]


def test_a_taken_port_says_what_to_do(serve):
    with pytest.raises(SetupFault, match="--http-port 0"):
        serve(port=serve().port)


def test_idle_callers_are_bounded_and_the_server_outlives_them(serve):
    server = serve()
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(64)]
    try:
        # The turned-away ones see the end of the connection; those kept are at most sixteen threads.
        for sock in idle[-8:]:
            sock.settimeout(5)
            assert b"" == sock.recv(1)
        assert 16 >= threading.active_count() - before
    finally:
        for sock in idle:
            sock.close()
    for _ in range(100):
        try:
            assert HTTPStatus.OK == fetch(server, "/healthz")[0]
            break
        except (urllib.error.URLError, ConnectionError):
            continue
