import pytest

from portcullis.domain.errors import SetupFault
from portcullis.mains.keys import KEY_BYTES, SEAL_KEY, TOKEN_KEY, ensure_keys, read_key


def test_missing_key_files_are_made_with_32_random_bytes_each(tmp_path):
    ensure_keys(tmp_path / "keys")
    token, seal = (read_key(tmp_path / "keys", name) for name in (TOKEN_KEY, SEAL_KEY))
    assert (KEY_BYTES, KEY_BYTES) == (len(token), len(seal))
    assert token != seal


def test_key_files_are_for_their_owner_only(tmp_path):
    ensure_keys(tmp_path / "keys")
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()}
    assert {0o600} == modes
    assert 0o700 == (tmp_path / "keys").stat().st_mode & 0o777


def test_a_standing_key_file_is_never_touched(tmp_path):
    ensure_keys(tmp_path)
    before = read_key(tmp_path, TOKEN_KEY)
    ensure_keys(tmp_path)
    assert before == read_key(tmp_path, TOKEN_KEY)


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
