import sys
import time

import pytest

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.mains.keys import (
    ENTRY_KEY,
    FEED_KEY,
    FIRST_KEYS,
    KEY_BYTES,
    SEAL_KEY,
    TOKEN_KEY,
    ensure_keys,
    ensure_secrets,
    read_key,
    trust_folder,
)
from tests.support.trust_folders import Ceremonies, sign_as


def test_missing_key_files_are_made_with_32_random_bytes_each(tmp_path):
    ensure_keys(tmp_path / "keys")
    token, seal = (read_key(tmp_path / "keys", name) for name in (TOKEN_KEY, SEAL_KEY))
    assert (KEY_BYTES, KEY_BYTES) == (len(token), len(seal))
    assert token != seal


def test_key_files_are_for_their_owner_only(tmp_path):
    ensure_keys(tmp_path / "keys")
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert {(True, 0o700), (False, 0o600)} == modes


def test_a_standing_key_file_is_never_touched(tmp_path):
    ensure_keys(tmp_path)
    before = read_key(tmp_path, TOKEN_KEY)
    ensure_keys(tmp_path)
    assert before == read_key(tmp_path, TOKEN_KEY)


def test_everything_that_signs_is_made_too(tmp_path):
    ensure_keys(tmp_path / "keys")
    directory = Ceremonies(trust_folder(tmp_path / "keys")).directory
    for role in ("timestamp", "snapshot", "head"):
        sign_as(directory, role)
    assert directory.delegate("court", now=time.time())


def test_a_follower_of_this_home_finds_the_root_that_was_made(tmp_path):
    settings = Settings(home=tmp_path)
    ensure_keys(settings.keys_path)
    trust = Ceremonies(trust_folder(settings.keys_path)).directory
    assert settings.trusted_root_path.read_bytes() == trust.roots()[0]


def test_a_standing_trust_folder_is_not_touched_and_costs_nothing(tmp_path, monkeypatch):
    ensure_keys(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setitem(sys.modules, "portcullis.adapters.tuf.ceremony", None)  # an import would fail
    ensure_keys(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_start_that_was_killed_while_it_made_the_keys_is_completed_by_the_next(tmp_path):
    ensure_keys(tmp_path)
    (trust_folder(tmp_path) / "1.root.json").unlink()  # it is written last
    ensure_keys(tmp_path)
    sign_as(Ceremonies(trust_folder(tmp_path)).directory, "timestamp")


def test_all_keys_are_made_within_a_moment(tmp_path):
    def taken(attempt):
        begun = time.perf_counter()
        ensure_keys(tmp_path / str(attempt))
        return time.perf_counter() - begun

    # The best of some: other tests use the same disk.
    assert 0.3 > min(taken(attempt) for attempt in range(5))


def test_the_keys_that_are_made_are_told(tmp_path):
    assert [tmp_path / name for name in FIRST_KEYS] == ensure_secrets(tmp_path)
    assert [] == ensure_secrets(tmp_path)


def test_a_missing_key_file_says_what_to_do(tmp_path):
    with pytest.raises(SetupFault, match="PORTCULLIS_KEYS_DIR"):
        read_key(tmp_path, TOKEN_KEY)


@pytest.mark.parametrize("content", ["not hexadecimal", "ab" * 31, ""])
def test_a_damaged_key_file_is_refused_without_showing_it(tmp_path, content):
    (tmp_path / TOKEN_KEY).write_text(content)
    with pytest.raises(SetupFault, match="backup") as refused:
        read_key(tmp_path, TOKEN_KEY)
    assert not content or content not in str(refused.value)


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupFault, match="writable"):
        ensure_keys(tmp_path / "file" / "keys")


def test_a_key_that_was_retired_is_not_made_again(tmp_path):
    ensure_secrets(tmp_path)
    for first in (TOKEN_KEY, SEAL_KEY):
        (tmp_path / first).rename(tmp_path / first.replace(".", ".2."))
    assert [] == ensure_secrets(tmp_path)


def test_a_next_seal_key_takes_no_place_yet(tmp_path):
    (tmp_path / "seal.2.key.next").write_text("ab" * 32)
    assert tmp_path / SEAL_KEY in ensure_secrets(tmp_path)


def test_a_home_from_before_there_was_an_entry_key_goes_on_naming_its_entries_as_it_did(tmp_path):
    ensure_keys(tmp_path)
    assert read_key(tmp_path, TOKEN_KEY) != read_key(tmp_path, ENTRY_KEY)
    for name in (ENTRY_KEY, FEED_KEY):
        (tmp_path / name).unlink()
    ensure_keys(tmp_path)
    assert read_key(tmp_path, TOKEN_KEY) == read_key(tmp_path, ENTRY_KEY)
    assert read_key(tmp_path, TOKEN_KEY) != read_key(tmp_path, FEED_KEY)
