"""Data keys wrapped under the key of a file: envelope encryption without a key management service.

The wrapping key is derived from the file's by keyed BLAKE2b (RFC 7693), so that nothing else that the file's key is used for
meets it. A wrapped key is a box of `portcullis.adapters.sealed_box`.

A key is followed by another: ``seal.key`` by ``seal.2.key``, and that by ``seal.3.key``. The newest wraps, and each that is
here opens what it has wrapped. One whose name ends in ``.next`` opens as well but does not wrap yet, so that every host can
have it before the first of them uses it. What takes the files is told by them alone: a process that runs sees a new one
within a second.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from portcullis.adapters.sealed_box import BOX_KEY_BYTES, SealedBox
from portcullis.domain.errors import SetupFault

_PERSON: Final = b"entry-wrapping"
_BOUND_TO: Final = b"data key"
_FILE: Final = re.compile(r"^seal\.(?:([1-9][0-9]{0,8})\.)?key(\.next)?$")
_LOOK_EVERY_S: Final = 1.0


class KeyFileWrapper:
    """Wraps under a key file's 32 bytes. Implements `portcullis.ports.KeyWrapper`; holds no state that changes.

    Args:
        key: the file's 32 bytes.
        name: what the file is called, for whoever looks for it.
        draw: ``draw(n)`` gives n unpredictable bytes.

    Raises:
        SetupFault: the key has another length.
    """

    epoch = 1

    def __init__(self, key: bytes, *, name: str = "keys/seal.key", draw: Callable[[int], bytes] = os.urandom) -> None:
        SealedBox(key)
        self.name = name
        self._box = SealedBox(blake2b(key=key, person=_PERSON, digest_size=BOX_KEY_BYTES).digest(), draw=draw)

    def wrap(self, data_key: bytes, /) -> bytes:
        """Wrap a data key."""
        return self._box.seal(data_key, _BOUND_TO)

    def unwrap(self, wrapped: bytes, /) -> bytes:
        """Give a wrapped data key back.

        Raises:
            ValueError: it was wrapped under another key, or is damaged.
        """
        return self._box.open(wrapped, _BOUND_TO)

    def is_present(self, wrapped: bytes, /) -> bool:
        """Say whether a data key is wrapped under the key that wraps now."""
        try:
            self.unwrap(wrapped)
        except ValueError:
            return False
        return True

    def holds(self, wrapped: Collection[bytes], /) -> bool:
        """Say whether all these data keys are wrapped under this key."""
        return all(self.is_present(each) for each in wrapped)


class SealFile(NamedTuple):
    """A key file that wraps, wrapped or will wrap: its epoch, and whether it is only the next one."""

    path: Path
    epoch: int
    is_next: bool


def seal_files(directory: Path) -> list[SealFile]:
    """Give the files that data keys are wrapped under, the oldest first; raises OSError where the folder can't be read."""
    found = ((each, _FILE.match(each.name)) for each in directory.iterdir())
    return sorted(
        (SealFile(path, int(match.group(1) or 1), bool(match.group(2))) for path, match in found if match),
        key=lambda each: each.epoch,
    )


class _Held(NamedTuple):
    """The keys that one look at a folder has found. ``names`` is None where it is to be looked at again in any case."""

    names: tuple[str, ...] | None
    opening: Sequence[KeyFileWrapper]
    wrapping: KeyFileWrapper
    epoch: int

    def unwrapped(self, wrapped: bytes) -> bytes | None:
        for each in self.opening:
            try:
                return each.unwrap(wrapped)
            except ValueError:
                continue
        return None


class FolderWrapper:
    """Wraps under the newest key of a folder, and unwraps under any. Implements `portcullis.ports.KeyWrapper`.

    Args:
        directory: the folder.
        read: gives the 32 bytes of a file of it, by its name; raises SetupFault.
        monotonic: tells when the folder may be looked at again.

    Raises:
        SetupFault: there is no key, or one can't be read.
    """

    def __init__(
        self, directory: Path, read: Callable[[Path, str], bytes], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._read = read
        self._monotonic = monotonic
        self._look_at = 0.0
        self._held: _Held | None = None
        self._look()

    @property
    def name(self) -> str:
        """What the key that wraps is called."""
        return self._present().wrapping.name

    @property
    def epoch(self) -> int:
        """The number of the key that wraps; the folder is looked at once a second."""
        held = self._look() if self._monotonic() >= self._look_at else self._present()
        return held.epoch

    def wrap(self, data_key: bytes, /) -> bytes:
        """Wrap a data key."""
        return self._look().wrapping.wrap(data_key)

    def unwrap(self, wrapped: bytes, /) -> bytes:
        """Give a wrapped data key back.

        Raises:
            ValueError: it was wrapped under a key that is not here, or is damaged.
        """
        found = self._present().unwrapped(wrapped)
        if found is None:
            # Another process may have gone over to a key that came since.
            found = self._look().unwrapped(wrapped)
        if found is None:
            raise ValueError("wrapped under another key")
        return found

    def is_present(self, wrapped: bytes, /) -> bool:
        """Say whether a data key is wrapped under the key that wraps now."""
        return self.epoch > 0 and self._present().wrapping.is_present(wrapped)

    def holds(self, wrapped: Collection[bytes], /) -> bool:
        """Say whether all these data keys can be unwrapped with the keys that lie in the folder at this moment.

        Raises:
            SetupFault: there is no key, or one can't be read.
        """
        held = self._look()
        return all(held.unwrapped(each) is not None for each in wrapped)

    def _present(self) -> _Held:
        assert self._held is not None  # noqa: S101 - tells mypy; the first look has found keys, or raised
        return self._held

    def _look(self) -> _Held:
        self._look_at = self._monotonic() + _LOOK_EVERY_S
        try:
            files = seal_files(self._directory)
        except OSError:
            files = []
        names: tuple[str, ...] | None = tuple(each.path.name for each in files)
        if self._held is not None and names == self._held.names:
            return self._held
        wrapping = [each for each in files if not each.is_next]
        if not wrapping:
            # Says what is wrong with it.
            self._read(self._directory, "seal.key")
            raise SetupFault(f"{self._directory} can't be listed; make it readable, for the seal keys lie there")
        made: dict[SealFile, KeyFileWrapper] = {}
        for each in files:
            try:
                key = self._read(self._directory, each.path.name)
            except SetupFault:
                if not each.is_next:
                    raise
                # Just being copied: nothing is wrapped under it yet, and it is looked at again.
                names = None
            else:
                made[each] = KeyFileWrapper(key, name=f"keys/{each.path.name}")
        # At once, since another thread may look too.
        self._held = held = _Held(names, tuple(reversed(made.values())), made[wrapping[-1]], wrapping[-1].epoch)
        return held
