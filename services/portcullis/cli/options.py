"""The options that several commands share, so that each means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
        envvar="PORTCULLIS_API_KEY",
        help="The partner's API key. Prefer the variable: the arguments of a process can be seen by its neighbours.",
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
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="The deadline of the call.")]
