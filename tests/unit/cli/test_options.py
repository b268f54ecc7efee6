"""A secret of the command line may come by file, so that no argument and no variable holds it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import typer

from portcullis.cli.options import text_or_file
from tests.support.command_homes import portcullis
from tests.support.scripted_gateway import ScriptedGateway, serving

KEY = "pcl_abcdefgh_hush"
ASKED = ("check", "--action", "rail.ticket.purchase", "--purpose", "ticketing", "--id", "passport:XB:XA12345678")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return path


def test_what_a_file_holds_is_read_without_its_line_end(file: Path) -> None:
    assert KEY == text_or_file(f"@{file}")


def test_a_tilde_is_the_users_home(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))

    assert KEY == text_or_file("@~/key")


@pytest.mark.parametrize("given", [None, "", KEY])
def test_what_names_no_file_is_taken_as_it_is(given: str | None) -> None:
    assert given == text_or_file(given)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "it is no text")]
)
def test_a_file_that_gives_nothing_is_refused_without_what_was_given(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(typer.BadParameter, match=reason) as caught:
        text_or_file(f"@{tmp_path / 'key'}")

    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("by", ["argument", "variable"])
async def test_a_command_uses_the_key_of_the_file(by: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option: tuple[str, ...] = ()
    if by == "variable":
        monkeypatch.setenv("PORTCULLIS_API_KEY", f"@{file}")
    else:
        monkeypatch.delenv("PORTCULLIS_API_KEY", raising=False)
        option = ("--key", f"@{file}")
    gateway = ScriptedGateway()
    async with serving(gateway) as target:
        await asyncio.to_thread(portcullis, *ASKED, "--target", target, *option)

    assert [f"bearer {KEY}"] == [str(each["authorization"]).lower() for each in gateway.metadata]


NOTE = (
    "portcullis: --key stands on the command line, where everybody on this host can read it; put it into a file and give "
    "--key @FILE, or set PORTCULLIS_API_KEY=@FILE\n"
)


async def test_a_key_on_the_command_line_itself_is_warned_of_in_one_line_on_stderr_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTCULLIS_API_KEY", "another")
    async with serving(ScriptedGateway()) as target:
        await asyncio.to_thread(portcullis, *ASKED, "--target", target, "--key", KEY, "--json")
    told = capsys.readouterr()

    assert NOTE == told.err
    assert json.loads(told.out)
    assert KEY not in told.out + told.err


@pytest.mark.parametrize("by", ["file", "variable", "file of a variable", "nothing"])
async def test_a_key_that_comes_otherwise_is_not_warned_of(
    by: str, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORTCULLIS_API_KEY", raising=False)
    if "variable" in by:
        monkeypatch.setenv("PORTCULLIS_API_KEY", f"@{file}" if "file" in by else KEY)
    option = ("--key", f"@{file}") if by == "file" else ()
    async with serving(ScriptedGateway()) as target:
        await asyncio.to_thread(portcullis, *ASKED, "--target", target, *option)

    assert "command line" not in capsys.readouterr().err


NOWHERE = ("--target", "127.0.0.1:1", "--timeout", "1")


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (("caller", "+447700900123", *NOWHERE, "--key", KEY), "PORTCULLIS_API_KEY"),
        (("entry", "proposals", *NOWHERE, "--key", KEY), "PORTCULLIS_API_KEY"),
        (("import", "approve", "1", "--key", KEY), "PORTCULLIS_API_KEY"),
        (("subject", "begin", "--id", "passport:XB:XA12345678", *NOWHERE, "--code", KEY), "PORTCULLIS_SUBJECT_CODE"),
    ],
)
def test_every_secret_that_a_command_takes_is_warned_of(
    arguments: tuple[str, ...], variable: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portcullis(*arguments, "--home", str(tmp_path))
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "command line" in line]

    assert told.startswith(f"portcullis: {arguments[-2]} stands on the command line")
    assert told.endswith(f"or set {variable}=@FILE")
    assert KEY not in told
