from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_homes import portcullis


def test_each_wrong_setting_is_one_line_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTCULLIS_GRPC_PORT", "secret-value")
    monkeypatch.setenv("PORTCULLIS_WORKERS", "0")

    assert 2 == portcullis("doctor")

    told = capsys.readouterr().err
    assert ["PORTCULLIS_GRPC_PORT", "PORTCULLIS_WORKERS"] == [line.split(": ")[1] for line in told.splitlines()]
    assert "secret-value" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "can't be read"), ("home = ", "no TOML"), ('nonsense = "x"', "nonsense: no such setting")],
)
def test_a_faulty_file_of_settings_is_named(
    text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("PORTCULLIS_CONFIG", str(file))

    assert 2 == portcullis("doctor")

    assert said in capsys.readouterr().err


def test_an_option_comes_before_the_variable_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORTCULLIS_HOME", str(tmp_path / "variable"))

    portcullis("snapshot", "show", "--home", str(tmp_path / "option"))

    assert str(tmp_path / "option") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"TLS_CERT": "a"}, "PORTCULLIS_TLS_KEY"),
        ({"TLS_KEY": "a"}, "PORTCULLIS_TLS_KEY"),
        ({"TLS_CLIENT_CA": "a"}, "PORTCULLIS_TLS_CLIENT_CA"),
        ({"TLS_CERT": "a", "TLS_KEY": "b", "TRANSPORT": "native"}, "PORTCULLIS_TLS_CERT"),
        ({"FORWARDED_BY": "envoy.example"}, "PORTCULLIS_FORWARDED_BY"),
    ],
)
def test_tls_by_halves_is_refused_by_the_setting_that_lacks_the_other(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"PORTCULLIS_{name}", value)

    assert 2 == portcullis("doctor")

    assert [named] == [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
