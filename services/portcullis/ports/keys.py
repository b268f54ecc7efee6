"""The keys that snapshots are signed with: made, exchanged and looked at; signing is the repository's (`ports.trust`).

And the one that what is at rest is sealed under, which need not be on this host.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol


class KeyState(StrEnum):
    """Whether this host can sign with a private key."""

    HERE = "here"
    NOT_HERE = "not here"
    UNUSABLE = "unusable"


class RoleKey(NamedTuple):
    """One key of a role, without a byte of its private half.

    Attributes:
        key_id: the key's id, as the metadata gives it: 64 hexadecimal digits.
        uri: where its private half is said to be; "" where nothing is said.
        state: whether this host can sign with it.
        made_at: Unix seconds since when its file lies here unchanged; None where it is no file, or not here.
        fault: why it is unusable; "" where it is not.
    """

    key_id: str
    uri: str
    state: KeyState
    made_at: float | None = None
    fault: str = ""


class RoleKeys(NamedTuple):
    """A role: "root", "targets", "snapshot", "timestamp", "head", or "list:NAME".

    ``version`` and ``expires_at`` (Unix seconds) are those of its signed metadata where that lies with the keys, which is so
    for root and targets; None for what the publisher signs.
    """

    role: str
    threshold: int
    keys: tuple[RoleKey, ...]
    version: int | None = None
    expires_at: float | None = None


class Replacement(NamedTuple):
    """The keys that a role no longer has, and those that it has instead, by their ids; the role as in `RoleKeys`."""

    role: str
    old: tuple[str, ...]
    new: tuple[str, ...]


class KeyChanges(NamedTuple):
    """What a ceremony has done; paths are as this host sees them.

    Attributes:
        made: the files of the private keys that were made.
        signed: the metadata files that were signed and written.
        offline: those of the files made that belong on media of their own, away from this host.
        retired: where keys lie that are no longer trusted, and that were not deleted because they are not the publisher's.
        replaced: the roles whose keys were exchanged.
        deleted: the files of old private keys that were the publisher's, and are no longer there.
    """

    made: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    offline: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    replaced: tuple[Replacement, ...] = ()
    deleted: tuple[str, ...] = ()


class KeyCeremony(Protocol):
    """The work on the keys of one trust folder. Each step can be repeated after a crash; two at once wait for each other.

    All raise `SetupFault` where the folder or a key is not as it must be, and `OSError` where the disk refuses.
    """

    def establish(
        self, lists: Sequence[str] = (), *, root_keys: int | None = None, root_threshold: int | None = None
    ) -> KeyChanges:
        """Make what is missing: keys, root and delegations, and a delegation for each of the lists. Nothing is replaced.

        Args:
            lists: names of lists that are to have keys.
            root_keys: how many keys root has; None: as it is, or 3.
            root_threshold: how many of them must sign; None: as it is, or a majority.

        Raises:
            SetupFault: also where root stands already, with other numbers.
        """
        ...

    def rotate(self, role: str, *, uri: str | None = None, public_key: Path | None = None) -> KeyChanges:
        """Give a role a new key, root as many new ones as it has.

        Args:
            role: as in `RoleKeys`.
            uri: where the private half of a key that exists already is reached; None: a key is made.
            public_key: the file of its public half, PEM; needed where the URI is no file's. Without a URI the private half
                is held elsewhere and this host does not sign for the role.

        Raises:
            SetupFault: also where too few of the keys that must sign are at hand, and for a list that is not delegated.
        """
        ...

    def renew(self, role: str) -> KeyChanges:
        """Sign root or targets anew with the same keys, so that it expires later; raises as `rotate`."""
        ...

    def roles(self) -> tuple[RoleKeys, ...]:
        """Tell of every role."""
        ...


class KeyWrapper(Protocol):
    """Wraps data keys under a key-encryption key that never leaves it: a file's, or one of a key management service.

    Either method blocks where the key is not on this host, and may raise RegistryUnavailable.
    """

    @property
    def name(self) -> str:
        """What the key-encryption key is called, for whoever looks for it."""
        ...

    @property
    def epoch(self) -> int:
        """The number of the key that wraps now; with another, data keys that were wrapped before are wrapped anew."""
        ...

    def is_present(self, wrapped: bytes, /) -> bool:
        """Say whether a data key is wrapped under the key that wraps now."""
        ...

    def holds(self, wrapped: Collection[bytes], /) -> bool:
        """Say whether all these data keys can be unwrapped with keys that are kept at this moment, looked for anew."""
        ...

    def wrap(self, data_key: bytes, /) -> bytes:
        """Wrap a data key; at most 65,535 bytes come out."""
        ...

    def unwrap(self, wrapped: bytes, /) -> bytes:
        """Give a wrapped data key back.

        Raises:
            ValueError: it was wrapped under another key, or is damaged.
        """
        ...
