"""``portcullis entry bulk``: one step on many entries, after it was seen what it would come to."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import staff
from portcullis.cli.entries import APPROVER, Ground, ground_number
from portcullis.cli.messages import stamp_text
from portcullis.cli.output import print_error, print_line, print_table
from portcullis.cli.staff import Asked, show, staff_command

if TYPE_CHECKING:
    from portcullis.v1 import registry_service_pb2 as pb

app = typer.Typer(help="One step on many entries.", no_args_is_help=True, rich_markup_mode=None)


class BulkStep(StrEnum):
    """What can be done to many entries at once."""

    APPROVE = "approve"
    RENEW = "renew"
    RELEASE = "release"


Step = Annotated[BulkStep, typer.Argument(metavar="STEP", help="approve, renew or release.")]
ListName = Annotated[str, typer.Argument(metavar="LIST", help="The list.")]
KeyPrefix = Annotated[
    str, typer.Option("--key-prefix", metavar="TEXT", help="Only entries whose key begins so.", show_default=False)
]
CasePrefix = Annotated[
    str, typer.Option("--case-prefix", metavar="TEXT", help="Only those whose case reference does.", show_default=False)
]
FromBefore = Annotated[
    datetime | None,
    typer.Option("--from-before", formats=["%Y-%m-%d"], help="Only those that begin before this day.", show_default=False),
]
UntilBefore = Annotated[
    datetime | None,
    typer.Option("--until-before", formats=["%Y-%m-%d"], help="Only those that end before this day.", show_default=False),
]
WithGround = Annotated[
    Ground | None, typer.Option("--ground", help="Why they end, where the step is release.", show_default=False)
]


@staff_command(app, "plan")
def plan(
    ctx: typer.Context,
    whom: Asked,
    *,
    step: Step,
    list_name: ListName,
    key_prefix: KeyPrefix = "",
    case_prefix: CasePrefix = "",
    from_before: FromBefore = None,
    until_before: UntilBefore = None,
    ground: WithGround = None,
) -> None:
    """Say what a step would do: how many entries, and samples. Nothing changes."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - would slow `--help` down

    query = _query(list_name, key_prefix, case_prefix, from_before, until_before)
    request = pb.PlanBulkRequest(step=_step(step), query=query, ground=_ground(ground))
    answer = staff.ask(ctx, whom, lambda client: client.registry.PlanBulk, request, usual=APPROVER)

    def text() -> None:
        skipped = f"; {answer.skipped:,} that you have proposed are left out" if answer.skipped else ""
        print_line((f"{answer.entries:,} entries", "bold"), f" of {list_name} would {_WOULD[step]}{skipped}")
        rows = [(each.key, each.case_reference, stamp_text(each.effective_until)) for each in answer.samples]
        if rows:
            print_table(("KEY", "CASE", "UNTIL"), rows)
            print_error(f"to do it, give the same with `bulk run` and --plan {answer.plan}")

    show(answer, as_json=whom.as_json, text=text)


@staff_command(app, "run")
def run(
    ctx: typer.Context,
    whom: Asked,
    *,
    step: Step,
    list_name: ListName,
    planned: Annotated[str, typer.Option("--plan", metavar="PLAN", help="What `bulk plan` printed.")],
    why: staff.Why,
    document: staff.Document = "",
    key_prefix: KeyPrefix = "",
    case_prefix: CasePrefix = "",
    from_before: FromBefore = None,
    until_before: UntilBefore = None,
    ground: WithGround = None,
) -> None:
    """Take a step that was planned, on exactly the entries that were counted."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    query = _query(list_name, key_prefix, case_prefix, from_before, until_before)
    request = pb.RunBulkRequest(
        step=_step(step), query=query, ground=_ground(ground), plan=planned, why=why, document=document
    )
    answer = staff.ask(ctx, whom, lambda client: client.registry.RunBulk, request, usual=APPROVER)
    show(answer, as_json=whom.as_json, text=lambda: print_line(f"{answer.entries:,} entries have changed"))


_WOULD = {
    BulkStep.APPROVE: "come into force",
    BulkStep.RENEW: "be reaffirmed",
    BulkStep.RELEASE: "be released",
}


def _step(step: BulkStep) -> pb.BulkStep.ValueType:
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    return pb.BulkStep.Value(f"BULK_STEP_{step.name}")


def _ground(ground: Ground | None) -> pb.ReleaseGround.ValueType:
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    return pb.RELEASE_GROUND_UNSPECIFIED if ground is None else ground_number(ground)


def _query(
    list_name: str, key_prefix: str, case_prefix: str, from_before: datetime | None, until_before: datetime | None
) -> pb.EntryQuery:
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    query = pb.EntryQuery(list=list_name, key_prefix=key_prefix, case_reference_prefix=case_prefix)
    if from_before is not None:
        query.valid_from_before.FromDatetime(from_before.replace(tzinfo=UTC))
    if until_before is not None:
        query.until_before.FromDatetime(until_before.replace(tzinfo=UTC))
    return query
