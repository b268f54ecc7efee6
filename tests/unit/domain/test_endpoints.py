"""Where events may be sent to."""

from __future__ import annotations

import pytest

from portcullis.domain.endpoints import is_https, is_loopback


@pytest.mark.parametrize(
    "url", ["https://receiver.example/events", "https://receiver.example:8443/a?b=c", "https://[::1]/x"]
)
def test_https_is_known(url: str) -> None:
    assert is_https(url)
    assert not is_loopback(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "http://localhost/x", "http://[::1]:80/x", "http://127.9.9.9/"])
def test_plain_http_is_for_this_host_alone(url: str) -> None:
    assert is_loopback(url)
    assert not is_https(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "receiver.example",
        "http://receiver.example/",
        "http://127.0.0.1.receiver.example/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "https://",
        "https:///path",
        "https://user@receiver.example/",
        "https://receiver.example/#part",
        "https://receiver.example/ x",
        "https://receiver.example:0/",
        "https://receiver.example:port/",
        "https://receiver.example/\n",
        "https://receiver.exämple/",
        "https://receiver.example/" + "x" * 512,
    ],
)
def test_anything_else_is_no_endpoint(url: str) -> None:
    assert not is_https(url)
    assert not is_loopback(url)
