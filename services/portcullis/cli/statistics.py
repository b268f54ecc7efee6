"""``portcullis statistics``: counts for a transparency report. Never by person: the journal counts by month at the finest.

    refusals    decisions that were not ALLOW: by month, list, action, partner and outcome
    reported    what partners reported: by month, list, partner, kind and code

What was settled, let through, cleared by a person (REVIEWED, CLEARED) or about somebody else (IDENTITY_MISMATCH) is among
what was reported.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import print_json, print_line, print_table
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.ports import Refusals, Reported

_REFUSALS = ("month", "list", "action", "partner", "outcome", "count")
_REPORTED = ("month", "list", "partner", "kind", "code", "count")
_CSV = ("table", "month", "list", "action", "partner", "what", "code", "count")


def statistics(
    ctx: typer.Context,
    *,
    home: options.Home = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values instead of text.")] = False,
    as_json: options.Json = False,
) -> None:
    """Count refusals and what partners reported, by month, list, action and partner; never by person."""
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, one of them", param_hint="--csv")
    wiring = wiring_of(ctx)
    with wiring.journal(wiring.settings(home=home)) as journal:
        refusals, reported = journal.refusals(), journal.reported()
    if as_json:
        print_json({"refusals": _documents(refusals, _REFUSALS), "reported": _documents(reported, _REPORTED)})
    elif as_csv:
        _print_csv(refusals, reported)
    else:
        _print_part("refusals", _REFUSALS, refusals)
        print_line()
        _print_part("reported", _REPORTED, reported)


def _documents(rows: Iterable[object], fields: Sequence[str]) -> list[dict[str, object]]:
    return [{field: getattr(row, field) for field in fields} for row in rows]


def _print_part(title: str, fields: Sequence[str], rows: Sequence[object]) -> None:
    print_line((title, "bold"))
    if not rows:
        print_line("none")
        return
    print_table(fields, [[_cell(getattr(row, field)) for field in fields] for row in rows])


def _print_csv(refusals: Iterable[Refusals], reported: Iterable[Reported]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_CSV)
    for each in refusals:
        writer.writerow(("refusals", each.month, each.list, each.action, each.partner, each.outcome, "", each.count))
    for row in reported:
        writer.writerow(("reported", row.month, row.list, "", row.partner, row.kind, row.code, row.count))


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
