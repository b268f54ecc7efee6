"""The token keys of a home, read from their files as they are asked for.

A key that is copied while a process runs is found within a second, without a restart, and so is the right one where a wrong
one lay. A file that can't be read, or is damaged, counts as missing here; whoever needs it is told so by name.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from portcullis.domain.errors import SetupFault
from portcullis.domain.token_keys import FIRST_EPOCH, key_file_name
from portcullis.domain.tokens import Tokeniser
from portcullis.mains.keys import read_key

_LOOK_EVERY_S: Final = 1.0
_FILE: Final = re.compile(r"^token\.(?:([1-9][0-9]{0,8})\.)?key$")


class _Looked(NamedTuple):
    """What a look at a file has found, when the next is due, and by what another file in its place is told."""

    again_at: float
    stamp: tuple[int, ...]
    key: Tokeniser | None


class FolderTokenKeys:
    """The token keys in a folder. Implements `portcullis.domain.token_keys.TokenKeys`; safe for threads.

    Args:
        directory: the folder.
        monotonic: tells when it may be looked at again.
    """

    def __init__(self, directory: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._looked: dict[int, _Looked] = {}
        self._listed: tuple[float, tuple[Tokeniser, ...]] | None = None

    def of_epoch(self, epoch: int) -> Tokeniser | None:
        """Give the key of an epoch; None where it is not here. Its file is looked at once a second."""
        now, earlier = self._monotonic(), self._looked.get(epoch)
        return earlier.key if earlier is not None and now < earlier.again_at else self._look(epoch, now)

    def held(self) -> Sequence[Tokeniser]:
        """Give every key that is here, the newest first; the folder is looked at once a second."""
        now = self._monotonic()
        if self._listed is None or now >= self._listed[0]:
            here = epochs_in(self._directory)
            # What was retired is forgotten.
            self._looked = {epoch: each for epoch, each in self._looked.items() if epoch in here or each.key is None}
            found = [self._look(epoch, now) for epoch in reversed(here)]
            self._listed = now + _LOOK_EVERY_S, tuple(each for each in found if each is not None)
        return self._listed[1]

    def _look(self, epoch: int, now: float) -> Tokeniser | None:
        name, key = key_file_name(epoch), None
        # Taken before the file is read: one that is put in its place meanwhile has another at the next look.
        stamp, earlier = _stamp(self._directory / name), self._looked.get(epoch)
        if earlier is not None and earlier.key is not None and earlier.stamp == stamp:
            key = earlier.key
        else:
            with suppress(SetupFault):
                key = Tokeniser(read_key(self._directory, name), epoch)
        self._looked[epoch] = _Looked(now + _LOOK_EVERY_S, stamp, key)
        return key


def _stamp(path: Path) -> tuple[int, ...]:
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()


def epochs_in(directory: Path) -> list[int]:
    """Give the epochs whose files lie in a folder, in their order; none where it can't be read."""
    with suppress(OSError):
        found = (_FILE.match(each.name) for each in directory.iterdir())
        return sorted(int(each.group(1) or FIRST_EPOCH) for each in found if each)
    return []
