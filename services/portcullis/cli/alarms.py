"""``portcullis partner alarms`` and ``partner release``: partners that seem to go through numbers."""

from __future__ import annotations

from typing import Annotated

import typer

from portcullis.cli import staff
from portcullis.cli.keys import app as partner_app
from portcullis.cli.output import print_line, print_table, time_text
from portcullis.cli.staff import Asked, show, staff_command

app = partner_app
"""``portcullis partner``: the commands here stand beside those of keys and certificates."""


@staff_command(partner_app, "alarms")
def alarms(ctx: typer.Context, whom: Asked) -> None:
    """List the alarms that hold, and those that ended within the last day."""
    from portcullis.v1 import admin_service_pb2 as pb  # noqa: PLC0415 - would slow `--help` down

    answer = staff.ask(ctx, whom, lambda client: client.admin.ListAlarms, pb.ListAlarmsRequest())

    def text() -> None:
        rows = [
            (
                each.partner,
                each.level,
                ", ".join(each.signs),
                f"{each.probes:,}",
                time_text(each.raised_at.seconds),
                f"released by {each.released_by}" if each.released_by else f"until {time_text(each.until.seconds)}",
                each.gateway,
            )
            for each in answer.alarms
        ]
        print_table(("PARTNER", "LEVEL", "SIGNS", "NUMBERS", "RAISED", "ENDS", "GATEWAY"), rows)

    show(answer, as_json=whom.as_json, text=text)


@staff_command(partner_app, "release")
def release(
    ctx: typer.Context,
    whom: Asked,
    *,
    partner: Annotated[str, typer.Argument(metavar="NAME", help="The partner.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, kept with the release; no personal data.")],
) -> None:
    """Let a partner's questions be answered again at every gateway, within two seconds."""
    from portcullis.v1 import admin_service_pb2 as pb  # noqa: PLC0415 - as above

    request = pb.ReleaseAlarmRequest(partner=partner, reason=reason)
    answer = staff.ask(ctx, whom, lambda client: client.admin.ReleaseAlarm, request)
    show(answer, as_json=whom.as_json, text=lambda: print_line(f"{partner} is released"))
