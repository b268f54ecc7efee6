"""How the files of a trust folder reach the disk."""

import os
import stat

import pytest

from portcullis.adapters.tuf.key_files import KeyFiles, key_uri, write_durably


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


@pytest.mark.parametrize(
    ("role", "number", "uri"),
    [
        ("root", 1, "file:offline/root-1.pem"),
        ("root", 7, "file:offline/root-7.pem"),
        ("targets", 1, "file:offline/targets.pem"),
        ("targets", 2, "file:offline/targets.2.pem"),
        ("timestamp", 1, "file:online/timestamp.pem"),
        ("head", 3, "file:online/head.3.pem"),
        ("list-court", 1, "file:online/lists/court.pem"),
        ("list-court-2", 1, "file:online/lists/court-2.pem"),
        ("list-court", 2, "file:online/lists/court.2.pem"),
    ],
)
def test_each_key_has_a_file_of_its_own(role, number, uri):
    assert uri == key_uri(role, number)


def test_paths_are_relative_to_the_folder_and_offline_ones_to_where_they_were_moved(tmp_path):
    files = KeyFiles(tmp_path / "trust", tmp_path / "stick")
    assert [
        tmp_path / "trust" / "online" / "head.pem",
        tmp_path / "stick" / "root-1.pem",
        tmp_path / "elsewhere.pem",
        None,
    ] == [
        files.path_of(uri)
        for uri in ("file:online/head.pem", "file:offline/root-1.pem", f"file:{tmp_path}/elsewhere.pem", "awskms:key")
    ]
