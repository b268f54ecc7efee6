"""Settings handed to a child process, through its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from portcullis.config import Settings

_PREFIX = "PORTCULLIS_"


def child_environment(
    settings: Settings, extra: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Give an environment from which a child reads exactly these settings.

    Args:
        settings: what the child is to have.
        extra: further variables.
        environment: the parent's; its own ``PORTCULLIS_*`` variables are left out, so that no key or file leaks through.
    """
    inherited = {name: value for name, value in environment.items() if not name.startswith(_PREFIX)}
    given = {
        f"{_PREFIX}{name.upper()}": str(value)
        for name, value in settings.model_dump(mode="json").items()
        if value is not None
    }
    return {**inherited, **given, **extra}
