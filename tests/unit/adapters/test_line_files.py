"""Files that lines are added to: whole lines, on the disk, and no torn one left."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portcullis.adapters.line_files import DurableLines
from portcullis.ports.relay import DeliveryFault, Fault


def test_lines_are_added_and_forced_to_the_disk_before_the_call_returns(tmp_path: Path) -> None:
    synced: list[int] = []
    file = tmp_path / "out.ndjson"

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)

    DurableLines(sync=sync).append(str(file), [b"one", b"two"])
    DurableLines(sync=sync).append(str(file), [b"three"])

    assert b"one\ntwo\nthree\n" == file.read_bytes()
    assert [8, 14] == synced
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize("torn", [b"", b"x", b"x" * 70_000, b'{"id": "1"}\n{"id"'])
def test_a_torn_last_line_is_taken_away(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "out.ndjson"
    file.write_bytes(b"one\n" + torn)

    DurableLines().append(str(file), [b"two"])

    whole = torn[: torn.rfind(b"\n") + 1]
    assert b"one\n" + whole + b"two\n" == file.read_bytes()


def test_a_file_of_one_torn_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"torn" * 50_000)

    DurableLines().append(str(tmp_path / "out"), [b"one"])

    assert b"one\n" == (tmp_path / "out").read_bytes()


def test_a_disk_that_refuses_leaves_no_half_of_it(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_bytes(b"one\n")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DeliveryFault, match="No space left") as fault:
        DurableLines(sync=full).append(str(file), [b"two"])

    assert Fault.DISK == fault.value.fault
    assert b"one\n" == file.read_bytes()


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")

    for name in ("link", "pipe", ".", "nowhere/out"):
        with pytest.raises(DeliveryFault):
            DurableLines().append(f"{tmp_path}/{name}", [b"one"])

    assert (tmp_path / "target").read_bytes() == b""


def test_writers_at_once_do_not_mix_their_lines(tmp_path: Path) -> None:
    file, lines = str(tmp_path / "out"), DurableLines(sync=lambda _: None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: lines.append(file, [b"%d" % number * 5000] * 3), range(8)))

    found = Path(file).read_bytes().splitlines()
    assert sorted(b"%d" % number * 5000 for number in range(8) for _ in range(3)) == sorted(found)
