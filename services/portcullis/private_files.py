"""Whether what should be one user's alone can be read by others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077


def is_exposed(path: Path) -> bool:
    """Tell whether others of this host can read a file or folder of this user's; False where it is not there.

    A folder that lets nobody else in keeps what is in it, whatever the modes there. What belongs to another user is not this
    user's to close: a container reads its secrets just so, as files of the host's user that all may read. A link is as
    private as what it leads to: others reach that past the link.
    """
    try:
        place = path.resolve(strict=True)
        own = place.stat()
        return own.st_uid == os.geteuid() and bool(own.st_mode & _OTHERS and place.parent.stat().st_mode & _OTHERS)
    except (OSError, RuntimeError):  # the latter where links lead in a circle
        return False
