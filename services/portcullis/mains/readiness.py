"""Readiness: the sum of named checks.

A vital check that fails makes the whole not ready: callers should go elsewhere. A check that is not vital is only named as
degraded: a gateway goes on answering from its replica while the publisher or the store is away, and taking it out of
service for that would turn a small fault into a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from portcullis.domain.errors import RegistryUnavailable, SetupFault
from portcullis.ports import RegistryReader


class Check(NamedTuple):
    """One named check. ``fault`` says what is wrong, or gives None; it must return within about a second."""

    name: str
    fault: Callable[[], str | None]
    vital: bool = True


class Readiness(msgspec.Struct, frozen=True):
    """What the checks said. ``failing`` and ``degraded`` map a check's name to what is wrong."""

    ready: bool
    checks: tuple[str, ...]
    failing: dict[str, str]
    degraded: dict[str, str]

    def to_json(self) -> bytes:
        """Write it as one JSON object and a newline."""
        return msgspec.json.encode(self) + b"\n"


def readiness_of(checks: Iterable[Check]) -> Readiness:
    """Run the checks."""
    failing: dict[str, str] = {}
    degraded: dict[str, str] = {}
    names: list[str] = []
    for check in checks:
        names.append(check.name)
        fault = _fault_of(check)
        if fault is not None:
            (failing if check.vital else degraded)[check.name] = fault
    return Readiness(not failing, tuple(names), failing, degraded)


class Listening:
    """Whether a part's port is open yet: the status server answers before it is, and nobody is to be sent there so early."""

    def __init__(self) -> None:
        self._began = False

    def begin(self) -> None:
        """Say that the port is open."""
        self._began = True

    def check(self) -> Check:
        """Check that it is."""
        return Check("listening", lambda: None if self._began else "the port is not open yet")


def registry_check(registry: RegistryReader) -> Check:
    """Check that the registry's database answers."""

    def fault() -> str | None:
        try:
            registry.head()
        except RegistryUnavailable as unavailable:
            return unavailable.message
        return None

    return Check("registry", fault)


def token_key_check(demand: Callable[[], object], *, vital: bool) -> Check:
    """Check that the token keys that entries stand under are here: without them a question about a person finds nothing.

    ``demand`` raises SetupFault where they are not.
    """

    def fault() -> str | None:
        try:
            demand()
        except SetupFault as missing:
            return missing.message
        except RegistryUnavailable:
            # That is another check's.
            return None
        return None

    return Check("token-key", fault, vital)


def _fault_of(check: Check) -> str | None:
    try:
        return check.fault()
    except Exception as fault:  # noqa: BLE001 - a check that breaks is a check that fails
        return f"the check itself failed: {type(fault).__name__}"
