"""How files reach the disk whole."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from portcullis.adapters.durable_files import create_durably, write_durably, write_whole


def test_a_file_is_on_the_disk_before_it_is_in_place_and_its_name_after(tmp_path, monkeypatch):
    steps, fsync, rename = [], os.fsync, os.replace

    def noting_fsync(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noting_replace(source, target):
        steps.append("replace")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    write_durably(tmp_path / "file", b"content")
    assert ["file", "replace", "folder"] == steps
    assert b"content" == (tmp_path / "file").read_bytes()


def test_missing_folders_are_made_private_and_durable(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def noting(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    write_durably(tmp_path / "a" / "b" / "file", b"")
    folders = [tmp_path / "a", tmp_path / "a" / "b"]
    assert [0o700, 0o700] == [stat.S_IMODE(folder.stat().st_mode) for folder in folders]
    assert {folder.stat().st_ino for folder in (tmp_path, *folders)} <= set(synced)


def test_a_file_is_private_whatever_stood_there_and_whatever_the_mask(tmp_path):
    (tmp_path / "file").write_text("open")
    (tmp_path / "file").chmod(0o666)
    mask = os.umask(0)
    try:
        write_durably(tmp_path / "file", b"")
    finally:
        os.umask(mask)
    assert 0o600 == stat.S_IMODE((tmp_path / "file").stat().st_mode)


def test_a_link_laid_in_the_way_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / ".file.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        write_durably(tmp_path / "file", b"key")
    assert "kept" == victim.read_text()


@pytest.mark.parametrize("write", [write_durably, write_whole])
def test_a_mode_that_is_asked_for_is_had_whatever_the_mask(tmp_path, write):
    mask = os.umask(0o077)
    try:
        write(tmp_path / "file", b"", mode=0o640)
    finally:
        os.umask(mask)
    assert 0o640 == stat.S_IMODE((tmp_path / "file").stat().st_mode)


@pytest.mark.parametrize("write", [write_durably, write_whole])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_beside(tmp_path, monkeypatch, write):
    write(tmp_path / "file", b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write(tmp_path / "file", b"new")
    assert [tmp_path / "file"] == list(tmp_path.iterdir())
    assert b"old" == (tmp_path / "file").read_bytes()


def test_what_may_be_lost_waits_for_no_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_whole(tmp_path / "file", b"content")
    assert [] == synced
    assert b"content" == (tmp_path / "file").read_bytes()


def test_of_several_that_make_a_file_at_once_one_has_its_way(tmp_path):
    texts = [f"{number}".encode() * 1000 for number in range(8)]
    with ThreadPoolExecutor(len(texts)) as pool:
        made = list(pool.map(lambda text: create_durably(tmp_path / "file", text), texts))
    assert 1 == made.count(True)
    assert texts[made.index(True)] == (tmp_path / "file").read_bytes()
    assert ["file"] == [each.name for each in tmp_path.iterdir()]
    assert 0o600 == stat.S_IMODE((tmp_path / "file").stat().st_mode)
