"""Command lines found in documents and deployment files, parsed by the real command without running anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer.main

from portcullis.cli.app import build_app

REPOSITORY = Path(__file__).resolve().parents[2]

_BLOCK = re.compile(r"^```(?:sh|shell|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shell_lines(page: Path) -> Iterator[list[str]]:
    """Give the words of each command in the shell blocks of a page, comments left out."""
    for block in _BLOCK.findall(page.read_text()):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def parse(arguments: Sequence[str]) -> None:
    """Parse what follows ``portcullis`` on a command line.

    Raises:
        KeyError: no such command.
        Exception: typer's own, for a faulty option or argument.
    """
    command, rest = typer.main.get_command(build_app()), list(arguments)
    while hasattr(command, "commands"):
        default = getattr(command, "default", None)
        command = default if default and rest[0] not in command.commands else command.commands[rest.pop(0)]
    with command.make_context(command.name, rest):
        pass


def make_targets() -> set[str]:
    """Give the targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
