"""The server's certificate files: what is refused at the start, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.gateway.transport.server_certificates import server_credentials
from tests.support.tls_gateways import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_without_a_certificate_there_is_no_tls() -> None:
    assert server_credentials(Settings()) is None


def test_files_that_belong_together_are_taken_with_and_without_callers_authorities(files: Files) -> None:
    assert server_credentials(files.settings()) is not None
    assert server_credentials(files.settings(tls_client_ca=None)) is not None


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("cert", b"nonsense", "PORTCULLIS_TLS_CERT: the file is no PEM"),
        ("key", b"nonsense", "PORTCULLIS_TLS_KEY: the file is no PEM"),
        ("ca", b"nonsense", "PORTCULLIS_TLS_CLIENT_CA: the file holds no PEM"),
        ("cert", None, "can't be read"),
        ("key", None, "can't be read"),
        ("ca", None, "can't be read"),
    ],
)
def test_a_file_that_cant_be_used_is_named(files: Files, file: str, content: bytes | None, told: str) -> None:
    path: Path = getattr(files, file)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupFault, match=told):
        server_credentials(files.settings())


def test_a_key_of_another_certificate_is_refused(files: Files) -> None:
    files.key.write_bytes(files.client("bank.example").pem()[1])
    with pytest.raises(SetupFault, match="PORTCULLIS_TLS_KEY: it is not the key of"):
        server_credentials(files.settings())
