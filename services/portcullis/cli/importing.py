"""``portcullis import``: take a list's files into the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.faults import FAILED
from portcullis.cli.output import counts, print_error, print_fields, print_json, print_line, printable
from portcullis.cli.wiring import Progress, wiring_of

if TYPE_CHECKING:
    from portcullis.ports import ImportReport

_LABELS_SHOWN = 10
_REASONS_SHOWN = 5


class Form(StrEnum):
    """The formats that can be read."""

    JSONL = "jsonl"
    CSV = "csv"
    OFAC_SDN = "ofac-sdn"


def import_list(
    ctx: typer.Context,
    *,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="The list's files.", exists=True, dir_okay=False, readable=True)
    ],
    list_name: Annotated[str, typer.Option("--list", metavar="NAME", help="The list, as the policy names it.")],
    form: Annotated[Form, typer.Option("--format", help="How the files are written.")],
    full: Annotated[
        bool, typer.Option("--full", help="The files are the whole list: withdraw the entries that they don't have.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Take no row when one is bad.")] = False,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Import a list's entries; the same files again change nothing.

    A bad row is named on stderr as file:line: field: reason, the others go in, and the exit code is 1.
    """
    wiring = wiring_of(ctx)
    with _progress() as progress, _known_list():
        report = wiring.import_files(
            wiring.settings(home=home),
            list_name=list_name,
            form=form.value,
            files=files,
            full=full,
            strict=strict,
            progress=progress,
        )
    _show_faults(report)
    if as_json:
        print_json(_document(report))
    else:
        _show(report)
    if report.rejected:
        raise typer.Exit(FAILED)


def _show_faults(report: ImportReport) -> None:
    for fault in report.faults:
        typer.echo(printable(f"{fault.file}:{fault.line}: {fault.field}: {fault.reason}"), err=True)
    hidden = report.rejected - len(report.faults)
    if hidden > 0:
        print_error(f"{hidden:,} more rows were bad; mend these first")
    if not report.committed:
        print_error("nothing was imported, since a row was bad and --strict was given; mend the rows, or leave --strict out")
    if report.withheld:
        print_error("nothing was withdrawn, since a bad row did not say whose it was; mend the rows and import again")


def _show(report: ImportReport) -> None:
    print_line((report.list_name, "bold"), "" if report.committed else "  not imported")
    print_fields(
        (
            ("rows", f"{report.rows:,}"),
            ("rejected", f"{report.rejected:,}"),
            ("added", f"{report.counts.added:,}"),
            ("amended", f"{report.counts.amended:,}"),
            ("unchanged", f"{report.counts.unchanged:,}"),
            ("withdrawn", f"{report.counts.withdrawn:,}"),
            ("identifiers", counts(report.identifiers)),
            ("by the source's name", counts(report.labels, most=_LABELS_SHOWN)),
            ("left out of matching", counts(report.dropped, most=_REASONS_SHOWN)),
            ("without identifier", f"{report.without_identifier:,}" if report.without_identifier else ""),
        )
    )


def _document(report: ImportReport) -> object:
    import msgspec  # noqa: PLC0415 - the report has brought it already

    return msgspec.to_builtins(report)


@contextmanager
def _known_list() -> Iterator[None]:
    """Take an unknown list for what it is here, a mistaken option."""
    from portcullis.domain.errors import NotFound  # noqa: PLC0415 - importing brings it anyway, `--help` does not

    try:
        yield
    except NotFound as fault:
        raise typer.BadParameter(fault.message, param_hint="--list") from None


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Show a bar on stderr when it is a terminal; a log needs none."""
    from rich.console import Console  # noqa: PLC0415 - only an import shows a bar
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("import", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
