"""Columns that hold tokens one after another."""

from __future__ import annotations

from collections.abc import Iterable

from portcullis.domain.tokens import TOKEN_BYTES


def cut(column: bytes) -> tuple[bytes, ...]:
    """Give the tokens of a column, in its order."""
    return tuple(column[start : start + TOKEN_BYTES] for start in range(0, len(column), TOKEN_BYTES))


def joined(tokens: Iterable[bytes]) -> bytes:
    """Make a column of tokens, each of them once."""
    return b"".join(dict.fromkeys(tokens))
