"""What a log line may hold. Everything is kept out that is not known to be harmless.

1. By type: numbers, truth values, times, paths, text, and plain lists and tables of these pass. Any other value is replaced
   by the name of its type: an identifier as given or normalised, a caller with a session, a record, bytes, an exception.
2. By key: what stands under a name that is somebody's data or a secret (`NEVER`) is replaced, however deep it lies.
3. By form: within text, what looks like a credential of ours (``pcl_``, ``pcs_``, ``PCR-``), a URL's user and password, an
   Authorization header, a signed token, a private key, a phone number, a resident ID or an organisation's code is replaced.
4. Of an exception the places and the types are told; the text only of Portcullis's own, whose texts never hold a value, and
   of the operating system's. Others quote what they stumbled over: ``int("...")`` does.

The first rule holds the line; the third catches what somebody has put into a text. A passport number has no form of its own:
it is kept out by the first two, and by texts that never repeat what they were given.

Example: ``log.error("refused", caller=caller, url="redis://:hush@store:6379")`` has the caller ``[withheld Caller]`` and the
URL ``redis://[withheld]@store:6379``.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from enum import Enum
from pathlib import PurePath
from types import TracebackType

from portcullis.domain.errors import PortcullisError

WITHHELD = "[withheld]"
NEVER = frozenset(
    {
        "api_key",
        "args",  # of a call that is tried again
        "authorization",
        "body",
        "caused_by",  # likewise: the text of any exception
        "code",
        "credential",
        "identifier",
        "identifiers",
        "key",
        "kwargs",
        "name",
        "names",
        "password",
        "phone",
        "secret",
        "session",
        "token",
        "tokens",
        "value",
    }
)
"""Keys that would carry someone's data or a secret; a call that passes one is a fault, and says so in the line."""

_FORMS = re.compile(
    r"""
    \bpc[ls]_[\w-]+                                                  # an API key, a session, a relay's token
    | \bPCR[-\ ]?(?:[0-9A-Z]{4}[-\ ]?){3}[0-9A-Z]{4}\b               # a redress number
    | (?<=://)[^\s"']*@                                               # a URL's user and password
    | (?<=[?&])(?:ssl)?password=[^&\s"']*                            # the same, as PostgreSQL takes it too
    | \b(?:bearer|basic)\s+[\w.~+/=-]{8,}                            # an Authorization header
    | \beyJ[\w-]{8,}\.[\w-]+\.[\w-]*                                 # a signed token, which names a subject
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | (?<![\w.])\+[1-9]\d{6,14}(?!\d)                                # a phone number, E.164
    | \b[1-9]\d{16}[\dX]\b                                           # a resident ID
    | \b[0-9A-HJ-NP-RTUWXY]{2}\d{6}[0-9A-HJ-NP-RTUWXY]{10}\b         # an organisation's code
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_HARMLESS = (bool, int, float, type(None))
_LISTS = (list, tuple, set, frozenset)


def scrub(text: str) -> str:
    """Give a text without whatever has the form of a secret or of a person's number."""
    return _FORMS.sub(_replaced, text)


def redact(value: object) -> object:
    """Give a value as a log line may hold it: of plain types alone, at any depth."""
    kind = type(value)
    if kind in _HARMLESS:
        return value
    if isinstance(value, Enum):
        return redact(value.value)
    if kind is str or isinstance(value, PurePath | date | time | timedelta):
        return scrub(str(value))
    # A tuple with names is a type of its own, and who knows what it holds.
    if kind in _LISTS and isinstance(value, Iterable):
        return [redact(each) for each in value]
    if isinstance(value, Mapping):
        return {scrub(str(key)): redact_field(str(key), each) for key, each in value.items()}
    return f"[withheld {kind.__name__}]"


def redact_field(name: str, value: object) -> object:
    """Give the value of a key as a log line may hold it."""
    return WITHHELD if name.lower() in NEVER else redact(value)


def told(fault: BaseException) -> str:
    """Tell of an exception and what caused it: the places of each, its type, and its text where that can be no harm."""
    return "\n".join(_lines(fault, set()))


def _lines(fault: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(fault))
    cause = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    if cause is not None and id(cause) not in seen:
        yield from _lines(cause, seen)
        yield "which led to:"
    yield from _places(fault.__traceback__)
    yield _name(fault)
    if isinstance(fault, BaseExceptionGroup):
        for each in fault.exceptions:
            yield "of which one:"
            yield from _lines(each, seen)


def _places(trace: TracebackType | None) -> Iterator[str]:
    for frame in traceback.extract_tb(trace):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}"


def _name(fault: BaseException) -> str:
    kind = type(fault)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(fault, PortcullisError):
        return scrub(f"{name}: {fault.message}")
    if isinstance(fault, OSError) and fault.strerror:
        return scrub(f"{name}: {fault.strerror}")
    return name


def _replaced(found: re.Match[str]) -> str:
    # What follows a URL's user is kept: where it leads is what one looks for in a log.
    return f"{WITHHELD}@" if found[0].endswith("@") else WITHHELD
