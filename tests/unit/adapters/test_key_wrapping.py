"""Wrapping under a key file: a data key comes back with the file's key, and with no other."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from portcullis.adapters.key_wrapping import FolderWrapper, KeyFileWrapper
from portcullis.adapters.sealed_box import SealedBox
from portcullis.domain.errors import SetupFault
from portcullis.mains.keys import read_key

KEY = bytes(range(32))
DATA_KEY = bytes(range(50, 82))


def test_a_data_key_comes_back() -> None:
    assert DATA_KEY == KeyFileWrapper(KEY).unwrap(KeyFileWrapper(KEY).wrap(DATA_KEY))


def test_a_data_key_is_wrapped_otherwise_each_time() -> None:
    keys = KeyFileWrapper(KEY)
    assert 10 == len({keys.wrap(DATA_KEY) for _ in range(10)})


def test_the_key_of_another_file_unwraps_nothing() -> None:
    with pytest.raises(ValueError, match="another key"):
        KeyFileWrapper(bytes(32)).unwrap(KeyFileWrapper(KEY).wrap(DATA_KEY))


def test_a_wrapped_key_with_any_byte_changed_or_cut_does_not_unwrap() -> None:
    keys = KeyFileWrapper(KEY)
    wrapped = keys.wrap(DATA_KEY)
    changed = (wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :] for place in range(len(wrapped)))
    for bad in itertools.chain(changed, (wrapped[:length] for length in range(len(wrapped)))):
        with pytest.raises(ValueError, match="sealed blob"):
            keys.unwrap(bad)


def test_the_file_s_key_itself_wraps_nothing() -> None:
    wrapped = KeyFileWrapper(KEY).wrap(DATA_KEY)
    with pytest.raises(ValueError, match="another key"):
        SealedBox(KEY).open(wrapped, b"data key")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(SetupFault, match="32 bytes"):
        KeyFileWrapper(bytes(length))


def test_a_file_s_key_holds_what_it_has_wrapped_and_nothing_else() -> None:
    keys = KeyFileWrapper(KEY)
    wrapped, other = keys.wrap(DATA_KEY), KeyFileWrapper(bytes(32)).wrap(DATA_KEY)
    assert [True, True, False] == [keys.holds(each) for each in ([], [wrapped], [wrapped, other])]


def test_a_folder_holds_what_the_keys_that_lie_in_it_at_that_moment_open(tmp_path: Path) -> None:
    (tmp_path / "seal.key").write_text(KEY.hex())
    # No second goes by, so nothing but the question itself has it looked at again.
    keys = FolderWrapper(tmp_path, read_key, monotonic=lambda: 0.0)
    first = keys.wrap(DATA_KEY)
    (tmp_path / "seal.2.key").write_text(bytes(32).hex())
    assert keys.holds([first])
    second = keys.wrap(DATA_KEY)
    assert keys.holds([first, second])
    (tmp_path / "seal.key").unlink()
    assert [True, False, False] == [keys.holds(each) for each in ([second], [first], [first, second])]
    (tmp_path / "seal.2.key").unlink()
    with pytest.raises(SetupFault, match=r"seal\.key"):
        keys.holds([second])


def test_a_folder_that_can_not_be_listed_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seal.key").write_text(KEY.hex())
    keys = FolderWrapper(tmp_path, read_key)
    wrapped = keys.wrap(DATA_KEY)

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SetupFault, match="can't be listed"):
        keys.holds([wrapped])
