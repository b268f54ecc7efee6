"""Settings read for a command, each fault of theirs told as one line that names the variable."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import ValidationError

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.mains.handing import taken_over


def read_settings(**given: object) -> Settings:
    """Read the settings; what is given and not None comes before variables and file.

    A child of the stack has neither: what its parent handed to it comes in their place.

    Raises:
        SetupFault: one line for each setting that is wrong, never with its value, since a URL may hold a password.
    """
    _check_file()
    handed = taken_over() or {}
    try:
        return Settings(**handed | {name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as fault:
        raise SetupFault("\n".join(_line(each["loc"], each["type"], each["msg"]) for each in fault.errors())) from None


def _check_file() -> None:
    """Look at the file first: read by pydantic, an absent one passes for an empty one."""
    name = os.environ.get("PORTCULLIS_CONFIG")
    if not name:
        return
    try:
        tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as fault:
        raise SetupFault(
            f"PORTCULLIS_CONFIG: {name} can't be read ({fault.strerror}); name a TOML file, or unset the variable"
        ) from fault
    except ValueError as fault:
        raise SetupFault(f"PORTCULLIS_CONFIG: {name} is no TOML ({fault}); mend it there") from fault


def _line(location: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(map(str, location))
    if kind == "extra_forbidden":
        return f"{name}: no such setting; see docs/reference/cli.md for those there are"
    message = message.removeprefix("Value error, ")
    return f"PORTCULLIS_{name.upper()}: {message[:1].lower()}{message[1:]}; set it right, or unset it for the default"
