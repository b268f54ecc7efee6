"""Wrapping under a key file: a data key comes back with the file's key, and with no other."""

from __future__ import annotations

import itertools

import pytest

from portcullis.adapters.key_wrapping import KeyFileWrapper
from portcullis.adapters.sealed_box import SealedBox
from portcullis.domain.errors import SetupFault

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
