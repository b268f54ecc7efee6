"""The command line, assembled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from portcullis.cli import (
    aftermath,
    alarms,
    bulk,
    canaries,
    cases,
    checking,
    dev_certificates,
    doctor,
    entries,
    importing,
    inspecting,
    journals,
    lists,
    policies,
    reporting,
    signing,
    snapshots,
    stack,
    statistics,
    streams,
    subjects,
    watching,
)
from portcullis.cli.faults import guarded
from portcullis.cli.wiring import Wiring

entries.app.add_typer(bulk.app, name="bulk")

WIDTH = 100
"""The columns that help is written in, whatever the terminal: what the reference shows is what one sees."""


_COMMANDS: dict[str, Callable[..., object] | typer.Typer] = {
    "run": stack.run,
    "serve": stack.serve,
    "import": importing.app,
    "publish": stack.publish,
    "policy": policies.app,
    "partner": alarms.app,
    "keys": signing.app,
    "certs": dev_certificates.app,
    "canary": canaries.app,
    "entry": entries.app,
    "list": lists.app,
    "case": cases.app,
    "subject": subjects.app,
    "redress": subjects.redress_app,
    "settlement": aftermath.settlement_app,
    "impact": aftermath.impact,
    "certificate": aftermath.certificate_app,
    "retention": aftermath.retention_app,
    "check": checking.check,
    "caller": checking.caller,
    "report": reporting.report,
    "watch": watching.watch,
    "decision": inspecting.decision_app,
    "journal": journals.app,
    "stream": streams.app,
    "statistics": statistics.statistics,
    "snapshot": snapshots.app,
    "doctor": doctor.doctor,
    "version": inspecting.version,
}


def build_app(only: str = "") -> typer.Typer:
    """Assemble the commands.

    Args:
        only: the one that is wanted, where that is known; the others, whose options take Typer longer to work out than most
            commands take, are then left out.
    """
    app = typer.Typer(
        name="portcullis",
        help="Portcullis: may this customer do this?",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "terminal_width": WIDTH},
    )
    # Without a callback Typer takes a command that is alone for the whole program.
    app.callback()(_no_options)
    for name in [only] if only in _COMMANDS else _COMMANDS:
        part = _COMMANDS[name]
        if isinstance(part, typer.Typer):
            app.add_typer(part, name=name)
        else:
            app.command(name)(part)
    return app


def execute(arguments: Sequence[str], wiring: Wiring) -> int:
    """Run one command line and give its exit code."""
    app = build_app(*arguments[:1])

    def command() -> int:
        given = app(args=list(arguments), prog_name="portcullis", standalone_mode=False, obj=wiring)
        sys.stdout.flush()
        return given if isinstance(given, int) else 0

    return guarded(command)


def _no_options() -> None:
    pass
