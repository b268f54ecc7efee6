"""What the doctor finds: one thing looked at, how it is, and what to do to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from portcullis.cli.wiring import Wiring
from portcullis.domain.errors import PortcullisError, SetupFault

if TYPE_CHECKING:
    from portcullis.config import Settings

MIB = 1024 * 1024
NO_DISK_BYTES = 100 * MIB
"""With less room than this a disk is as good as full."""
NO_ROOM = "make room: with a full disk no refusal can be recorded, so none is given"
"""What to do about a disk that is full."""


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One thing looked at: how it is, and what to do to mend it ("" when nothing is to be done)."""

    name: str
    state: State
    what: str
    mend: str = ""


Examination = Callable[[Wiring, "Settings"], Iterator[Finding]]


def finding_of(fault: PortcullisError, name: str) -> Finding:
    """A part that is not set up here is a warning; one that is and does not work is a failure."""
    state = State.WARN if isinstance(fault, SetupFault) else State.FAIL
    what, _, mend = fault.message.partition("; ")
    return Finding(name, state, what, mend)
