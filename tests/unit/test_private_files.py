from __future__ import annotations

import os
from pathlib import Path

import pytest

from portcullis.private_files import is_exposed


def secret(folder: Path, *, folder_mode: int, mode: int) -> Path:
    file = folder / "keys" / "token.key"
    file.parent.mkdir()
    file.write_text("a secret")
    file.chmod(mode)
    file.parent.chmod(folder_mode)
    return file


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o602])
def test_a_file_that_others_reach_and_may_read_or_write_is_exposed(tmp_path: Path, mode: int) -> None:
    assert is_exposed(secret(tmp_path, folder_mode=0o755, mode=mode))


@pytest.mark.parametrize(("folder_mode", "mode"), [(0o755, 0o600), (0o700, 0o644), (0o700, 0o600)])
def test_a_file_is_private_by_its_own_mode_or_by_its_folders(tmp_path: Path, folder_mode: int, mode: int) -> None:
    assert not is_exposed(secret(tmp_path, folder_mode=folder_mode, mode=mode))


def test_a_file_of_another_user_is_not_ours_to_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = secret(tmp_path, folder_mode=0o755, mode=0o644)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert not is_exposed(file)


def test_a_link_is_as_private_as_what_it_leads_to(tmp_path: Path) -> None:
    for name, mode in (("closed", 0o700), ("open", 0o755)):
        (tmp_path / name).mkdir(mode=0o755)
        (tmp_path / name / "token.key").write_text("a secret")
        (tmp_path / name / "token.key").chmod(0o644)
        (tmp_path / name).chmod(mode)
    (tmp_path / "closed" / "link").symlink_to(tmp_path / "open" / "token.key")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "closed" / "token.key")
    assert (True, False) == (is_exposed(tmp_path / "closed" / "link"), is_exposed(tmp_path / "open" / "link"))


def test_a_link_that_leads_nowhere_is_not_exposed(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert not is_exposed(tmp_path / "round")


def test_what_is_not_there_is_not_exposed(tmp_path: Path) -> None:
    assert not is_exposed(tmp_path / "token.key")
