"""The ceremonies of the trust folder: making the keys, exchanging one, renewing what expires.

The order of the steps is what makes a crash harmless:

1. ``signers.json`` names a new private key before it is there, and an old one until it is gone.
2. A new root is written when all that it needs is there, and a first root last of all: without it nothing is in force, and
   the same command goes on with the keys that are there.
3. A targets file is written before the root that names its key, signed by the old key too where that is at hand, so that it
   holds for either root. Where it is not at hand, the same command completes what a crash has left.
4. What ``signers.json`` names and no metadata does is dropped at the end of the next ceremony.

Example: of a root with three keys and the threshold two, root-1 is lost. Its holders bring root-2 and root-3;
``rotate("root")`` makes root-4 to root-6, and 2.root.json carries the signatures of all five.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import Metadata, Root, Targets

from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.key_files import FILE_SCHEME, key_uri
from portcullis.adapters.tuf.key_report import report
from portcullis.adapters.tuf.key_roles import (
    HEAD,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    TOP_ROLES,
    checked_list,
    is_signed,
    keys_of,
    list_of,
    list_role,
    new_root,
    new_targets,
    read_root,
    read_targets,
    set_delegation,
    set_root_keys,
    sign_root,
    sign_targets,
    tuf_role,
)
from portcullis.adapters.tuf.signing import (
    Randomness,
    add_key,
    add_place,
    load_key,
    new_signer,
    open_signer,
    read_public_key,
    write_key,
)
from portcullis.adapters.tuf.standing import Standing, drop_untrusted
from portcullis.domain.errors import SetupFault
from portcullis.ports.clock import Clock
from portcullis.ports.keys import KeyChanges, RoleKeys

_ROOT_KEYS = 3


class TrustCeremony:
    """Implements `portcullis.ports.keys.KeyCeremony`; the docstrings stand there.

    Args:
        folder: the trust folder.
        clock: gives the time of signing.
        offline: where the files of its ``offline/`` are, if they were moved.
        randomness: gives the bytes that new keys are made of.
    """

    def __init__(
        self, folder: Path, clock: Clock, *, offline: Path | None = None, randomness: Randomness = os.urandom
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._directory = KeyDirectory(folder, offline=offline, randomness=randomness)
        self._files = self._directory.files

    def establish(
        self, lists: Sequence[str] = (), *, root_keys: int | None = None, root_threshold: int | None = None
    ) -> KeyChanges:
        """Make what is missing."""
        lists = [checked_list(name) for name in lists]
        with self._files.locked():
            if self._files.roots():
                self._demand_numbers(root_keys, root_threshold)
                return self._add_lists(lists)
            self._demand_nothing_later()
            number = root_keys or _ROOT_KEYS
            return self._establish(lists, number, root_threshold or number // 2 + 1)

    def rotate(self, role: str, *, uri: str | None = None, public_key: Path | None = None) -> KeyChanges:
        """Give a role a new key."""
        with self._files.locked():
            before = Standing(self._files)
            own = tuf_role(role)
            self._demand_signers(ROOT if own in TOP_ROLES else TARGETS)
            self._demand_delegated(own)
            if own == ROOT:
                self._demand_no_given_key(uri or public_key)
                signed = self._rotate_root()
            else:
                key = self._given_key(own, uri, public_key) if uri or public_key else self._make(own)
                signed = self._rotate_top(own, key) if own in TOP_ROLES else self._rotate_delegated(own, key)
            return before.changes(signed, drop_untrusted(self._files, before))

    def renew(self, role: str) -> KeyChanges:
        """Sign root or targets anew with the same keys."""
        with self._files.locked():
            before = Standing(self._files)
            if role == ROOT:
                signed = [self._write_root(self._newest_root(), self._demand_signers(ROOT))]
            elif role == TARGETS:
                signed = [self._write_targets(self._directory.copy_of_targets())]
            else:
                raise SetupFault(f"only root and targets are renewed by hand; the publisher signs {role} anew by itself")
            return before.changes(signed, drop_untrusted(self._files, before))

    def roles(self) -> tuple[RoleKeys, ...]:
        """Tell of every role."""
        return report(self._directory)

    # Making.

    def _establish(self, lists: Sequence[str], root_keys: int, threshold: int) -> KeyChanges:
        if not 1 <= threshold <= root_keys:
            raise SetupFault(
                f"root can't need {threshold} of {root_keys} keys; give a threshold from 1 to the number of keys"
            )
        before = Standing(self._files)
        roles = [TARGETS, SNAPSHOT, TIMESTAMP, HEAD, *map(list_role, lists)]
        slots = [(ROOT, number + 1) for number in range(root_keys)] + [(role, 1) for role in roles]
        places: dict[str, dict[str, str]] = {}
        signers: dict[str, list[Signer]] = {}
        for role, number in slots:
            uri = key_uri(role, number)
            signer = self._present_or_new(uri)
            places.setdefault(role, {})[signer.public_key.keyid] = uri
            signers.setdefault(role, []).append(signer)
        self._files.write_signers(places)
        keys = {role: [each.public_key for each in own] for role, own in signers.items()}
        root = new_root({role: keys[role] for role in TOP_ROLES}, threshold)
        root_data = sign_root(root, signers[ROOT], None, now=self._clock.now())
        targets = new_targets(keys[HEAD][0])
        for role in map(list_role, lists):
            set_delegation(targets, role, keys[role])
        self._files.write_targets(sign_targets(targets, signers[TARGETS], [root], now=self._clock.now()))
        self._files.write_root(1, root_data)
        return before.changes([str(self._files.targets_file), str(self._files.root_file(1))])

    def _present_or_new(self, uri: str) -> Signer:
        path = self._files.path_of(uri)
        if path is not None and path.exists():
            return load_key(self._files, uri)
        signer = new_signer(self._randomness)
        write_key(self._files, uri, signer)
        return signer

    def _add_lists(self, lists: Sequence[str]) -> KeyChanges:
        before = Standing(self._files)
        targets = self._directory.copy_of_targets()
        root = self._newest_root()
        missing = [role for role in map(list_role, lists) if not keys_of(role, root, targets)]
        if not missing:
            return KeyChanges()
        self._demand_signers(TARGETS)
        for role in missing:
            set_delegation(targets, role, [self._make(role)])
        return before.changes([self._write_targets(targets)], drop_untrusted(self._files, before))

    def _make(self, role: str) -> Key:
        _, signer = add_key(self._files, role, self._next_number(role), self._randomness)
        return signer.public_key

    def _next_number(self, role: str) -> int:
        # The files of offline keys may be elsewhere, so their numbers go on from those that root ever named.
        roots = [read_root(data, str(self._files.root_file(n))) for n, data in enumerate(self._files.roots(), 1)]
        ever = {key_id for root in roots if role in (ROOT, TARGETS) for key_id in root.roles[role].keyids}
        return len(ever) + 1

    def _given_key(self, role: str, uri: str | None, public_key: Path | None) -> Key:
        if uri is None and list_of(role) is None:
            raise SetupFault(f"this host must sign for {role}; say with --uri where the private key is reached")
        if uri is not None and uri.startswith(FILE_SCHEME):
            uri = FILE_SCHEME + str(Path(uri.removeprefix(FILE_SCHEME)).absolute())
        if public_key is not None:
            key = read_public_key(public_key)
        elif uri is not None and uri.startswith(FILE_SCHEME):
            key = load_key(self._files, uri).public_key
        else:
            raise SetupFault("a key in a service is known by its public half: give its file with --public-key")
        if uri is not None:
            if open_signer(self._files, uri, key) is None:
                raise SetupFault(f"there is no key at {uri}; see that this host can read it")
            add_place(self._files, role, key, uri)
        return key

    # Exchanging.

    def _rotate_root(self) -> list[str]:
        root = self._newest_root()
        old = self._demand_signers(ROOT)
        first = self._next_number(ROOT)
        count = len(root.roles[ROOT].keyids)
        new = [add_key(self._files, ROOT, first + offset, self._randomness)[1] for offset in range(count)]
        set_root_keys(root, ROOT, [each.public_key for each in new])
        return [self._write_root(root, [*old, *new])]

    def _rotate_top(self, role: str, key: Key) -> list[str]:
        root = self._newest_root()
        holders = self._demand_signers(ROOT)
        old = self._directory.signers_of(TARGETS, keys_of(TARGETS, root, None))
        set_root_keys(root, role, [key])
        signed = []
        if role == TARGETS:
            targets = self._targets_of_any_key()
            new = self._directory.signers_of(TARGETS, {key.keyid: key})
            judges = [root, self._newest_root()] if old else [root]
            data = sign_targets(targets, [*old, *new], judges, now=self._clock.now())
            self._files.write_targets(data)
            signed.append(str(self._files.targets_file))
        return [*signed, self._write_root(root, holders)]

    def _rotate_delegated(self, role: str, key: Key) -> list[str]:
        targets = self._directory.copy_of_targets()
        set_delegation(targets, role, [key])
        return [self._write_targets(targets)]

    def _write_root(self, root: Root, signers: Sequence[Signer]) -> str:
        previous = self._newest_root()
        data = sign_root(root, signers, previous, now=self._clock.now())
        self._files.write_root(root.version, data)
        return str(self._files.root_file(root.version))

    def _write_targets(self, targets: Targets) -> str:
        signers = self._demand_signers(TARGETS)
        data = sign_targets(targets, signers, [self._newest_root()], now=self._clock.now())
        self._files.write_targets(data)
        return str(self._files.targets_file)

    # What stands.

    def _newest_root(self) -> Root:
        roots = self._files.roots()
        if not roots:
            raise SetupFault(f"there is no {self._files.root_file(1)}; make the keys with `portcullis keys init`")
        return read_root(roots[-1], str(self._files.root_file(len(roots))))

    def _targets_of_any_key(self) -> Targets:
        """Give the delegations as signed by the key of root, or by one that a rotation which did not end has made."""
        data = self._files.targets()
        if data is None:
            return self._directory.copy_of_targets()
        metadata = read_targets(data, str(self._files.targets_file))
        if not is_signed(self._newest_root(), TARGETS, metadata) and not self._signed_by_a_listed_key(metadata):
            return self._directory.copy_of_targets()
        return metadata.signed

    def _signed_by_a_listed_key(self, metadata: Metadata[Targets]) -> bool:
        for key_id, uri in self._files.signers().get(TARGETS, {}).items():
            path = self._files.path_of(uri)
            if key_id in metadata.signatures and path is not None and path.exists():
                try:
                    key = load_key(self._files, uri).public_key
                    key.verify_signature(metadata.signatures[key_id], metadata.signed_bytes)
                except (SetupFault, VerificationError):
                    continue
                return True
        return False

    def _demand_signers(self, role: str) -> tuple[Signer, ...]:
        root = self._newest_root()
        keys, needed = keys_of(role, root, None), root.roles[role].threshold
        held = self._directory.signers_of(role, keys)
        if len(held) < needed:
            of_them = f"{needed} of its {len(keys)} keys" if len(keys) > 1 else "its key"
            found = f"{len(held)} can be used here" if held else "none can be used here"
            raise SetupFault(
                f"{role} must sign with {of_them}, and {found}; put the key files back into {self._files.offline}, "
                "or name the folder that they are in with --offline; `portcullis keys show` tells which are here"
            )
        return held

    def _demand_delegated(self, role: str) -> None:
        name = list_of(role)
        if name is not None and not keys_of(role, self._newest_root(), self._directory.copy_of_targets()):
            raise SetupFault(
                f"the list {name} has no key that could be exchanged; `portcullis keys show` tells which have one; "
                f"add it with `portcullis keys init --list {name}`"
            )

    def _demand_numbers(self, root_keys: int | None, root_threshold: int | None) -> None:
        role = self._newest_root().roles[ROOT]
        if root_keys not in (None, len(role.keyids)) or root_threshold not in (None, role.threshold):
            raise SetupFault(
                f"there is a root already, with {len(role.keyids)} keys of which {role.threshold} must sign; "
                "leave --root-keys and --root-threshold out, or begin in an empty folder"
            )

    def _demand_nothing_later(self) -> None:
        if self._files.root_file(2).exists():
            raise SetupFault(
                f"{self._files.root_file(1)} is missing, and there is a later one; restore it from its backup, or from a "
                "follower's host"
            )

    @staticmethod
    def _demand_no_given_key(given: object) -> None:
        if given:
            raise SetupFault("the keys of root are made anew all together, as files; leave --uri and --public-key out")
