"""Where the files of a trust folder lie."""

import pytest

from portcullis.adapters.tuf.key_files import KeyFiles, key_uri


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
