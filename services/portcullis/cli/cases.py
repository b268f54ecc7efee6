"""``portcullis case``: disputes and mistaken identities, from the objection to the decision."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import staff
from portcullis.cli.messages import enum_text, show_message, stamp_text
from portcullis.cli.output import print_line, print_table
from portcullis.cli.staff import Asked, entry_of, show, staff_command

if TYPE_CHECKING:
    from portcullis.v1 import redress_service_pb2 as pb

app = typer.Typer(help="Disputes and mistaken identities.", no_args_is_help=True, rich_markup_mode=None)

REVIEWER = "reviewer"


class Ground(StrEnum):
    """What the subject says."""

    NOT_ME = "not-me"
    PERFORMED = "performed"
    WRONG_FACTS = "wrong-facts"
    TERM_OVER = "term-over"
    UNLAWFUL = "unlawful"


class Resolution(StrEnum):
    """How a case is decided."""

    UPHELD = "upheld"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"
    CLEARED = "cleared"


class State(StrEnum):
    """Which cases."""

    OPEN = "open"
    RESOLVED = "resolved"
    LAPSED = "lapsed"


WithGround = Annotated[Ground, typer.Option("--ground", help="What the subject says.")]
Evidences = Annotated[
    list[str] | None,
    typer.Option("--evidence", metavar="REFERENCE", help="The reference of a document; again for more.", show_default=False),
]


@staff_command(app, "open")
def open_case(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    ground: WithGround,
    evidence: Evidences = None,
) -> None:
    """Open a dispute on a subject's behalf. Its clocks run from now."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - would slow `--help` down

    list_name, key = entry_of(entry)
    request = pb.OpenDisputeRequest(list=list_name, key=key, ground=ground_number(ground), evidence=evidence or ())
    answer = staff.ask(ctx, whom, lambda client: client.redress.OpenDispute, request, usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "list")
def list_cases(
    ctx: typer.Context,
    whom: Asked,
    *,
    list_name: Annotated[str, typer.Option("--list", metavar="LIST", help="Only of this list.", show_default=False)] = "",
    state: Annotated[State, typer.Option("--state", help="Which cases.")] = State.OPEN,
    most: Annotated[int, typer.Option("--most", metavar="NUMBER", min=1, max=1000, help="How many at most.")] = 100,
    page: Annotated[
        str, typer.Option("--page", metavar="TOKEN", help="Where to go on, as the last page told.", show_default=False)
    ] = "",
) -> None:
    """List cases, the one that must be decided soonest first."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    wanted = pb.CaseState.Value(f"CASE_STATE_{state.name}")
    request = pb.ListCasesRequest(list=list_name, state=wanted, page_size=most, page_token=page)
    answer = staff.ask(ctx, whom, lambda client: client.redress.ListCases, request, usual=REVIEWER)

    def text() -> None:
        rows = [
            (each.case_id, f"{each.list}/{each.key}", _kind_text(each), stamp_text(each.decide_by), each.reviewer)
            for each in answer.cases
        ]
        print_table(("CASE", "ENTRY", "WHAT", "DECIDE BY", "REVIEWER"), rows) if rows else print_line(
            f"no {state.value} cases"
        )
        if answer.next_page_token:
            print_line(f"more with --page {answer.next_page_token}")

    show(answer, as_json=whom.as_json, text=text)


@staff_command(app, "show")
def show_one(ctx: typer.Context, whom: Asked, *, case_id: staff.CaseId) -> None:
    """Show a case: its clocks, evidence and steps."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(ctx, whom, lambda client: client.redress.GetCase, pb.GetCaseRequest(case_id=case_id), usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "evidence")
def add_evidence(
    ctx: typer.Context,
    whom: Asked,
    *,
    case_id: staff.CaseId,
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="The document's reference.")],
) -> None:
    """Add the reference of a document."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(
        ctx,
        whom,
        lambda client: client.redress.AddEvidence,
        pb.AddEvidenceRequest(case_id=case_id, reference=reference),
        usual=REVIEWER,
    )
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "assign")
def assign(
    ctx: typer.Context,
    whom: Asked,
    *,
    case_id: staff.CaseId,
    reviewer: Annotated[str, typer.Argument(metavar="REVIEWER", help="Who decides: the holder of a reviewer's key.")],
    expected_version: staff.Expected = 0,
) -> None:
    """Name who decides; none who approved the entry."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.AssignReviewerRequest(case_id=case_id, reviewer=reviewer, expected_version=expected_version)
    answer = staff.ask(ctx, whom, lambda client: client.redress.AssignReviewer, request, usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "tell-source")
def tell_source(ctx: typer.Context, whom: Asked, *, case_id: staff.CaseId, document: staff.Document = "") -> None:
    """Note that the authority was told of the dispute."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(
        ctx,
        whom,
        lambda client: client.redress.TellSource,
        pb.TellSourceRequest(case_id=case_id, document=document),
        usual=REVIEWER,
    )
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "stay")
def stay(
    ctx: typer.Context,
    whom: Asked,
    *,
    case_id: staff.CaseId,
    why: staff.Why,
    expected_version: staff.Expected = 0,
) -> None:
    """Take the entry out of force until the case is decided."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.StayRequest(case_id=case_id, why=why, expected_version=expected_version)
    answer = staff.ask(ctx, whom, lambda client: client.redress.Stay, request, usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "lift")
def lift(
    ctx: typer.Context,
    whom: Asked,
    *,
    case_id: staff.CaseId,
    why: staff.Why,
    expected_version: staff.Expected = 0,
) -> None:
    """Put a stayed entry back in force while the case goes on."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.LiftStayRequest(case_id=case_id, why=why, expected_version=expected_version)
    answer = staff.ask(ctx, whom, lambda client: client.redress.LiftStay, request, usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "extend")
def extend(
    ctx: typer.Context,
    whom: Asked,
    *,
    case_id: staff.CaseId,
    why: staff.Why,
    expected_version: staff.Expected = 0,
) -> None:
    """Move the time by which the case must be decided, once."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.ExtendDisputeRequest(case_id=case_id, why=why, expected_version=expected_version)
    answer = staff.ask(ctx, whom, lambda client: client.redress.ExtendDispute, request, usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "resolve")
def resolve(
    ctx: typer.Context,
    whom: Asked,
    *,
    case_id: staff.CaseId,
    resolution: Annotated[
        Resolution, typer.Argument(metavar="DECISION", help="upheld, released, withdrawn (in error) or cleared (not them).")
    ],
    why: staff.Why,
    document: staff.Document = "",
    expected_version: staff.Expected = 0,
) -> None:
    """Decide a case; only its reviewer can."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.ResolveRequest(
        case_id=case_id,
        resolution=pb.Resolution.Value(f"RESOLUTION_{resolution.name}"),
        why=why,
        document=document,
        expected_version=expected_version,
    )
    answer = staff.ask(ctx, whom, lambda client: client.redress.Resolve, request, usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


def ground_number(ground: Ground) -> pb.DisputeGround.ValueType:
    """Give the contract's number of a ground."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    return pb.DisputeGround.Value(f"DISPUTE_GROUND_{ground.name}")


def show_case(case: pb.Case) -> None:
    """Print a case for a reader."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    plain = pb.Case()
    plain.CopyFrom(case)
    for name in ("evidence", "steps"):
        plain.ClearField(name)
    show_message(plain)
    if case.evidence:
        print_line()
        rows = [(each.reference, each.added_by, stamp_text(each.added_at)) for each in case.evidence]
        print_table(("EVIDENCE", "BY", "AT"), rows)
    if case.steps:
        print_line()
        print_table(("STEP", "AT", "BY", "WHY"), [(e.step, stamp_text(e.at), e.actor, e.why) for e in case.steps])


def _kind_text(case: pb.Case) -> str:
    words = [enum_text(case.DESCRIPTOR.fields_by_name[name], getattr(case, name)) for name in ("kind", "ground")]
    return ", ".join(word for word in words if word) + (", stayed" if case.stayed else "")
