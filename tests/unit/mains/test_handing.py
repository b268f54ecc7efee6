from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.mains import handing
from portcullis.mains.configuring import read_settings
from portcullis.mains.environments import child_environment, plain_environment

URL = "postgresql://registry:hush@db/registry"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, grpc_port=1234, drain_s=0.5, transport="native", registry_url=URL)


@pytest.fixture
def descriptor(settings: Settings, tmp_path: Path) -> Iterator[int]:
    descriptor = handing.hand_over(settings, tmp_path)
    yield descriptor
    os.close(descriptor)


def test_a_child_reads_exactly_its_parents_settings(
    settings: Settings, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(handing.VARIABLE, str(descriptor))

    assert settings == read_settings()
    assert settings == read_settings(), "it can be read again"


def test_what_the_childs_command_line_says_comes_first(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(handing.VARIABLE, str(descriptor))

    assert (7, "native") == (read_settings(grpc_port=7).grpc_port, read_settings(transport=None).transport)


def test_brothers_read_the_same_at_any_time(settings: Settings, descriptor: int) -> None:
    program = "from portcullis.mains.configuring import read_settings; print(read_settings().registry_url)"
    for _ in range(2):
        told = subprocess.run(
            [sys.executable, "-c", program],
            env=child_environment({handing.VARIABLE: str(descriptor)}),
            pass_fds=[descriptor],
            capture_output=True,
            text=True,
            check=True,
        )
        assert settings.registry_url == told.stdout.strip()


def test_no_file_is_left_where_the_system_has_none_in_memory(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = handing.hand_over(settings, tmp_path)
    monkeypatch.setenv(handing.VARIABLE, str(descriptor))
    try:
        assert settings == read_settings()
        assert [] == list(tmp_path.iterdir())
    finally:
        os.close(descriptor)


def test_whoever_was_handed_nothing_reads_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(handing.VARIABLE, raising=False)

    assert handing.taken_over() is None


@pytest.mark.parametrize("number", ["", "x", "-1", "999999"])
def test_a_variable_that_names_no_settings_is_refused_in_one_line(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(handing.VARIABLE, number)
    with pytest.raises(SetupFault, match="unset it"):
        read_settings()


def test_a_part_finds_no_variable_of_its_parents_settings() -> None:
    given = {
        "PATH": "/bin",
        "PORTCULLIS_API_KEY": "hush",
        "PORTCULLIS_CONFIG": "/etc/x.toml",
        "PORTCULLIS_REGISTRY_URL": URL,
    }

    assert {"PATH": "/bin", "EXTRA": "1"} == child_environment({"EXTRA": "1"}, given)


def test_a_foreign_program_finds_only_how_to_find_and_write_things() -> None:
    given = {
        "PATH": "/bin",
        "TZ": "UTC",
        "PORTCULLIS_REGISTRY_URL": URL,
        "PGPASSWORD": "hush",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }

    assert {"PATH": "/bin", "TZ": "UTC"} == plain_environment(given)
