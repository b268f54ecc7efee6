"""``portcullis import``: take a list's files into the registry, and decide about imports that are held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.default_command import DefaultCommand, GroupWithDefault
from portcullis.cli.faults import FAILED
from portcullis.cli.output import (
    counts,
    print_error,
    print_fields,
    print_json,
    print_line,
    print_table,
    printable,
    time_text,
)
from portcullis.cli.progress import byte_bar
from portcullis.cli.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    from portcullis.ports import HeldImport, ImportCounts, ImportReport, RegistryStore

HELD = 3
"""The exit code of an import that waits for a second operator."""

_LABELS_SHOWN = 10
_REASONS_SHOWN = 5
_DIGITS = 19

app = typer.Typer(
    help="Import lists, and decide about imports that are held.",
    no_args_is_help=True,
    rich_markup_mode=None,
    cls=GroupWithDefault,
)


def _import_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and 1 <= int(text) < 1 << 63):
        raise typer.BadParameter("must be a number as `portcullis import held` shows it")
    return int(text)


ImportId = Annotated[int, typer.Argument(metavar="NUMBER", parser=_import_number, help="The import, as `held` shows it.")]
Purpose = Annotated[str, typer.Option("--purpose", metavar="TEXT", help="Why; it is written to the change log.")]
OperatorKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        callback=options.secret,
        envvar="PORTCULLIS_API_KEY",
        help="The key of the operator who decides, or @FILE, a file that holds it; without it, the user of this machine "
        "does. Prefer the file: others can see arguments and variables.",
        show_default=False,
    ),
]


class Form(StrEnum):
    """The formats that can be read."""

    JSONL = "jsonl"
    CSV = "csv"
    OFAC_SDN = "ofac-sdn"


@app.command("files", cls=DefaultCommand)
def import_list(
    ctx: typer.Context,
    *,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="The list's files; '-' reads stdin.", dir_okay=False, show_default=False),
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

    A bad row is named on stderr as file:line: field: reason, the others go in, and the exit code is 1. An import that takes
    away more of the list than its guard is held for a second operator: nothing changes, and the exit code is 3.
    """
    wiring = wiring_of(ctx)
    with byte_bar() as progress, _known_list():
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
    if report.held:
        raise typer.Exit(HELD)
    if report.rejected:
        raise typer.Exit(FAILED)


@app.command("held")
def list_held(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """List the imports that wait for a second operator."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        held = wiring.held_imports(registry).held()
    if as_json:
        print_json([_document(each) for each in held])
    elif held:
        print_table(_HELD_HEAD, [_held_row(each) for each in held])
    else:
        print_fields([("held", "none")], indent=0)


@app.command("approve")
def approve_import(
    ctx: typer.Context,
    *,
    import_id: ImportId,
    purpose: Purpose = "",
    key: OperatorKey = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Put a held import in force, as another operator than the one who imported it.

    What was put or withdrawn one by one since it was held is newer, and stays.
    """
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        actor = _operator(wiring, registry, key)
        outcome = wiring.held_imports(registry).approve(import_id, actor=actor, purpose=purpose)
    if as_json:
        print_json({"import_id": import_id, "approver": actor, "counts": _document(outcome.counts)})
    else:
        print_line((f"import {import_id}", "bold"), f"  in force, approved by {actor}")
        print_fields((*_count_rows(outcome.counts), ("left, being newer", _number(outcome.counts.superseded))))


@app.command("reject")
def reject_import(
    ctx: typer.Context,
    *,
    import_id: ImportId,
    purpose: Purpose = "",
    key: OperatorKey = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Give a held import up for good; nothing of it ever takes effect."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        actor = _operator(wiring, registry, key)
        rejected = wiring.held_imports(registry).reject(import_id, actor=actor, purpose=purpose)
    if as_json:
        print_json({"import_id": import_id, "rejected_by": actor, "list": rejected.list})
    else:
        print_line((f"import {import_id}", "bold"), f"  rejected by {actor}; {rejected.list} stays as it is")


def _operator(wiring: Wiring, registry: RegistryStore, key: str | None) -> str:
    """Name who decides: the operator whose key it is, or else the user of this machine."""
    return wiring.api_keys(registry).approver(key) if key else wiring.actor()


_HELD_HEAD = ("import", "list", "mode", "importer", "held", "added", "amended", "withdrawn", "lost", "of", "guard")


def _held_row(held: HeldImport) -> tuple[str, ...]:
    taken, would = held.shrinkage, held.counts
    return (
        str(held.import_id),
        held.list,
        "full" if held.full else "additive",
        held.importer,
        time_text(held.held_at),
        *(
            f"{number:,}"
            for number in (would.added, would.amended, would.withdrawn, taken.lost, taken.in_force, taken.guard)
        ),
    )


def _show_faults(report: ImportReport) -> None:
    for fault in report.faults:
        typer.echo(printable(f"{fault.file}:{fault.line}: {fault.field}: {fault.reason}"), err=True)
    hidden = report.rejected - len(report.faults)
    if hidden > 0:
        print_error(f"{hidden:,} more rows were bad; mend these first")
    if not report.committed and not report.held:
        print_error("nothing was imported, since a row was bad and --strict was given; mend the rows, or leave --strict out")
    if report.withheld:
        print_error("nothing was withdrawn, since a bad row did not say whose it was; mend the rows and import again")
    if report.voided is not None:
        print_error(f"import {report.voided} of this list was held, and is void now: this one is newer")
    if report.shrinkage:
        _show_held(report)


def _show_held(report: ImportReport) -> None:
    taken = report.shrinkage
    assert taken is not None  # noqa: S101 - tells mypy
    print_error(
        f"nothing has changed: the import would take away {taken.lost:,} of {taken.in_force:,} entries in force, and "
        f"{report.list_name} gives up {taken.guard:,} at once\n"
        f"if the files are right, have another operator run `portcullis import approve {report.import_id}` with their key; "
        f"if not, run `portcullis import reject {report.import_id}`, or import the right ones"
    )


def _show(report: ImportReport) -> None:
    became = f"  held as import {report.import_id}" if report.held else "" if report.committed else "  not imported"
    print_line((report.list_name, "bold"), became)
    print_fields(
        (
            ("rows", f"{report.rows:,}"),
            ("rejected", f"{report.rejected:,}"),
            *((f"would be {name}" if report.held else name, value) for name, value in _count_rows(report.counts)),
            ("identifiers", counts(report.identifiers)),
            ("by the source's name", counts(report.labels, most=_LABELS_SHOWN)),
            ("left out of matching", counts(report.dropped, most=_REASONS_SHOWN)),
            ("without identifier", _number(report.without_identifier)),
        )
    )


def _count_rows(did: ImportCounts) -> tuple[tuple[str, str], ...]:
    named = (("added", did.added), ("amended", did.amended), ("unchanged", did.unchanged), ("withdrawn", did.withdrawn))
    return tuple((name, f"{number:,}") for name, number in named)


def _number(count: int) -> str:
    return f"{count:,}" if count else ""


def _document(told: ImportReport | ImportCounts | HeldImport) -> object:
    import msgspec  # noqa: PLC0415 - what is told has brought it already

    return msgspec.to_builtins(told)


@contextmanager
def _known_list() -> Iterator[None]:
    """Take an unknown list for what it is here, a mistaken option."""
    from portcullis.domain.errors import NotFound  # noqa: PLC0415 - importing brings it anyway, `--help` does not

    try:
        yield
    except NotFound as fault:
        raise typer.BadParameter(fault.message, param_hint="--list") from None
