"""Which token keys a snapshot was made with, and how they follow one another while checks go on.

The rules:

1. A key has an epoch, from 1 on. The registry writes with one key at a time, the one in use. When another takes its place,
   the entries are renewed in small batches; until the last is done the former key is leaving, and a check looks under the
   tokens of both. An entry stands under the tokens of one of them in any one snapshot, so it is found once, and always.
2. A snapshot names the keys that its records were made with, by epoch and fingerprint, the newest first. A host that holds
   another key under an epoch, or none, does not answer from that snapshot: it would find nobody. It stays with the one it
   has, which grows old, and says which file is missing.
3. A redress number is made from tokens of people who are on no list, so nobody can renew it. It counts under the keys that
   were held when it was issued; the snapshot names the newest of these as long as the number holds. Such a key is
   looked under for clearances alone.
4. Where one key is named, a check costs what it cost before there were several.

Example: key 1 is in use, and key 2 has been copied to every gateway. After the switch snapshot 501 names 2 and 1, and by
snapshot 560 all entries have come over, so it names 2 alone. A phone listed since January was found under key 1 up to
snapshot 530, say, and under key 2 from 531 on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from portcullis.domain.tokens import Tokeniser

AddProbes = Callable[[str, str, str, list[tuple[bytes, bool]]], None]
"""`Tokeniser.probes`: appends the probes of one identifier, given as kind, value and country."""

Written = tuple[str, str, str]
"""An identifier as a caller wrote it: kind, value, country."""

FIRST_EPOCH = 1


class TokenKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that a snapshot needs. With ``records`` false it is needed for clearances alone (rule 3)."""

    epoch: Annotated[int, Meta(ge=1, lt=1 << 32)]
    fingerprint: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    records: bool = True


class TokenKeys(Protocol):
    """The keys that this host holds. A `Tokeniser` is one by itself."""

    def of_epoch(self, epoch: int) -> Tokeniser | None:
        """Give the key of an epoch; None where it is not here. Never blocks for long."""
        ...

    def held(self) -> Sequence[Tokeniser]:
        """Give every key that is here, the newest first."""
        ...


class KeyNotHeld(Exception):
    """A snapshot names a key that is not here. ``key`` is it; with ``differs`` another one is here under its epoch."""

    def __init__(self, key: TokenKey, *, differs: bool) -> None:
        self.key = key
        self.differs = differs
        super().__init__(not_held_text(key, differs=differs))


def not_held_text(key: TokenKey, *, differs: bool) -> str:
    """Say what to do about a key that is not here."""
    name = key_file_name(key.epoch)
    if differs:
        return (
            f"the key file {name} here is another than the registry's, whose fingerprint is {key.fingerprint}; "
            f"copy {name} from the registry's host over it"
        )
    return (
        f"the snapshot needs the token key of epoch {key.epoch}, which is not here; "
        f"copy {name} from the registry's host to the folder of this host's keys"
    )


def key_file_name(epoch: int) -> str:
    """Name the file of a token key within the folder of the keys."""
    return "token.key" if epoch == FIRST_EPOCH else f"token.{epoch}.key"


class ProbeSet(NamedTuple):
    """One key's probes for a check, and what makes its clearances. Those of two keys stand in the same order."""

    clearance: Callable[[str, bytes, bytes], bytes]
    probes: Sequence[tuple[bytes, bool]]


class Lookup:
    """What checks of one snapshot are looked up with.

    Attributes:
        probes: appends an identifier's probes, of every key that records were made with.
    """

    __slots__ = ("_all", "probes")

    def __init__(self, tokenisers: Iterable[tuple[Tokeniser, bool]]) -> None:
        """Take the keys, each with whether records were made with it."""
        self._all = tuple(tokenisers)
        self.probes: AddProbes = _together([each.probes for each, records in self._all if records])

    def probe_sets(self, identifiers: Iterable[Written]) -> list[ProbeSet]:
        """Give each key's probes, for clearances (`portcullis.domain.clearing`).

        Raises:
            InvalidIdentifier: one of the identifiers can't be what it says.
        """
        written = list(identifiers)
        return [ProbeSet(each.clearance, _probes(each, written)) for each, _ in self._all]


def lookup_of(named: Sequence[TokenKey], keys: TokenKeys) -> Lookup:
    """Build the look-up for the keys that a snapshot names; one that names none was made with the first key.

    Raises:
        KeyNotHeld: one of them is not here.
    """
    if not any(each.records for each in named):
        # It is never looked up with nothing: nobody would be found.
        first = keys.of_epoch(FIRST_EPOCH)
        if first is None:
            raise KeyNotHeld(TokenKey(epoch=FIRST_EPOCH, fingerprint=""), differs=False)
        return Lookup([(first, True)])
    return Lookup([(demand(each, keys), each.records) for each in named])


def demand(key: TokenKey, keys: TokenKeys) -> Tokeniser:
    """Give the key that is named.

    Raises:
        KeyNotHeld: it is not here, or another is here under its epoch.
    """
    found = keys.of_epoch(key.epoch)
    if found is None or found.fingerprint != key.fingerprint:
        raise KeyNotHeld(key, differs=found is not None)
    return found


def _together(adders: Sequence[AddProbes]) -> AddProbes:
    if len(adders) == 1:
        return adders[0]

    def probes(kind: str, value: str, country: str, into: list[tuple[bytes, bool]]) -> None:
        for add in adders:
            add(kind, value, country, into)

    return probes


def _probes(tokeniser: Tokeniser, written: Iterable[Written]) -> list[tuple[bytes, bool]]:
    probes: list[tuple[bytes, bool]] = []
    for kind, value, country in written:
        tokeniser.probes(kind, value, country, probes)
    return probes
