"""Settings that can't be are told by their variable, and never with their value."""

from __future__ import annotations

import pytest

from portcullis.domain.errors import SetupFault
from portcullis.mains.configuring import read_settings

SECRET = "hush"


@pytest.mark.parametrize(
    "url", [f"foo:{SECRET}@bar", f"http://:{SECRET}@bar", f"redis://:{SECRET}@bar:x", "redis:", "bar:6379"]
)
def test_a_store_that_no_client_can_read_is_refused_in_one_line_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTCULLIS_REDIS_URL", url)
    with pytest.raises(SetupFault) as caught:
        read_settings()
    (line,) = caught.value.message.splitlines()
    assert line.startswith("PORTCULLIS_REDIS_URL: must be redis://HOST:PORT")
    assert SECRET not in line


@pytest.mark.parametrize("url", ["", "redis://bar", "redis://:p@bar:6379/0", "rediss://bar:1", "unix:///run/valkey.sock"])
def test_a_store_of_any_kind_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_REDIS_URL", url)
    assert url == read_settings().redis_url
