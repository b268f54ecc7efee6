"""Posting to a real receiver: bounded in time and size, and never where it should not."""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator

import pytest

from portcullis.adapters.http_delivery import MAX_BODY_BYTES, HttpDelivery
from portcullis.ports.relay import DeliveryFault, Fault
from tests.support.relays import TRUST
from tests.support.web_receivers import WebReceiver, free_port, hang_up, status, web_receiver


@pytest.fixture
async def poster() -> AsyncIterator[HttpDelivery]:
    opened = HttpDelivery(timeout_s=2.0, trust=TRUST)
    yield opened
    await opened.close()


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as running:
        yield running


async def post(poster: HttpDelivery, url: str, authorization: str = "Bearer made-up") -> object:
    return await poster.post(url, b"token", content_type="application/secevent+jwt", authorization=authorization)


async def test_a_body_is_posted_with_its_type_and_the_receivers_header(poster: HttpDelivery, receiver: WebReceiver) -> None:
    reply = await poster.post(receiver.url, b"token", content_type="application/secevent+jwt", authorization="Bearer x")

    assert (202, b"", None) == reply
    assert [b"token"] == receiver.bodies
    assert ("application/secevent+jwt", "application/json", "Bearer x") == tuple(
        receiver.headers[0][name] for name in ("content-type", "accept", "authorization")
    )


async def test_without_a_header_none_is_sent(poster: HttpDelivery, receiver: WebReceiver) -> None:
    await post(poster, receiver.url, authorization="")

    assert "authorization" not in receiver.headers[0]


async def test_an_answer_is_given_whatever_its_status(poster: HttpDelivery, receiver: WebReceiver) -> None:
    receiver.faults = deque(
        [status(503, b"busy", retry_after="17"), status(429, retry_after="Mon, 23 Nov 2026 00:00:00 GMT")]
    )

    assert (503, b"busy", 17.0) == await post(poster, receiver.url)
    assert (429, b"", None) == await post(poster, receiver.url)


async def test_of_a_long_answer_only_the_beginning_is_read(poster: HttpDelivery, receiver: WebReceiver) -> None:
    receiver.faults = deque([status(400, b"x" * (4 * MAX_BODY_BYTES))])

    reply = await poster.post(receiver.url, b"token", content_type="text/plain", authorization="")

    assert (400, MAX_BODY_BYTES) == (reply.status, len(reply.body))


async def test_a_redirect_is_an_answer_like_another(poster: HttpDelivery, receiver: WebReceiver) -> None:
    with web_receiver() as elsewhere:
        receiver.faults = deque([status(308, location=elsewhere.url)])
        reply = await poster.post(receiver.url, b"token", content_type="text/plain", authorization="Bearer made-up")

        assert 308 == reply.status
        assert [] == elsewhere.bodies


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "",
        "https://user@receiver.example/",
        "file:///etc",
    ],
)
async def test_a_url_that_may_not_be_posted_to_is_refused(poster: HttpDelivery, url: str) -> None:
    with pytest.raises(DeliveryFault) as fault:
        await post(poster, url)

    assert Fault.ENDPOINT == fault.value.fault


async def test_a_receiver_that_is_down_or_hangs_up_is_a_fault_of_the_connection(
    poster: HttpDelivery, receiver: WebReceiver
) -> None:
    receiver.faults = deque([hang_up])
    for url in (receiver.url, f"http://127.0.0.1:{free_port()}/"):
        with pytest.raises(DeliveryFault) as fault:
            await post(poster, url)
        assert Fault.CONNECTION == fault.value.fault
        assert url not in fault.value.message


async def test_a_receiver_that_drips_its_answer_is_given_up_in_time() -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 100000\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        poster = HttpDelivery(timeout_s=0.2, trust=TRUST)
        try:
            with pytest.raises(DeliveryFault) as fault:
                await post(poster, f"http://127.0.0.1:{server.getsockname()[1]}/")
        finally:
            stop.set()
            thread.join()
            await poster.close()
    assert Fault.TIMEOUT == fault.value.fault


async def test_a_receiver_that_speaks_no_tls_is_not_posted_to(poster: HttpDelivery, receiver: WebReceiver) -> None:
    with pytest.raises(DeliveryFault) as fault:
        await post(poster, receiver.url.replace("http://", "https://"))

    assert fault.value.fault in {Fault.TLS, Fault.CONNECTION}
    assert [] == receiver.bodies


async def test_nothing_of_a_post_is_logged(
    poster: HttpDelivery, receiver: WebReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await post(poster, f"{receiver.url}?secret=made-up")

    assert not [record for record in caplog.records if "made-up" in record.getMessage() or "secret" in record.getMessage()]
