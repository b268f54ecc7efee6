"""Write the commands' help and the settings into docs/reference/cli.md: `python tools/cli_page.py`.

Both stand between markers; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from portcullis.cli.app import WIDTH, build_app
from portcullis.config import Settings

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"


def commands() -> str:
    """Give the help of every command, as it is shown."""
    return "\n".join(f"### `{name}`\n\n```text\n{text}\n```\n" for name, text in _helps(typer.main.get_command(build_app())))


def settings() -> str:
    """Give the table of settings."""
    rows = [
        f"| `PORTCULLIS_{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def filled(page: str) -> str:
    """Give a page with the text between its markers made anew."""
    for name, text in (("commands", commands()), ("settings", settings())):
        between = re.compile(rf"(<!-- {name}: made by tools/cli_page.py -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        page, found = between.subn(lambda match, text=text: f"{match[1]}\n{text}\n{match[2]}", page)  # type: ignore[misc]
        if found != 1:
            raise SystemExit(f"cli_page: {PAGE.name} must hold the markers of {name} once")
    return page


def _helps(command: Any, parent: Any = None, name: str = "portcullis") -> Iterator[tuple[str, str]]:
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    yield context.command_path, command.get_help(context)
    for below, each in getattr(command, "commands", {}).items():
        yield from _helps(each, context, below)


def _default(value: object) -> str:
    return f"`{value}`" if value not in ("", None) else ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
