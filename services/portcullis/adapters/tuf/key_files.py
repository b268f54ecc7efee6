"""The files of a trust folder: where each lies, and how it is written.

    N.root.json                      the root metadata, every version from 1 on; public
    targets.json                     the delegations; public
    signers.json                     where each private key is: role -> key id -> URI
    offline/root-N.pem, targets.pem  the private keys to be moved away in production
    online/NAME.pem                  those of timestamp, snapshot and head
    online/lists/NAME.pem            those of lists

Private keys are PEM (PKCS #8). Every file is replaced in one step and on the disk before the next is written, mode 0600 in
folders of 0700. Whoever writes holds ``.lock``.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from portcullis.adapters.durable_files import make_private_folder, write_durably
from portcullis.adapters.tuf.key_roles import ROOT, TARGETS, is_role, list_of, list_role
from portcullis.domain.errors import SetupFault

FILE_SCHEME = "file:"
_OFFLINE = "offline/"
_LOCK_WAIT_S = 10.0
_LOCK_POLL_S = 0.01

Signers = Mapping[str, Mapping[str, str]]
"""Role -> key id -> URI of the private key."""


class KeyFiles:
    """The files of one trust folder.

    Args:
        folder: the trust folder.
        offline: where the files of ``offline/`` are, if they were moved.
    """

    def __init__(self, folder: Path, offline: Path | None = None) -> None:
        self.folder = folder
        self.offline = offline or folder / "offline"
        self.offline_moved = offline is not None
        self.targets_file = folder / "targets.json"
        self.signers_file = folder / "signers.json"
        self.locked_here = False
        self._writes = 0

    def root_file(self, version: int) -> Path:
        """Name the file of a version of root."""
        return self.folder / f"{version}.root.json"

    def roots(self) -> tuple[bytes, ...]:
        """Read every root, version 1 first; none where there is no version 1.

        Raises:
            SetupFault: one can't be read.
        """
        found: list[bytes] = []
        while (data := _read(self.root_file(len(found) + 1))) is not None:
            found.append(data)
        return tuple(found)

    def targets(self) -> bytes | None:
        """Read the delegations; None where there are none; raises as `roots`."""
        return _read(self.targets_file)

    def signers(self) -> dict[str, dict[str, str]]:
        """Read where the private keys are.

        Raises:
            SetupFault: the file is damaged, or can't be read.
        """
        data = _read(self.signers_file)
        if data is None:
            return {}
        try:
            return msgspec.json.decode(data, type=dict[str, dict[str, str]])
        except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
            raise SetupFault(
                f"{self.signers_file} is not what it should be (role -> key id -> URI); restore it from its backup"
            ) from fault

    def checked_signers(self) -> dict[str, dict[str, str]]:
        """Read where the private keys are, for whoever is told of them or changes them.

        Raises:
            SetupFault: as `signers`; also where the file is missing beside a root, or names a role that does not exist.
        """
        if not self.signers_file.exists() and self.root_file(1).exists():
            raise SetupFault(
                f"{self.signers_file} is missing, so no key can sign; restore it from its backup, or write it anew: "
                '{"ROLE": {"KEY_ID": "file:PATH"}}, a list\'s role being list-NAME'
            )
        places = self.signers()
        for role in places:
            if not is_role(role):
                right = f"the role of a list is {list_role('NAME')}" if role.startswith("list") else "leave it out"
                raise SetupFault(f"{self.signers_file} names {role}, which is no role; {right}")
        return places

    def path_of(self, uri: str) -> Path | None:
        """Give the file that a URI means; None where it means a service.

        A path is relative to the trust folder; what begins with ``offline/`` is where the offline keys were moved to.
        """
        if not uri.startswith(FILE_SCHEME):
            return None
        path = uri.removeprefix(FILE_SCHEME)
        if path.startswith(_OFFLINE):
            return self.offline / path.removeprefix(_OFFLINE)
        return self.folder / path

    def owns(self, uri: str) -> bool:
        """Say whether a key lies in ``online/``, where a key that is no longer trusted has no business."""
        return uri.startswith(f"{FILE_SCHEME}online/")

    def fresh_uri(self, role: str, number: int) -> str:
        """Name a file, not there yet, for a role's new key, the ``number``-th or a later one."""
        known = {uri for uris in self.signers().values() for uri in uris.values()}
        for each in itertools.count(number):
            uri = key_uri(role, each)
            path = self.path_of(uri)
            if uri not in known and path is not None and not path.exists():
                return uri
        raise AssertionError("unreachable: counting does not end")

    def write_root(self, version: int, data: bytes) -> None:
        """Put a version of root in place.

        Raises:
            OSError: the disk refused.
        """
        self._write(self.root_file(version), data)

    def write_targets(self, data: bytes) -> None:
        """Replace the delegations; raises as `write_root`."""
        self._write(self.targets_file, data)

    def write_signers(self, signers: Signers) -> None:
        """Replace the list of private keys; raises as `write_root`."""
        text = msgspec.json.format(msgspec.json.encode(signers, order="sorted"), indent=2)
        self._write(self.signers_file, text + b"\n")

    def stamp(self) -> tuple[object, ...]:
        """Give what changes with any file here; looks at names and dates alone, save for a changed ``signers.json``."""
        try:
            names = sorted(name for name in os.listdir(self.folder) if name.endswith(".root.json"))  # noqa: PTH208
        except FileNotFoundError:
            names = []
        return (*names, self.file_stamp(self.targets_file), self.signers_stamp())

    def signers_stamp(self) -> tuple[object, ...]:
        """Give what changes with ``signers.json``."""
        # Two writes of this process may fall on one tick of the file system's clock.
        return self._writes, self.file_stamp(self.signers_file)

    @staticmethod
    def file_stamp(path: Path) -> tuple[int, int, int] | None:
        """Give what changes when a file is replaced; None where there is none."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @contextmanager
    def locked(self, wait_s: float = _LOCK_WAIT_S, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Keep every other writer out; makes the folder.

        Raises:
            SetupFault: another has been at work for too long.
            OSError: the folder can't be written.
        """
        make_private_folder(self.folder)
        descriptor = os.open(self.folder / ".lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor, time.monotonic() + wait_s, sleep)
            self.locked_here = True
            yield
        finally:
            self.locked_here = False
            os.close(descriptor)

    def _write(self, path: Path, data: bytes) -> None:
        self._writes += 1
        write_durably(path, data)

    def _acquire(self, descriptor: int, deadline: float, sleep: Callable[[float], None]) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise SetupFault(f"another command is at work in {self.folder}; wait until it has ended") from None
                sleep(_LOCK_POLL_S)
            else:
                return


def key_uri(role: str, number: int) -> str:
    """Name the file of a role's ``number``-th key by a URI relative to the trust folder."""
    if role == ROOT:
        return f"{FILE_SCHEME}{_OFFLINE}root-{number}.pem"
    # List names have no dots, so the second key of one is never the first of another.
    end = ".pem" if number == 1 else f".{number}.pem"
    if role == TARGETS:
        return f"{FILE_SCHEME}{_OFFLINE}{role}{end}"
    name = list_of(role)
    return f"{FILE_SCHEME}online/{role}{end}" if name is None else f"{FILE_SCHEME}online/lists/{name}{end}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise SetupFault(f"{path} can't be read ({fault.strerror}); let this user read it") from fault
