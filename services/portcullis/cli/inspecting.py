"""``portcullis decision`` and ``version``: look at what is there."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import colour_of, print_fields, print_json, print_line, time_text
from portcullis.cli.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    from portcullis.config import Settings
    from portcullis.ports import DecisionRecord, Replay

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
    """Show the record of a decision, and make it again from the lists of then. The look is recorded: who, when and why."""
    from portcullis.domain.errors import NotFound  # noqa: PLC0415 - would slow every other command down

    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    with wiring.journal(settings) as journal:
        stored = journal.decision(decision_id, actor=wiring.actor(), purpose=purpose)
    record = stored.record
    if record is None:
        raise NotFound("who this decision was about was erased on request; the log still proves that it was made")
    again = _made_again(wiring, settings, record)
    if as_json:
        import msgspec  # noqa: PLC0415 - the record has brought it already

        # Even the pseudonyms of a person's documents stay in the journal.
        shown = {name: value for name, value in msgspec.to_builtins(record).items() if name != "tokens"}
        print_json({"sequence": stored.sequence, **shown, "replay": _document(again)})
    else:
        _show_record(stored.sequence, record)
        _show_replay(again)


def _made_again(wiring: Wiring, settings: Settings, record: DecisionRecord) -> Replay | str:
    """Make a decision again, or say why that can't be done here."""
    from portcullis.domain.errors import NotFound, SetupFault, Unavailable  # noqa: PLC0415 - as above

    try:
        return wiring.replay(settings, record)
    except (SetupFault, NotFound, Unavailable) as fault:
        return fault.message


def _document(again: Replay | str) -> dict[str, object]:
    if isinstance(again, str):
        return {"same": None, "why": again}
    return {"same": again.same, "outcome": again.outcome, "differences": list(again.differences)}


def _show_replay(again: Replay | str) -> None:
    print_line()
    if isinstance(again, str):
        print_line(f"  not made again: {again}")
    elif again.same:
        print_line("  made again from the policy and the entries of its snapshot: the same answer")
    else:
        print_line("  made again from the policy and the entries of its snapshot: ANOTHER ANSWER")
        for difference in again.differences:
            print_line(f"    {difference}")


def version(*, as_json: options.Json = False) -> None:
    """Print the release."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - would slow every other command down

    release, python = version_of("portcullis"), platform.python_version()
    if as_json:
        print_json({"portcullis": release, "python": python})
    else:
        typer.echo(f"portcullis {release} (Python {python})")


def _show_record(sequence: int, record: DecisionRecord) -> None:
    print_line(colour_of(record.outcome), f"  {record.action}")
    print_fields(
        (
            ("decision", record.decision_id),
            ("in the log", f"entry {sequence}"),
            ("decided", time_text(record.decided_at)),
            ("partner", record.partner),
            ("purpose", record.purpose),
            ("reference", record.partner_reference),
            ("attributes", ", ".join(f"{name}={value}" for name, value in record.attributes.items())),
            ("snapshot", str(record.snapshot_version)),
            ("in shadow", record.shadow_outcome),
            ("cleared", f"entry {', '.join(map(str, record.cleared))}, by a redress number" if record.cleared else ""),
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
