"""The port of a home's keys: what is there, how old it is, and how one takes another's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from portcullis.ports.token_keys import Rewrapped


class HomeKey(NamedTuple):
    """One key, without a byte of it.

    Attributes:
        name: "token", "feed", "seal", "entry", "record", "journal", "set", "role:ROLE" or "api:HOLDER".
        purpose: what it is for, in a few words.
        state: "in use", "next", "leaving", "kept", "held", "missing", "unreadable" or "damaged".
        file: where it lies; "" where it is no file.
        epoch: its number among those of its name; None where they have none.
        fingerprint: tells whether two hosts hold the same, and nothing about it; "" where it can't be told.
        made_at: when it was made, as far as is known; Unix seconds.
        most_days: how old it may get; None where there is nothing to put in its place.
        exposed: whether others than its owner can read the file.
        note: what else there is to say.
    """

    name: str
    purpose: str
    state: str
    file: str = ""
    epoch: int | None = None
    fingerprint: str = ""
    made_at: float | None = None
    most_days: int | None = None
    exposed: bool = False
    note: str = ""

    def age_days(self, now: float) -> float | None:
        """Give its age in days; None where that is not known."""
        return None if self.made_at is None else max(0.0, now - self.made_at) / 86_400

    def is_overdue(self, now: float) -> bool:
        """Say whether it is in use and older than it may get."""
        age = self.age_days(now)
        return self.state == "in use" and age is not None and self.most_days is not None and age > self.most_days


class HostKeys(NamedTuple):
    """What a host's follower has said of its token keys; ``said_at`` is Unix seconds.

    ``registry_seq`` is the registry's change up to which the snapshot that it serves has all.
    """

    host: str
    fingerprints: tuple[str, ...]
    said_at: float
    registry_seq: int


class HomeKeys(Protocol):
    """The keys of one home. Every method blocks on the disk, and those that change something on the registry too.

    Those raise KeyChangeRefused where things stand otherwise, SetupFault where a key is missing or the folder can't be
    written, and RegistryUnavailable.
    """

    def report(self) -> Sequence[HomeKey]:
        """Give every key of the home; what can't be looked at is left out. Raises nothing."""
        ...

    def make_token_key(self) -> HomeKey:
        """Make the file of the next token key; one that waits already is given again."""
        ...

    def make_seal_key(self) -> HomeKey:
        """Make the file of the next seal key; one that waits already is given again."""
        ...

    def switch_seal_key(self, *, progress: Callable[[int], object] = lambda _: None) -> tuple[int, Rewrapped]:
        """Seal under the next key from now on, and wrap all that is sealed under it; gives its epoch, and what was done."""
        ...

    def retire_seal_key(self, epoch: int) -> str:
        """Delete the file of a seal key that nothing is wrapped under any more; gives the file."""
        ...

    def rotate_feed_key(self, partner: str, *, actor: str, why: str) -> int:
        """Have a partner know every entry by another name from now on; gives the epoch of its key.

        Raises:
            NotFound: the policy in force has no such partner.
        """
        ...

    def hosts(self) -> Sequence[HostKeys]:
        """Say which token keys each host that follows holds, and how far it has come.

        Raises:
            SetupFault: there is no store that they would say it in.
            StoreUnavailable: nobody can be asked.
        """
        ...

    def switch_token_key(self, *, actor: str, why: str, force: bool) -> int:
        """Write with the next token key from now on; gives its epoch. With ``force`` no host is asked whether it has it."""
        ...

    def retire_token_key(self, epoch: int, *, actor: str, why: str, force: bool) -> str:
        """Forget a token key that was left and delete its file; gives the file.

        With ``force`` even where decisions of before are kept, which nobody finds by a person's documents any more, and
        without asking the hosts whether they are past every snapshot that names it.
        """
        ...
