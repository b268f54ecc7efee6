"""``portcullis impact``, ``certificate``, ``settlement`` and ``retention``: what follows when an entry ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portcullis.cli import options, staff
from portcullis.cli.messages import enum_text, stamp_text
from portcullis.cli.output import print_error, print_fields, print_json, print_line, print_table, time_text
from portcullis.cli.staff import Asked, entry_of, show, staff_command, with_options
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.v1 import registry_service_pb2 as pb

certificate_app = typer.Typer(
    help="Proof that every gateway has dropped an entry.", no_args_is_help=True, rich_markup_mode=None
)
settlement_app = typer.Typer(help="Releases that wait.", no_args_is_help=True, rich_markup_mode=None)
retention_app = typer.Typer(help="What is no longer kept.", no_args_is_help=True, rich_markup_mode=None)

EDITOR = "editor"


@with_options
def impact(ctx: typer.Context, whom: Asked, *, entry: staff.EntryName, purpose: staff.Purpose = "") -> None:
    """List the decisions that an entry has caused, partner by partner. The look is noted."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - would slow `--help` down

    list_name, key = entry_of(entry)
    answer = staff.ask(
        ctx, whom, lambda client: client.registry.GetImpact, pb.GetImpactRequest(list=list_name, key=key, purpose=purpose)
    )
    show(answer, as_json=whom.as_json, text=lambda: _show_impact(answer))


@staff_command(certificate_app, "get")
def certificate(ctx: typer.Context, whom: Asked, *, entry: staff.EntryName) -> None:
    """Print the signed statement that every gateway has dropped an entry that has ended."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.GetReleaseCertificateRequest(list=list_name, key=key)
    answer = staff.ask(ctx, whom, lambda client: client.registry.GetReleaseCertificate, request)

    def text() -> None:
        if answer.certificate:
            typer.echo(answer.certificate, nl=False)
        else:
            print_error(f"not yet: these hosts may still hold the entry: {', '.join(answer.waiting_for)}")

    show(answer, as_json=whom.as_json, text=text)
    if not answer.certificate:
        raise typer.Exit(1)


@certificate_app.command("verify")
def verify(
    ctx: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate.", dir_okay=False, exists=True)],
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="KEY", help="The journal's verifier key; without it, that of this home.", show_default=False
        ),
    ] = "",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Verify a release certificate, without asking anybody."""
    wiring = wiring_of(ctx)
    found = wiring.verify_certificate(wiring.settings(home=home), file.read_text(encoding="utf-8"), key)
    if as_json:
        print_json(found)
        return
    print_line(("good", "bold green"), ": the certificate is signed by the journal's key")
    _show_certificate(found)


@staff_command(settlement_app, "list")
def settlements(
    ctx: typer.Context,
    whom: Asked,
    *,
    list_name: Annotated[str, typer.Option("--list", metavar="LIST", help="Only of this list.", show_default=False)] = "",
) -> None:
    """List the releases that take place by themselves unless the authority objects."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(
        ctx, whom, lambda client: client.registry.ListSettlements, pb.ListSettlementsRequest(list=list_name), usual=EDITOR
    )

    def text() -> None:
        rows = [
            (f"{each.list}/{each.key}", each.case_reference, each.partner, stamp_text(each.release_at))
            for each in answer.settlements
        ]
        print_table(("ENTRY", "CASE", "REPORTED BY", "RELEASED AT"), rows) if rows else print_line("nothing waits")

    show(answer, as_json=whom.as_json, text=text)


@staff_command(settlement_app, "object")
def object_to(
    ctx: typer.Context, whom: Asked, *, entry: staff.EntryName, why: staff.Why, document: staff.Document = ""
) -> None:
    """Stop a release: the authority says that the case is not settled."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.ObjectToReleaseRequest(list=list_name, key=key, why=why, document=document)
    answer = staff.ask(ctx, whom, lambda client: client.registry.ObjectToRelease, request, usual=EDITOR)
    show(answer, as_json=whom.as_json, text=lambda: print_line(f"{entry} stays"))


@staff_command(retention_app, "run")
def retain(
    ctx: typer.Context,
    whom: Asked,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; say what would be.")] = False,
) -> None:
    """Remove what is no longer kept, and report what that was. It runs once a day by itself."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(
        ctx, whom, lambda client: client.registry.RunRetention, pb.RunRetentionRequest(dry_run=dry_run), timeout_s=600.0
    )

    def text() -> None:
        rows = [(each.list or "-", each.kind, f"{each.count:,}") for each in answer.removed]
        print_table(("LIST", "WHAT", "COUNT"), rows) if rows else print_line("nothing is due")

    show(answer, as_json=whom.as_json, text=text)


def _show_impact(answer: pb.GetImpactResponse) -> None:
    if not answer.partners:
        print_line("no decision that is kept names it")
    for partner in answer.partners:
        print_line((partner.partner, "bold"), f"  {partner.total:,} decision{'s' * (partner.total != 1)}")
        rows = [
            (
                each.decision_id,
                stamp_text(each.decided_at),
                each.action,
                enum_text(each.DESCRIPTOR.fields_by_name["outcome"], each.outcome),
                each.partner_reference,
            )
            for each in partner.decisions
        ]
        print_table(("DECISION", "AT", "ACTION", "OUTCOME", "THEIR REFERENCE"), rows)


def _show_certificate(found: Mapping[str, Any]) -> None:
    hosts: Sequence[Mapping[str, Any]] = found["hosts"]
    plain = {name: value for name, value in found.items() if name != "hosts"}
    print_fields(
        [(name.replace("_", " "), time_text(value) if name.endswith("_at") else str(value)) for name, value in plain.items()]
    )
    rows = [(each["host"], str(each["version"]), str(each["registry_seq"]), time_text(each["at"])) for each in hosts]
    print_table(("HOST WITHOUT THE ENTRY", "SNAPSHOT", "UP TO CHANGE", "SAID AT"), rows)
