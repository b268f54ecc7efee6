"""``run/stack.json``: where the parts of a running stack are, for the other commands of the same home."""

from __future__ import annotations

from pathlib import Path

import msgspec

from portcullis.adapters.durable_files import write_durably
from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.mains.homes import is_held, run_folder

_NAME = "stack.json"


class StackFile(msgspec.Struct, frozen=True, kw_only=True):
    """One running stack: its addresses as ``host:port`` for a client of this machine, its store, its processes by name.

    ``metrics`` is the folder of the children's metrics.
    """

    pid: int
    grpc: str
    http: str
    transport: str
    redis_url: str
    children: dict[str, int]
    metrics: str = ""


def write_stack_file(home: Path, stack: StackFile) -> None:
    """Put the file in place, mode 0600: the store's URL may hold a password."""
    write_durably(run_folder(home) / _NAME, msgspec.json.format(msgspec.json.encode(stack)) + b"\n")


def remove_stack_file(home: Path) -> None:
    """Remove the file at the end of a stack."""
    (run_folder(home) / _NAME).unlink(missing_ok=True)


def left_behind(home: Path) -> StackFile | None:
    """Read the file whether or not its stack still runs; None when there is none that can be read."""
    try:
        return msgspec.json.decode((run_folder(home) / _NAME).read_bytes(), type=StackFile)
    except (OSError, msgspec.MsgspecError):
        return None


def running_stack(home: Path) -> StackFile | None:
    """Give the stack that runs on this home now, or None."""
    return left_behind(home) if is_held(home) else None


def locate_store(settings: Settings) -> str:
    """Give the URL of the store: the one set, or the embedded one of the running stack.

    Raises:
        SetupFault: neither is there.
    """
    if settings.redis_url:
        return settings.redis_url
    stack = running_stack(settings.home)
    if stack is None:
        raise SetupFault(
            f"no store of snapshots is set, and no stack runs on the home {settings.home.absolute()}; "
            "start one with `portcullis run`, or set PORTCULLIS_REDIS_URL"
        )
    return stack.redis_url
