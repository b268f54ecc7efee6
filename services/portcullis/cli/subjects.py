"""``portcullis subject``: what a person may see and do about their own record, and ``redress``: mistaken for another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import staff
from portcullis.cli.cases import REVIEWER, Evidences, Ground, WithGround, ground_number, show_case
from portcullis.cli.messages import stamp_text
from portcullis.cli.options import secret, text_or_file
from portcullis.cli.output import print_error, print_fields, print_line
from portcullis.cli.staff import Asked, entry_of, show, staff_command, subject_command
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.client.operating import StaffClient
    from portcullis.v1 import types_pb2

app = typer.Typer(help="A person and their own record.", no_args_is_help=True, rich_markup_mode=None)
redress_app = typer.Typer(
    help="Redress numbers, for people who are mistaken for another.", no_args_is_help=True, rich_markup_mode=None
)

SESSION = "PORTCULLIS_SUBJECT_SESSION"
CODE = "PORTCULLIS_SUBJECT_CODE"

Shown = Annotated[
    str,
    typer.Option(
        "--id", metavar="KIND:VALUE", help="The number that the person has shown, as for check; - reads it from stdin."
    ),
]
Own = Annotated[
    str,
    typer.Option(
        "--id",
        metavar="KIND:VALUE",
        help=f"The number that the code was issued for; - reads it from stdin. Not needed with {SESSION}.",
        show_default=False,
    ),
]
Code = Annotated[
    str,
    typer.Option(
        "--code",
        metavar="CODE",
        callback=secret,
        envvar=CODE,
        help="The code, or @FILE, a file that holds it. Prefer that: others can see arguments and variables. It is used up.",
        show_default=False,
    ),
]


@staff_command(app, "code")
def code(ctx: typer.Context, whom: Asked, *, shown: Shown) -> None:
    """Make a code for somebody who has shown a document: with it they see their own record, once."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - would slow `--help` down

    answer = staff.ask(
        ctx, whom, lambda client: client.redress.IssueSubjectCode, pb.IssueSubjectCodeRequest(identifier=_identifier(shown))
    )

    def text() -> None:
        typer.echo(answer.code)
        print_error(f"this is the only time that the code is shown; it ends at {stamp_text(answer.expires_at)}")

    show(answer, as_json=whom.as_json, text=text)


@subject_command(app, "begin")
def begin(ctx: typer.Context, whom: Asked, *, own: Own, given: Code) -> None:
    """Exchange a code for a session of an hour, to be set as PORTCULLIS_SUBJECT_SESSION, itself or as @FILE."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.BeginSessionRequest(identifier=_identifier(own), proof=given)
    with _proof_of("--code"), staff.connected(wiring_of(ctx), whom, None) as client:
        answer = client.call(client.redress.BeginSession, request)

    def text() -> None:
        typer.echo(answer.session)
        print_error(f"set it as {SESSION}; it ends at {stamp_text(answer.expires_at)}")

    show(answer, as_json=whom.as_json, text=text)


@subject_command(app, "export")
def export(
    ctx: typer.Context,
    whom: Asked,
    *,
    own: Own = "",
    given: Code = "",
    locale: Annotated[
        str, typer.Option("--locale", metavar="LANGUAGE", help="The language of the text, as zh-CN.", show_default=False)
    ] = "",
) -> None:
    """Print everything that is kept about the person: entries, decisions, looks and cases."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    with _session(ctx, whom, own, given) as client:
        answer = client.call(client.redress.GetMyRecord, pb.GetMyRecordRequest(locale=locale))
    if whom.as_json:
        from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - as above

        from portcullis.cli.output import print_json  # noqa: PLC0415 - as above

        print_json(MessageToDict(answer.record))
    else:
        typer.echo(answer.text, nl=not answer.text.endswith("\n"))


@subject_command(app, "dispute")
def dispute(
    ctx: typer.Context,
    whom: Asked,
    *,
    list_name: Annotated[
        str,
        typer.Option(
            "--list", metavar="LIST", help="The list, by its name or its title, as the notice or the record has it."
        ),
    ],
    case_reference: Annotated[str, typer.Option("--case", metavar="REFERENCE", help="The entry's case reference.")],
    ground: WithGround = Ground.WRONG_FACTS,
    evidence: Evidences = None,
    own: Own = "",
    given: Code = "",
) -> None:
    """Object to an entry about oneself."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.OpenDisputeRequest(
        list=list_name, case_reference=case_reference, ground=ground_number(ground), evidence=evidence or ()
    )
    with _session(ctx, whom, own, given) as client:
        answer = client.call(client.redress.OpenDispute, request)
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@subject_command(app, "case")
def own_case(ctx: typer.Context, whom: Asked, *, case_id: staff.CaseId, own: Own = "", given: Code = "") -> None:
    """Show one's own case."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    with _session(ctx, whom, own, given) as client:
        answer = client.call(client.redress.GetCase, pb.GetCaseRequest(case_id=case_id))
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@subject_command(app, "evidence")
def add_own_evidence(
    ctx: typer.Context,
    whom: Asked,
    *,
    case_id: staff.CaseId,
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="The document's reference.")],
    own: Own = "",
    given: Code = "",
) -> None:
    """Add the reference of a document to one's own case."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    with _session(ctx, whom, own, given) as client:
        answer = client.call(client.redress.AddEvidence, pb.AddEvidenceRequest(case_id=case_id, reference=reference))
    show(answer, as_json=whom.as_json, text=lambda: show_case(answer.case))


@staff_command(app, "erase")
def erase(ctx: typer.Context, whom: Asked, *, shown: Shown, why: staff.Why) -> None:
    """Destroy what tells who somebody is, where no entry that still stands needs it. It can't be undone."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.EraseSubjectRequest(identifier=_identifier(shown), why=why)
    answer = staff.ask(ctx, whom, lambda client: client.redress.EraseSubject, request)

    def text() -> None:
        print_fields(
            (
                ("ended entries erased", str(answer.entries)),
                ("keys of records destroyed", str(answer.keys)),
                ("entries that still stand", str(answer.kept)),
                ("records still readable", str(answer.left)),
            )
        )
        if answer.left:
            print_line("those were asked about by another document of theirs first; erase by that one as well")

    show(answer, as_json=whom.as_json, text=text)


@staff_command(redress_app, "issue")
def issue(
    ctx: typer.Context,
    whom: Asked,
    *,
    entry: staff.EntryName,
    mistaken: Annotated[
        str, typer.Option("--mistaken", metavar="KIND:VALUE", help="The number by which they are taken for the subject.")
    ],
    own: Annotated[str, typer.Option("--own", metavar="KIND:VALUE", help="A document of their own.")],
    case_id: Annotated[str, typer.Option("--case", metavar="CASE", help="The case that found it.", show_default=False)] = "",
    why: staff.Why,
) -> None:
    """Clear a person who is mistaken for the subject of an entry, and print their redress number."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    list_name, key = entry_of(entry)
    request = pb.IssueRedressNumberRequest(
        list=list_name, key=key, mistaken=_identifier(mistaken), own=_identifier(own), case_id=case_id, why=why
    )
    answer = staff.ask(ctx, whom, lambda client: client.redress.IssueRedressNumber, request, usual=REVIEWER)

    def text() -> None:
        typer.echo(answer.redress_number)
        print_error(f"this is the only time that the number {answer.number_id} is shown")

    show(answer, as_json=whom.as_json, text=text)


@staff_command(redress_app, "revoke")
def revoke(
    ctx: typer.Context,
    whom: Asked,
    *,
    number_id: Annotated[str, typer.Argument(metavar="NUMBER_ID", help="What `issue` named it; not the number.")],
    why: staff.Why,
) -> None:
    """End a redress number."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.RevokeRedressNumberRequest(number_id=number_id, why=why)
    answer = staff.ask(ctx, whom, lambda client: client.redress.RevokeRedressNumber, request, usual=REVIEWER)
    show(answer, as_json=whom.as_json, text=lambda: typer.echo(f"{number_id} counts no more"))


@contextmanager
def _session(ctx: typer.Context, whom: Asked, own: str, given: str) -> Iterator[StaffClient]:
    """Open the connection of a person who has a session, or a code to begin one."""
    from portcullis.v1 import redress_service_pb2 as pb  # noqa: PLC0415 - as above

    wiring, credential = wiring_of(ctx), text_or_file(os.environ.get(SESSION)) or ""
    if given:
        if not own:
            raise typer.BadParameter("with a code, give the number that it was issued for", param_hint="--id")
        request = pb.BeginSessionRequest(identifier=_identifier(own), proof=given)
        with _proof_of("--code"), staff.connected(wiring, whom, None) as stranger:
            credential = stranger.call(stranger.redress.BeginSession, request).session
    if not credential:
        raise typer.BadParameter(
            f"set {CODE} to the code that an operator or reviewer has made, or {SESSION} to what `subject begin` gave",
            param_hint="--code",
        )
    with _proof_of(SESSION), staff.connected(wiring, whom, credential) as client:
        yield client


@contextmanager
def _proof_of(given: str) -> Iterator[None]:
    """Tell a person whose code or session does not hold what to do; the usual words are for those who have a key.

    Raises:
        typer.BadParameter: it does not hold.
    """
    from portcullis.client.errors import Unauthenticated  # noqa: PLC0415 - as above

    try:
        yield
    except Unauthenticated:
        code_fails = "it is used up, over, or was made for another number, or too many wrong ones came in the last minute"
        what = "it has ended" if given == SESSION else code_fails
        raise typer.BadParameter(
            f"{what}; ask an operator or reviewer for a new code (`portcullis subject code`)", param_hint=given
        ) from None


def _identifier(text: str) -> types_pb2.Identifier:
    from portcullis.cli.asking import identifiers  # noqa: PLC0415 - as above
    from portcullis.v1 import types_pb2  # noqa: PLC0415 - as above

    read = identifiers([text])
    if len(read) != 1:
        raise typer.BadParameter("stdin holds more than one number; give one", param_hint="--id")
    return types_pb2.Identifier(kind=read[0].kind, value=read[0].value, country=read[0].country)
