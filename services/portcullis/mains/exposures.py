"""What a process is given that it should not have: the rights of root, and secrets in its environment.

Both are told, never refused: a container may map its root to a user without rights, and settings by variables are supported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import structlog

from portcullis.cli.examined import Exposure
from portcullis.config import Settings
from portcullis.mains.redaction import scrub

_log = structlog.get_logger(__name__)


def exposures(uid: int | None = None, environment: Mapping[str, str] = os.environ) -> list[Exposure]:
    """Give what should be mended of how this process was started.

    Args:
        uid: the effective user's number; this process's by default.
        environment: its variables. Only those of the settings are looked at: whoever runs one command may give it a key.
    """
    found = []
    if (os.geteuid() if uid is None else uid) == 0:
        mend = "start it as a user of its own that owns the home; the image does"
        found.append(Exposure("it runs as root", mend))
    for name in (f"PORTCULLIS_{each.upper()}" for each in Settings.model_fields):
        if (given := environment.get(name)) and scrub(given) != given:
            mend = "put it into a file for its user alone, and name that with PORTCULLIS_CONFIG"
            found.append(Exposure(f"{name} has a password in it, which the environment shows to others", mend))
    return found


def warn_of_exposures() -> None:
    """Log what should be mended of how this process was started; once it is known that it can start at all."""
    for each in exposures():
        _log.warning(each.what, mend=each.mend)
