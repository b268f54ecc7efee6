from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.cli.watching import watch
from portcullis.mains.wiring import ProcessWiring
from portcullis.v1 import sharing_service_pb2 as pb
from tests.support.scripted_sharing import ScriptedSharing, serving
from tests.support.single_commands import run_command

GOLDEN = Path(__file__).with_name("golden")
ROOT = Path(__file__).resolve().parents[3]
SUBJECT = "fedcba9876543210" * 2
PROGRAM = """
import signal, sys
# Whoever runs the tests in the background of a shell has the signal ignored, and so have all its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
from portcullis.cli.watching import watch
from portcullis.mains.wiring import ProcessWiring
from tests.support.single_commands import run_command
sys.exit(run_command("watch", watch, sys.argv[1:], ProcessWiring()))
"""


def change(position: int, kind: int = pb.CHANGE_KIND_ENTRY_ADDED) -> pb.WatchChangesResponse:
    told = pb.Change(
        kind=kind,  # type: ignore[arg-type]
        list="court",
        subject=SUBJECT,
        happened_at=Timestamp(seconds=1_800_000_000 + position),
        until=Timestamp(seconds=1_900_000_000),
    )
    return pb.WatchChangesResponse(cursor=f"0011aabb-{position}", change=told)


def heartbeat(position: int, lag_ms: int = 0) -> pb.WatchChangesResponse:
    beat = pb.WatchChangesResponse(cursor=f"0011aabb-{position}", heartbeat=pb.Heartbeat())
    if lag_ms:
        beat.heartbeat.lag.FromMilliseconds(lag_ms)
    return beat


class Watcher:
    """A `portcullis watch` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read(self, lines: int) -> None:
        assert self.process.stdout is not None
        while len(self.lines) < lines:
            line = await asyncio.wait_for(self.process.stdout.readline(), 30)
            assert line, "it ended early"
            self.lines.append(line.decode())

    async def interrupt(self) -> tuple[int | None, str]:
        self.process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode, errors.decode()


async def started(target: str, *arguments: str) -> Watcher:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        "--target",
        target,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PORTCULLIS_API_KEY": "made-up"},
    )
    return Watcher(process)


async def watched(sharing: ScriptedSharing, lines: int, *arguments: str) -> str:
    """Watch until so many lines are printed, then interrupt."""
    async with serving(sharing) as target:
        watcher = await started(target, *arguments)
        await watcher.read(lines)
        assert (0, "") == await watcher.interrupt()
    return "".join(watcher.lines)


KINDS = [number for number in pb.ChangeKind.values() if number]


@pytest.mark.parametrize(("form", "options"), [("text", ()), ("json", ("--json",))])
async def test_changes_and_heartbeats_are_printed_line_by_line_until_it_is_interrupted(
    form: str, options: Sequence[str]
) -> None:
    sharing = ScriptedSharing()
    changes = [change(position, kind) for position, kind in enumerate(KINDS, start=1)]
    sharing.scripts.append([heartbeat(0), *changes, heartbeat(7, 1500)])

    shown = await watched(sharing, len(changes) + 2, "--oldest", "--list", "court", "--heartbeats", *options)

    assert (GOLDEN / f"watch.{form}.out").read_text(encoding="utf-8") == shown
    assert [("oldest", ["court"])] == [(each.cursor, list(each.lists)) for each in sharing.watches]


async def test_it_goes_on_by_itself_and_keeps_the_cursor_of_what_it_has_printed(tmp_path: Path) -> None:
    sharing = ScriptedSharing()
    sharing.scripts.extend([[change(1), change(2)], [change(3)]])
    kept = tmp_path / "cursor"

    shown = await watched(sharing, 3, "--cursor-file", str(kept))

    assert 3 == len(shown.splitlines())
    assert ["", "0011aabb-2"] == [each.cursor for each in sharing.watches]
    assert kept.read_text(encoding="utf-8").strip() in ("0011aabb-2", "0011aabb-3")
    assert ["cursor"] == os.listdir(tmp_path)  # noqa: PTH208 - what a test looks at blocks nobody


async def test_a_rerun_goes_on_from_the_cursor_kept_and_heartbeats_move_it_on(tmp_path: Path) -> None:
    sharing = ScriptedSharing()
    sharing.scripts.append([heartbeat(7), change(8)])
    kept = tmp_path / "cursor"
    kept.write_text("0011aabb-5\n", encoding="utf-8")

    await watched(sharing, 1, "--oldest", "--cursor-file", str(kept))

    assert "0011aabb-5" == sharing.watches[0].cursor
    assert kept.read_text(encoding="utf-8").strip() in ("0011aabb-7", "0011aabb-8")


@pytest.mark.parametrize("arguments", [("--cursor", "0011aabb-1", "--oldest"), ("--cursor-file", "notes")])
def test_what_makes_no_sense_is_wrong_usage(
    arguments: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("call the court", encoding="utf-8")

    assert 2 == run_command("watch", watch, [*arguments, "--target", "127.0.0.1:1", "--key", "k"], ProcessWiring())
    assert "court" not in capsys.readouterr().err


def test_a_gateway_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == run_command("watch", watch, ["--target", "127.0.0.1:1", "--key", "k"], ProcessWiring())
    assert "no gateway answers at 127.0.0.1:1" in capsys.readouterr().err
