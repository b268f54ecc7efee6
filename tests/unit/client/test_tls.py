"""TLS credentials from files."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from portcullis.client import tls_credentials
from tests.support.tls_gateways import LENDER, Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_credentials_are_made_of_as_many_files_as_are_needed(files: Files, tmp_path: Path) -> None:
    own = [tmp_path / "own.crt", tmp_path / "own.key"]
    for path, data in zip(own, files.client(LENDER).pem(), strict=True):
        path.write_bytes(data)
    for given in ((), (files.ca,), (str(files.ca), *own), (None, *own)):
        assert isinstance(tls_credentials(*given), grpc.ChannelCredentials)


def test_a_certificate_without_its_key_is_refused(files: Files) -> None:
    for given in ({"cert": files.cert}, {"key": files.key}):
        with pytest.raises(ValueError, match="both or neither"):
            tls_credentials(files.ca, **given)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.crt"):
        tls_credentials(tmp_path / "nothing.crt")
