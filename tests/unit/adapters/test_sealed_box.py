"""A sealed box opens with its key, for the thing that it was sealed for, and not otherwise."""

from __future__ import annotations

import pytest

from portcullis.adapters.sealed_box import NONCE_BYTES, SealedBox
from portcullis.domain.errors import SetupFault

KEY = bytes(range(32))


def test_what_is_sealed_opens_for_the_same_thing() -> None:
    assert SealedBox(KEY).open(SealedBox(KEY).seal(b"text", b"thing"), b"thing") == b"text"


def test_a_nonce_that_was_drawn_before_is_the_one_that_is_used() -> None:
    nonce = bytes(range(NONCE_BYTES))
    blob = SealedBox(KEY).seal_with(nonce, b"text", b"thing")
    assert blob == SealedBox(KEY, draw=lambda _: nonce).seal(b"text", b"thing")
    assert SealedBox(KEY).open(blob, b"thing") == b"text"


def test_nothing_else_opens_it() -> None:
    blob = SealedBox(KEY).seal(b"text", b"thing")
    for box, each, thing in (
        (SealedBox(bytes(32)), blob, b"thing"),
        (SealedBox(KEY), blob, b"another"),
        (SealedBox(KEY), b"\x02" + blob[1:], b"thing"),
        (SealedBox(KEY), blob[:-1], b"thing"),
        (SealedBox(KEY), blob[:5], b"thing"),
        (SealedBox(KEY), b"", b"thing"),
    ):
        with pytest.raises(ValueError, match="sealed blob"):
            box.open(each, thing)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(SetupFault, match="32 bytes"):
        SealedBox(bytes(16))
