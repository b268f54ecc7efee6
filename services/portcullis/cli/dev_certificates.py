"""``portcullis certs``: throw-away certificates, to try TLS and partners' certificates on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import print_error, print_json, print_line
from portcullis.cli.wiring import wiring_of

app = typer.Typer(help="Certificates to try TLS with.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _commands() -> None:
    """Certificates to try TLS with."""


@app.command("dev")
def dev(
    ctx: typer.Context,
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; it must not be there, or be empty.")],
    partners: Annotated[
        list[str] | None,
        typer.Option(
            "--partner",
            metavar="NAME",
            help="Make a certificate for this partner, again for more. Without it, for each of the policy in force.",
            show_default=False,
        ),
    ] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Make a throw-away CA, a certificate for a server on localhost, and one for each partner, good for a week.

    A partner's certificate carries the names that its policy gives it, else one that you may put into the policy.
    """
    wiring = wiring_of(ctx)
    made = wiring.dev_certificates(wiring.settings(home=home), folder, partners or ())
    if as_json:
        print_json(
            {"files": [str(path) for path in made.files], "partners": {each: list(made.names[each]) for each in made.names}}
        )
        return
    for path in made.files:
        print_line(f"made {path}")
    for partner in made.unknown:
        print_line(
            f"partners/{partner}.toml does not know its certificate yet: [[certificate]] san = {made.names[partner][0]!r}"
        )
    print_error("for trying alone: the CA's key lies beside what it signed")
