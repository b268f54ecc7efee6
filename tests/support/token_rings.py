"""Token keys of tests: a ring that keys are put into as files are copied to a host."""

from __future__ import annotations

from collections.abc import Sequence

from portcullis.domain.token_keys import TokenKey
from portcullis.domain.tokens import Tokeniser
from tests.support.registry_entries import TOKENISER

SECOND = Tokeniser(bytes(range(64, 96)), 2)
THIRD = Tokeniser(bytes(range(96, 128)), 3)


class Ring:
    """The token keys that a host holds. Implements `portcullis.domain.token_keys.TokenKeys`."""

    def __init__(self, *keys: Tokeniser) -> None:
        self.keys = {key.epoch: key for key in keys}

    def of_epoch(self, epoch: int) -> Tokeniser | None:
        return self.keys.get(epoch)

    def held(self) -> Sequence[Tokeniser]:
        return [self.keys[epoch] for epoch in sorted(self.keys, reverse=True)]


def named(tokeniser: Tokeniser, *, records: bool = True) -> TokenKey:
    """A key as a snapshot names it."""
    return TokenKey(epoch=tokeniser.epoch, fingerprint=tokeniser.fingerprint, records=records)


FIRST = TOKENISER
