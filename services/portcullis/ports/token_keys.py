"""The port of the registry's token keys: which one it writes with, and how entries come over from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Generic, NamedTuple, Protocol, TypeVar

from portcullis.domain.entry_life import StepNote


class KeyState(StrEnum):
    """How a token key stands in the registry (`portcullis.domain.token_keys`)."""

    IN_USE = "in-use"
    LEAVING = "leaving"
    LEFT = "left"


class KnownTokenKey(NamedTuple):
    """A token key that the registry knows, without the key.

    ``since`` is when it came into use, ``left_at`` when the last entry had come over from it; Unix seconds. ``numbers`` is
    how many redress numbers in force need it.
    """

    epoch: int
    fingerprint: str
    state: KeyState
    since: float
    left_at: float | None
    numbers: int = 0


class WaitingPlace(NamedTuple):
    """How far what waits for a second person was looked through: the entry of an amendment, and a row of a held import."""

    entry_id: int = 0
    import_id: int = 0
    row_no: int = 0


Place = TypeVar("Place")


class Renewed(NamedTuple, Generic[Place]):
    """What one batch did: how many entries came over, and the last one looked at, None where there was none left.

    Those that changed meanwhile are ``missed``, and those whose identity can't be opened ``unreadable``: both stay.
    """

    renewed: int
    last: Place | None
    missed: int = 0
    unreadable: int = 0


class Rewrapped(NamedTuple):
    """How many rows were wrapped anew, or would be, and how many can't be opened."""

    changed: int
    unreadable: int


class TokenKeyStore(Protocol):
    """The registry's side of token keys. Every method may block, and raises RegistryUnavailable."""

    def token_keys(self) -> Sequence[KnownTokenKey]:
        """Give the keys that are known, the newest first."""
        ...

    def head(self) -> int:
        """Give the number of the last change."""
        ...

    def switch_token_key(self, epoch: int, *, note: StepNote) -> None:
        """Write with the key of this epoch from now on, which is the next; entries come over by `renew_tokens`.

        Raises:
            KeyChangeRefused: it is not the next one, or entries still come over from the one before.
            SetupFault: the key is not here.
        """
        ...

    def renew_tokens(self, after_id: int, limit: int) -> Renewed[int]:
        """Bring over some of the entries that stand under another key than the one in use, in the order of their ids.

        Each batch is one change of the log and one transaction; nothing of an entry changes but its tokens.
        """
        ...

    def renew_waiting(self, after: WaitingPlace, limit: int) -> Renewed[WaitingPlace]:
        """Bring over some of the amendments and rows of held imports that wait for a second person, in order."""
        ...

    def finish_renewal(self, since: int) -> bool:
        """Note that no entry is left under a leaving key, where none changed after ``since`` is; False where one is."""
        ...

    def retire_token_key(self, epoch: int, *, note: StepNote) -> None:
        """Forget a key that was left, and what stood under it.

        Raises:
            NotFound: there is no such key.
            KeyChangeRefused: entries or redress numbers stand under it.
        """
        ...
