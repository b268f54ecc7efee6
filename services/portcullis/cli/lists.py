"""``portcullis list``: a list as a whole, and the switch that takes it out of force."""

from __future__ import annotations

from typing import Annotated

import typer

from portcullis.cli import staff
from portcullis.cli.output import print_error, print_line, print_table
from portcullis.cli.staff import Asked, show, staff_command

app = typer.Typer(help="Lists as a whole.", no_args_is_help=True, rich_markup_mode=None)

ListName = Annotated[str, typer.Argument(metavar="LIST", help="The list.")]


@staff_command(app, "all")
def all_lists(ctx: typer.Context, whom: Asked) -> None:
    """List the lists: who keeps them, and how many entries are in force."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - would slow `--help` down

    answer = staff.ask(ctx, whom, lambda client: client.registry.ListLists, pb.ListListsRequest())

    def text() -> None:
        rows = [
            (each.name, each.authority, f"{each.entries:,}", "suspended" if each.suspended else "in force")
            for each in answer.lists
        ]
        print_table(("LIST", "AUTHORITY", "ENTRIES", "STANDS"), rows)

    show(answer, as_json=whom.as_json, text=text)


@staff_command(app, "show")
def show_list(ctx: typer.Context, whom: Asked, *, list_name: ListName) -> None:
    """Show a list with its measures."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(ctx, whom, lambda client: client.registry.GetList, pb.GetListRequest(name=list_name))
    show(answer, as_json=whom.as_json)


@staff_command(app, "suspend")
def suspend(
    ctx: typer.Context,
    whom: Asked,
    *,
    list_name: ListName,
    why: staff.Why,
) -> None:
    """Take a whole list out of force. The first person asks for it; a second one who asks the same does it."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(
        ctx,
        whom,
        lambda client: client.registry.SuspendList,
        pb.SuspendListRequest(list=list_name, reason=why),
        usual="approver",
    )
    state = answer.list_switch
    show(
        answer,
        as_json=whom.as_json,
        text=lambda: _told(list_name, done=state.suspended, waiting=state.requested_by, is_now="is out of force"),
    )


@staff_command(app, "resume")
def resume(
    ctx: typer.Context,
    whom: Asked,
    *,
    list_name: ListName,
    why: staff.Why,
) -> None:
    """Put a suspended list back in force; it takes two people too."""
    from portcullis.v1 import registry_service_pb2 as pb  # noqa: PLC0415 - as above

    answer = staff.ask(
        ctx,
        whom,
        lambda client: client.registry.ResumeList,
        pb.ResumeListRequest(list=list_name, reason=why),
        usual="approver",
    )
    state = answer.list_switch
    show(
        answer,
        as_json=whom.as_json,
        text=lambda: _told(list_name, done=not state.suspended, waiting=state.requested_by, is_now="is in force"),
    )


def _told(list_name: str, *, done: bool, waiting: str, is_now: str) -> None:
    if done and not waiting:
        print_line(f"{list_name} {is_now}")
    else:
        print_error(f"{waiting} has asked for it; another person must ask the same, with a key of their own")
