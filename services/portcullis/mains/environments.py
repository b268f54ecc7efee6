"""What a child process finds in its environment: what its parent found there, without anything that is Portcullis's own."""

from __future__ import annotations

import os
from collections.abc import Mapping

_PREFIX = "PORTCULLIS_"
_PLAIN = frozenset({"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"})


def child_environment(extra: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give the environment of a part of ours; its settings are handed to it (`portcullis.mains.handing`).

    Args:
        extra: further variables.
        environment: the parent's; its ``PORTCULLIS_*`` variables are left out, so that no key, URL or file leaks through.
    """
    return {name: value for name, value in environment.items() if not name.startswith(_PREFIX)} | dict(extra)


def plain_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give the environment of a foreign program: how to find and write things, and nothing else that the parent has."""
    return {name: value for name, value in environment.items() if name in _PLAIN}
