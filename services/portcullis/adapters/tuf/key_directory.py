"""What the publisher needs of the trust folder: signed roots and delegations, and the private keys that are here."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, Root, Targets

from portcullis.adapters.tuf.key_files import KeyFiles
from portcullis.adapters.tuf.key_roles import (
    ROOT,
    TARGETS,
    is_signed,
    keys_of,
    list_role,
    read_root,
    read_targets,
    set_delegation,
    sign_targets,
)
from portcullis.adapters.tuf.signing import Randomness, add_key, open_signer
from portcullis.domain.errors import SetupFault

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class Trust(NamedTuple):
    """What is signed: every root as bytes, the newest one, and the delegations."""

    roots: tuple[bytes, ...]
    root: Root
    delegations: bytes
    targets: Metadata[Targets]


class KeyDirectory:
    """The keys and the signed metadata of one trust folder; sees what another process changes there.

    Args:
        folder: the trust folder (``trust`` in the folder of the key files).
        offline: where the files of its ``offline/`` are, if they were moved.
        randomness: gives the bytes that new keys are made of.
    """

    def __init__(self, folder: Path, *, offline: Path | None = None, randomness: Randomness = os.urandom) -> None:
        self.files = KeyFiles(folder, offline)
        self._randomness = randomness
        self._trust: tuple[object, Trust] | None = None
        self._opened: dict[tuple[str, str], tuple[object, Signer]] = {}
        self._placed: tuple[object, dict[str, dict[str, str]]] | None = None

    def roots(self) -> tuple[bytes, ...]:
        """Give every signed root, version 1 first.

        Raises:
            SetupFault: there is none, or one is damaged.
        """
        return self.trust().roots

    def delegations(self) -> bytes:
        """Give the targets metadata as it is signed: no targets of its own, only delegations.

        Raises:
            SetupFault: there is none, or it is damaged or not signed by the key that root names.
        """
        return self.trust().delegations

    def signers(self, role: str) -> tuple[Signer, ...]:
        """Give the private keys of a role that can be used here; none for a role without any, or nobody's role.

        A key that is here and can't be used counts as not here, so that one list's fault does not stop the others;
        ``portcullis keys show`` names it.

        Raises:
            SetupFault: there is no trust here (see `roots`).
        """
        trust = self.trust()
        return self.signers_of(role, keys_of(role, trust.root, trust.targets.signed))

    def signers_of(self, role: str, keys: Mapping[str, Key]) -> tuple[Signer, ...]:
        """Give those of a role's keys, by their ids, whose private halves can be used here."""
        places = self.places().get(role, {})
        opened = [self._open(places[key_id], key) for key_id, key in keys.items() if key_id in places]
        return tuple(each for each in opened if each is not None)

    def delegate(self, list_name: str, *, now: float) -> bool:
        """Make a key for a list that is new, and sign the delegations anew; ``now`` is Unix seconds.

        Gives True where the list is delegated and its key is here, False where it is not and the targets key is not here
        either, or the folder can't be written. A list that is delegated already stays as it is.

        Raises:
            SetupFault: there is no trust here, or another command is at work in the folder.
            OSError: the disk refused.
        """
        role = list_role(list_name)
        if not self._delegated(role) and self.signers(TARGETS):
            try:
                with self.files.locked():
                    self._delegate(role, now)
            except OSError as fault:
                if fault.errno not in _READ_ONLY:
                    raise
        return bool(self.signers(role))

    def stamp(self) -> tuple[object, ...]:
        """Give what changes as soon as anything that matters here changed; looks at dates, not into files."""
        uris = sorted(uri for placed in self.places().values() for uri in placed.values())
        return (*self.files.stamp(), *map(self._file_stamp, uris))

    def trust(self) -> Trust:
        """Give what is signed; raises as `roots` and `delegations`."""
        stamp = self.files.stamp()
        if self._trust is None or self._trust[0] != stamp:
            self._trust = (stamp, self._read_settled())
        return self._trust[1]

    def places(self) -> dict[str, dict[str, str]]:
        """Give where the private keys are said to be: role -> key id -> URI."""
        stamp = self.files.signers_stamp()
        if self._placed is None or self._placed[0] != stamp:
            self._placed = (stamp, self.files.signers())
        return self._placed[1]

    def copy_of_targets(self) -> Targets:
        """Give the delegations to be changed and signed anew; raises as `delegations`."""
        return read_targets(self.delegations(), str(self.files.targets_file)).signed

    def expiries(self) -> dict[str, float]:
        """Give when the metadata that people sign expires, in Unix seconds, by role; raises as `delegations`."""
        trust = self.trust()
        return {ROOT: trust.root.expires.timestamp(), TARGETS: trust.targets.signed.expires.timestamp()}

    def _open(self, uri: str, key: Key) -> Signer | None:
        stamp, held = self._file_stamp(uri), self._opened.get((key.keyid, uri))
        if held is not None and held[0] == stamp:
            return held[1]
        try:
            signer = open_signer(self.files, uri, key)
        except SetupFault:
            return None
        if signer is not None:
            self._opened[key.keyid, uri] = (stamp, signer)
        return signer

    def _delegated(self, role: str) -> bool:
        trust = self.trust()
        return bool(keys_of(role, trust.root, trust.targets.signed))

    def _delegate(self, role: str, now: float) -> None:
        if self._delegated(role):  # by another process, meanwhile
            return
        targets = self.copy_of_targets()
        _, signer = add_key(self.files, role, 1, self._randomness)
        set_delegation(targets, role, [signer.public_key])
        self.files.write_targets(sign_targets(targets, self.signers(TARGETS), [self.trust().root], now=now))

    def _read_settled(self) -> Trust:
        try:
            return self._read()
        except SetupFault as fault:
            if self.files.locked_here or not self.files.folder.is_dir():
                raise
            try:
                # A ceremony may be between two files: what stands when it has ended counts.
                with self.files.locked():
                    return self._read()
            except OSError:
                raise fault from None

    def _read(self) -> Trust:
        roots, delegations = self.files.roots(), self.files.targets()
        if not roots or delegations is None:
            missing = self.files.targets_file if roots else self.files.root_file(1)
            raise SetupFault(
                f"{missing} is missing; make the keys with `portcullis keys init`, or restore the folder from its backup"
            )
        newest = self.files.root_file(len(roots))
        root = read_root(roots[-1], str(newest))
        if root.version != len(roots):
            raise SetupFault(f"{newest} is another version of {ROOT}; restore it from its backup")
        targets = read_targets(delegations, str(self.files.targets_file))
        if not is_signed(root, TARGETS, targets):
            raise SetupFault(
                f"{self.files.targets_file} is not signed by the key that {newest.name} names; "
                "complete the rotation with `portcullis keys rotate targets`"
            )
        return Trust(roots, root, delegations, targets)

    def _file_stamp(self, uri: str) -> object:
        path = self.files.path_of(uri)
        return None if path is None else self.files.file_stamp(path)
