"""What the commands print: one JSON document on stdout, or text for a reader.

Text from elsewhere (a gateway, a file) never reaches the terminal as markup or control sequences.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Styled = tuple[str, str]
"""A text and its style, as rich names it; "" for none."""

_COLOURS = {"ALLOW": "bold green", "RESTRICT": "bold red", "REVIEW": "bold yellow", "NOTICE": "cyan", "GRANT": "green"}


def print_json(document: object) -> None:
    """Print one document; a time becomes RFC 3339."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def print_error(text: str) -> None:
    """Print a text on stderr, each line after ``portcullis:``."""
    for line in text.splitlines() or [""]:
        typer.echo(f"portcullis: {printable(line)}", err=True)


def printable(text: str) -> str:
    """Replace what a terminal would obey or not show."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def print_line(*parts: str | Styled) -> None:
    """Print one line of styled parts; colours only on a terminal."""
    _console().print(_text(parts), soft_wrap=True)


def print_fields(rows: Iterable[tuple[str, str]], *, indent: int = 2) -> None:
    """Print names and values in two columns; a row without a value is left out."""
    shown = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print_line(" " * indent, (name.ljust(width), "dim"), "  ", value)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns under a head, each as wide as its widest cell."""
    cells = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print_line((line, "bold" if number == 0 else ""))


def colour_of(word: str) -> Styled:
    """Give an outcome or effect in its colour."""
    return word, _COLOURS.get(word, "")


def time_text(seconds: float | None) -> str:
    """Write Unix seconds as UTC to the second; "" for none or 0."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if seconds else ""


def counts(named: Mapping[str, int], *, most: int | None = None) -> str:
    """Write counts as ``name 3, other 1``, the largest first; of more than ``most``, the rest is a number."""
    ordered = sorted(named.items(), key=lambda each: (-each[1], each[0]))
    text = ", ".join(f"{name} {count:,}" for name, count in ordered[:most])
    hidden = len(ordered[most:]) if most is not None else 0
    return f"{text}, and {hidden:,} more; --json lists all" if hidden else text


def _console() -> Console:
    # Made for each line: stdout may have been replaced since, and rich costs a seventh of a start when it is not needed.
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, markup=False, emoji=False)


def _text(parts: Iterable[str | Styled]) -> Text:
    from rich.text import Text  # noqa: PLC0415 - see _console

    text = Text()
    for part in parts:
        content, style = (part, "") if isinstance(part, str) else part
        text.append(printable(content), style=style)
    return text


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
