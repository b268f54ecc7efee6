"""``portcullis entry``: one entry of a list, from its proposal to its end."""

from __future__ import annotations

from enum import StrEnum
from typing import IO, TYPE_CHECKING, Annotated

import typer

from portcullis.cli import staff
from portcullis.cli.messages import show_message, stamp_text
from portcullis.cli.output import print_error, print_line, print_table
from portcullis.cli.staff import Asked, entry_of, show, staff_command
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.v1 import registry_service_pb2 as pb

app = typer.Typer(
    help="Entries: propose, approve, amend, end and look at them.", no_args_is_help=True, rich_markup_mode=None
)

EDITOR, APPROVER = "editor", "approver"
_PROPOSAL_HEADS = ("ENTRY", "WHAT", "VERSION", "PROPOSED BY", "AT", "CASE", "FROM", "UNTIL", "MEASURES", "NUMBERS")


class Ground(StrEnum):
    """Why an entry ends before its time."""

    PERFORMED = "performed"
    PAID = "paid"
    OVERTURNED = "overturned"
    TERM_OVER = "term-over"


@staff_command(app, "put")
def put(
    ctx: typer.Context,
    whom: Asked,
    *,
    list_name: Annotated[str, typer.Argument(metavar="LIST", help="The list.")],
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE", help="The entry as one JSON object, written as a row of an import; - for stdin."),
    ],
    why: staff.Why = "",
    document: staff.Document = "",
    expected_version: staff.Expected = 0,
) -> None:
    """Add an entry, or amend the one of the same key. On a list of four eyes it is proposed."""
    from portcullis.cli.entry_files import entry_message  # noqa: PLC0415 - would slow `--help` down
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    entry = entry_message(wiring_of(ctx).read_row(_one_row(file)), list_name)
    request = pb.PutEntryRequest(entry=entry, why=why, document=document, expected_version=expected_version)
    answer = staff.ask(ctx, whom, lambda client: client.registry.PutEntry, request, usual=EDITOR)
    show(answer, as_json=whom.as_json, text=lambda: _show_put(answer.entry, changed=answer.changed, pending=answer.pending))


@staff_command(app, "add-identifier")
def add_identifiers(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    numbers: Annotated[
        list[str],
        typer.Option("--id", metavar="KIND:VALUE", help="A number of the subject, as for check; - reads them from stdin."),
    ],
    why: staff.Why = "",
    document: staff.Document = "",
    expected_version: staff.Expected = 0,
) -> None:
    """Amend an entry by numbers of its subject that were found later."""
    from portcullis.cli.asking import identifiers  # noqa: PLC0415 - only this command needs it
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above
    from portcullis.v1 import types_pb2  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    given = [types_pb2.Identifier(kind=each.kind, value=each.value, country=each.country) for each in identifiers(numbers)]
    request = pb.AddIdentifiersRequest(
        list=list_name, key=key, identifiers=given, why=why, document=document, expected_version=expected_version
    )
    answer = staff.ask(ctx, whom, lambda client: client.registry.AddIdentifiers, request, usual=EDITOR)
    show(answer, as_json=whom.as_json, text=lambda: _show_put(answer.entry, changed=answer.changed, pending=answer.pending))


@staff_command(app, "proposals")
def proposals(
    ctx: typer.Context,
    whom: Asked,
    *,
    list_name: Annotated[str, typer.Option("--list", metavar="LIST", help="Only of this list.", show_default=False)] = "",
) -> None:
    """List what waits for a second person, and what it would bring. Each look is noted.

    NUMBERS are those of the subject that it adds and removes; `entry reveal --proposed` shows them.
    """
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(
        ctx, whom, lambda client: client.registry.ListProposals, pb.ListProposalsRequest(list=list_name), usual=APPROVER
    )

    def text() -> None:
        rows = [
            (
                f"{each.list}/{each.key}",
                "amendment" if each.amendment else "new",
                str(each.version),
                each.proposer,
                stamp_text(each.proposed_at),
                each.proposed.case_reference,
                stamp_text(each.proposed.valid_from),
                stamp_text(each.proposed.until),
                ", ".join(each.proposed.measures) or "all",
                f"+{each.identifiers_added} -{each.identifiers_removed}",
            )
            for each in answer.proposals
        ]
        print_table(_PROPOSAL_HEADS, rows) if rows else print_line("nothing waits")

    show(answer, as_json=whom.as_json, text=text)


@staff_command(app, "approve")
def approve(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    expected_version: staff.LookedAt,
    why: staff.Why = "",
    document: staff.Document = "",
) -> None:
    """Put a proposed entry or amendment in force. It takes another person than who proposed it."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.ApproveEntryRequest(list=list_name, key=key, why=why, document=document, expected_version=expected_version)
    answer = staff.ask(ctx, whom, lambda client: client.registry.ApproveEntry, request, usual=APPROVER)
    show(answer, as_json=whom.as_json)


@staff_command(app, "reject")
def reject(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    why: staff.Why,
    document: staff.Document = "",
    expected_version: staff.Expected = 0,
) -> None:
    """Give a proposed entry or amendment up."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.RejectEntryRequest(list=list_name, key=key, why=why, document=document, expected_version=expected_version)
    answer = staff.ask(ctx, whom, lambda client: client.registry.RejectEntry, request, usual=APPROVER)
    show(answer, as_json=whom.as_json)


@staff_command(app, "release")
def release(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    ground: Annotated[Ground, typer.Option("--ground", help="Why it ends.")],
    why: staff.Why,
    document: staff.Document = "",
    expected_version: staff.Expected = 0,
) -> None:
    """End an entry before its time."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.ReleaseEntryRequest(
        list=list_name,
        key=key,
        ground=ground_number(ground),
        why=why,
        document=document,
        expected_version=expected_version,
    )
    answer = staff.ask(ctx, whom, lambda client: client.registry.ReleaseEntry, request, usual=EDITOR)
    show(answer, as_json=whom.as_json)


@staff_command(app, "withdraw")
def withdraw(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    why: staff.Why,
    in_error: Annotated[
        bool, typer.Option("--in-error", help="It should never have been there: each partner is told to make good.")
    ] = False,
    document: staff.Document = "",
    expected_version: staff.Expected = 0,
) -> None:
    """Take an entry out of force."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.WithdrawEntryRequest(
        list=list_name,
        key=key,
        reason=why,
        document=document,
        in_error=in_error,
        expected_version=expected_version,
    )
    answer = staff.ask(ctx, whom, lambda client: client.registry.WithdrawEntry, request, usual=EDITOR)
    show(answer, as_json=whom.as_json)


@staff_command(app, "show")
def show_entry(ctx: typer.Context, whom: Asked, *, entry: staff.EntryName, purpose: staff.Purpose = "") -> None:
    """Show an entry without its identifiers. The look is noted."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    answer = staff.ask(
        ctx, whom, lambda client: client.registry.GetEntry, pb.GetEntryRequest(list=list_name, key=key, purpose=purpose)
    )
    show(answer, as_json=whom.as_json)


@staff_command(app, "reveal")
def reveal(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    purpose: staff.Purpose,
    proposed: Annotated[
        bool, typer.Option("--proposed", help="What waits for a second person, instead of what stands.")
    ] = False,
) -> None:
    """Show an entry with its identifiers and names. The look is noted; the subject may read who looked and why."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    answer = staff.ask(
        ctx,
        whom,
        lambda client: client.registry.RevealEntry,
        pb.RevealEntryRequest(list=list_name, key=key, purpose=purpose, proposed=proposed),
        usual=APPROVER if proposed else EDITOR,
    )
    show(answer, as_json=whom.as_json)


@staff_command(app, "history")
def history(ctx: typer.Context, whom: Asked, *, entry: staff.EntryName, purpose: staff.Purpose = "") -> None:
    """Show every version of an entry: who did what, when, why and on which document. The look is noted."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.GetEntryHistoryRequest(list=list_name, key=key, purpose=purpose)
    answer = staff.ask(ctx, whom, lambda client: client.registry.GetEntryHistory, request)

    def text() -> None:
        rows = [
            (str(step.version), step.step, stamp_text(step.at), step.actor, step.why, step.document) for step in answer.steps
        ]
        print_table(("VERSION", "STEP", "AT", "BY", "WHY", "DOCUMENT"), rows)

    show(answer, as_json=whom.as_json, text=text)


def ground_number(ground: Ground) -> pb.ReleaseGround.ValueType:
    """Give the contract's number of a ground."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    return pb.ReleaseGround.Value(f"RELEASE_GROUND_{ground.name}")


def _show_put(entry: pb.Entry, *, changed: bool, pending: bool) -> None:
    show_message(entry)
    if pending:
        print_error("it waits for another person: `portcullis entry approve`")
    elif not changed:
        print_error("the same stood already; nothing has changed")


def _one_row(file: IO[bytes]) -> bytes:
    # An object may be written on several lines; a row of an import is one.
    return b" ".join(line.strip() for line in file)
