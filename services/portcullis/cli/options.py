"""The options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from portcullis.cli.output import print_error

_DURATION = re.compile(r"(\d{1,6})([dhms])")
_COMMAND_LINE = "COMMANDLINE"
"""The source of what stands on the command line, as typer names it."""
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def read_duration_s(text: str) -> float:
    """Read a duration such as 90d, 12h, 15m or 30s; gives seconds.

    Raises:
        typer.BadParameter: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter("write a whole number and a unit, as 90d, 12h, 15m or 30s")
    return float(int(found[1]) * _SECONDS[found[2]])


def text_or_file(given: str | None) -> str | None:
    """Give a secret as it was given, or what the file holds that was named as ``@FILE``.

    Raises:
        typer.BadParameter: the file can't be read, or holds nothing. Does not show what was given.
    """
    if given is None or not given.startswith("@"):
        return given
    try:
        text = Path(given[1:]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or "it is no text"
        raise typer.BadParameter(f"the file after @ can't be read ({reason})") from None
    if not text:
        raise typer.BadParameter("the file after @ is empty")
    return text


def secret(ctx: typer.Context, param: typer.CallbackParam, given: str | None) -> str | None:
    """Give the secret of an option as `text_or_file` does; warn on stderr of one that stands on the command line itself.

    Raises:
        typer.BadParameter: as `text_or_file`.
    """
    source = ctx.get_parameter_source(param.name or "")
    if given and not given.startswith("@") and source is not None and source.name == _COMMAND_LINE:
        option = param.opts[0]
        print_error(
            f"{option} stands on the command line, where everybody on this host can read it; "
            f"put it into a file and give {option} @FILE, or set {param.envvar}=@FILE"
        )
    return text_or_file(given)


Home = Annotated[
    Path | None,
    typer.Option(
        "--home", metavar="DIR", help="The folder of the state; PORTCULLIS_HOME, or .portcullis.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="HOST:PORT", help="The gateway; without it, the one of this home.", show_default=False),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        callback=secret,
        envvar="PORTCULLIS_API_KEY",
        help="The partner's API key, or @FILE, a file that holds it. Prefer that: others can see arguments and variables.",
        show_default=False,
    ),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="PARTNER",
        help="Use this partner's key from demo-keys.json of the home. Without --key and --as, the demonstration partner "
        "whose purpose it is.",
        show_default=False,
    ),
]
Partner = Annotated[
    str | None,
    typer.Option(
        "--as", metavar="PARTNER", help="Use this partner's key from demo-keys.json of the home.", show_default=False
    ),
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON document a line instead of text.")]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca",
        metavar="FILE",
        help="Speak TLS, and prove the gateway by the authorities of this PEM file.",
        show_default=False,
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert", metavar="FILE", help="Speak TLS, and show this certificate (PEM, with its chain).", show_default=False
    ),
]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="The key of --tls-cert, PEM.", show_default=False)
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="The deadline of the call.")]
