"""The command line, assembled."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from portcullis.cli import checking, doctor, importing, inspecting, keys, policies, signing, snapshots, stack
from portcullis.cli.faults import guarded
from portcullis.cli.wiring import Wiring

WIDTH = 100
"""The columns that help is written in, whatever the terminal: what the reference shows is what one sees."""


def build_app() -> typer.Typer:
    """Assemble the commands."""
    app = typer.Typer(
        name="portcullis",
        help="Portcullis: may this customer do this?",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "terminal_width": WIDTH},
    )
    app.command("run")(stack.run)
    app.command("serve")(stack.serve)
    app.add_typer(importing.app, name="import")
    app.command("publish")(stack.publish)
    app.add_typer(policies.app, name="policy")
    app.add_typer(keys.app, name="partner")
    app.add_typer(signing.app, name="keys")
    app.command("check")(checking.check)
    app.command("caller")(checking.caller)
    app.add_typer(inspecting.decision_app, name="decision")
    app.add_typer(snapshots.app, name="snapshot")
    app.command("doctor")(doctor.doctor)
    app.command("version")(inspecting.version)
    return app


def execute(arguments: Sequence[str], wiring: Wiring) -> int:
    """Run one command line and give its exit code."""
    app = build_app()

    def command() -> int:
        given = app(args=list(arguments), prog_name="portcullis", standalone_mode=False, obj=wiring)
        sys.stdout.flush()
        return given if isinstance(given, int) else 0

    return guarded(command)
