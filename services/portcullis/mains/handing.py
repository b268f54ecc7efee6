"""The settings of the stack, handed to its children in memory: a database's URL may hold a password.

An environment and arguments can be read by others of this user, and end in the reports of whoever dumps them; a file would
outlive a stack that is killed. So the settings lie as JSON in an anonymous file, whose descriptor each child inherits, also
one that is started again. The environment holds its number alone.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault

VARIABLE = "PORTCULLIS_SETTINGS_FD"
"""Names the descriptor in a child's environment."""


def hand_over(settings: Settings, folder: Path) -> int:
    """Give a descriptor of these settings, to be closed by the caller.

    Args:
        settings: what the children are to have.
        folder: a private one; where the system has no files in memory, the file is made there and has no name.
    """
    descriptor = _anonymous_file(folder)
    os.write(descriptor, settings.model_dump_json().encode())
    return descriptor


def taken_over(environment: Mapping[str, str] = os.environ) -> dict[str, object] | None:
    """Read what this process was handed; None where it was handed nothing.

    Raises:
        SetupFault: the variable does not name such a descriptor.
    """
    number = environment.get(VARIABLE)
    if number is None:
        return None
    try:
        descriptor = int(number)
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - os takes it by position only
        # Brothers share the descriptor's place: it is read without moving it.
        given = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    except (OSError, ValueError) as fault:
        raise SetupFault(f"{VARIABLE}: it is for the parts that `portcullis run` starts itself; unset it") from fault
    return dict(given)


def _anonymous_file(folder: Path) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("portcullis-settings")
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())
