"""Runs single commands as `portcullis` would, with a wiring that a test makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer

from portcullis.cli.faults import guarded
from portcullis.cli.wiring import Wiring


def run_command(name: str, command: Callable[..., Any], arguments: Sequence[str], wiring: Wiring) -> int:
    """Run one command and give its exit code."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.command(name)(command)
    # A second command keeps Typer from taking the first one's name away.
    app.command("other")(lambda: None)

    def run() -> int:
        given = app(args=[name, *arguments], prog_name="portcullis", standalone_mode=False, obj=wiring)
        return given if isinstance(given, int) else 0

    return guarded(run)
