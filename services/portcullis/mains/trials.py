"""The commands that a newcomer can copy from the first lines of `portcullis run`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from portcullis.demo import lists

_DEFAULT_HOME = Path(".portcullis")
_DEFAULT_TARGET = "127.0.0.1:50051"


class Trial(NamedTuple):
    """One command, and what it shows."""

    shows: str
    command: str


def trials(home: Path, target: str) -> list[Trial]:
    """Give a refusal, an ALLOW of the same person, and a caller's label."""
    person = _first_value("court-judgment-defaulters", "cn.resident-id")
    caller = _first_value("caller-notices", "phone")
    where = _where(home, target)
    return [
        Trial("RESTRICT: every seat on a G train", _check("G101", person, where)),
        Trial("ALLOW: an ordinary seat, which nothing may restrict", _check("K1", person, where)),
        Trial("a caller's public label", shlex.join([program(), "caller", caller, *where])),
    ]


def first_steps(home: Path) -> list[str]:
    """Give the commands that put a policy and a list into an empty registry."""
    where = _home_option(home)
    return [
        shlex.join([program(), "policy", "apply", "DIR", *where]),
        shlex.join([program(), "import", "--list", "NAME", "--format", "jsonl", "FILE", *where]),
    ]


def program() -> str:
    """Give the command that started this process, as a shell in the present folder finds it."""
    script = Path(sys.prefix) / "bin" / "portcullis"
    here = Path.cwd()
    return str(script.relative_to(here)) if script.is_relative_to(here) else str(script)


def _check(train: str, person: str, where: list[str]) -> str:
    asked = ["check", "--action", "rail.ticket.purchase", "--attr", f"train={train}", "--id", f"cn.resident-id:{person}"]
    return shlex.join([program(), *asked, "--purpose", "ticketing", *where])


def _where(home: Path, target: str) -> list[str]:
    options = _home_option(home)
    return options if target == _DEFAULT_TARGET else [*options, "--target", target]


def _home_option(home: Path) -> list[str]:
    return [] if home == _DEFAULT_HOME.absolute() else ["--home", str(home)]


def _first_value(list_name: str, kind: str) -> str:
    first = next(lists.rows(list_name))
    return next(str(each["value"]) for each in first["identifiers"] if each["kind"] == kind)
