"""``portcullis decision`` and ``version``: look at what is there."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import colour_of, print_fields, print_json, print_line, time_text
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.ports import DecisionRecord

decision_app = typer.Typer(help="Recorded decisions.", no_args_is_help=True, rich_markup_mode=None)


@decision_app.command("show")
def show_decision(
    ctx: typer.Context,
    *,
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="The decision's id, as the answer gave it.")],
    purpose: Annotated[
        str,
        typer.Option("--purpose", metavar="TEXT", help="Why you look; it is written to the log of looks with your name."),
    ] = "operator inquiry",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Show the record of a decision. The look itself is recorded: who, when and why."""
    wiring = wiring_of(ctx)
    with wiring.journal(wiring.settings(home=home)) as journal:
        record = journal.get(decision_id, actor=wiring.actor(), purpose=purpose)
    if as_json:
        import msgspec  # noqa: PLC0415 - the record has brought it already

        # Even the pseudonyms of a person's documents stay in the journal.
        print_json({name: value for name, value in msgspec.to_builtins(record).items() if name != "tokens"})
    else:
        _show_record(record)


def version(*, as_json: options.Json = False) -> None:
    """Print the release."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - would slow every other command down

    release, python = version_of("portcullis"), platform.python_version()
    if as_json:
        print_json({"portcullis": release, "python": python})
    else:
        typer.echo(f"portcullis {release} (Python {python})")


def _show_record(record: DecisionRecord) -> None:
    print_line(colour_of(record.outcome), f"  {record.action}")
    print_fields(
        (
            ("decision", record.decision_id),
            ("decided", time_text(record.decided_at)),
            ("partner", record.partner),
            ("purpose", record.purpose),
            ("reference", record.partner_reference),
            ("attributes", ", ".join(f"{name}={value}" for name, value in record.attributes.items())),
            ("snapshot", str(record.snapshot_version)),
            ("in shadow", record.shadow_outcome),
            ("degraded", "a list was out of date" if record.degraded else ""),
            ("dry run", "nothing was refused" if record.dry_run else ""),
        )
    )
    for reason in record.reasons:
        print_line()
        marks = "".join(f"  ({word})" for word, on in (("weak match", reason.weak), ("shadow", reason.shadow)) if on)
        print_line("  ", colour_of(reason.effect), f"  {reason.list} / {reason.measure}{marks}")
        print_fields(
            (
                ("authority", reason.authority),
                ("law", reason.legal_basis),
                ("case", reason.case_reference),
                ("until", time_text(reason.until)),
            ),
            indent=4,
        )
