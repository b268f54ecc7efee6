"""``portcullis statistics``: counts for a transparency report. Never by person: the journal counts by month at the finest.

    refusals    decisions that were not ALLOW: by month, list, action, partner and outcome
    reported    what partners reported: by month, list, partner, kind and code
    disputes    cases that were closed: by month, list, kind and end; overturned are RELEASED and WITHDRAWN

What was settled, let through, cleared by a person (REVIEWED, CLEARED) or about somebody else (IDENTITY_MISMATCH) is among
what was reported. A count below five might tell who somebody is to whoever knows a little, so what may be published says
"<5" in its place.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import print_json, print_line, print_table
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.ports import CaseCount, Refusals, Reported

SMALL = 5
"""Counts below this are not told, unless they are asked for exactly."""

_Told = Callable[[int], int | str]

_REFUSALS = ("month", "list", "action", "partner", "outcome", "count")
_REPORTED = ("month", "list", "partner", "kind", "code", "count")
_DISPUTES = ("month", "list", "kind", "end", "count")
_CSV = ("table", "month", "list", "action", "partner", "what", "code", "count")


def statistics(
    ctx: typer.Context,
    *,
    exact: Annotated[
        bool, typer.Option("--exact", help="Show counts below five as they are; such a table is not for publication.")
    ] = False,
    home: options.Home = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values instead of text.")] = False,
    as_json: options.Json = False,
) -> None:
    """Count refusals, reports and closed disputes, by month, list, action and partner; never by person.

    A count below five is shown as "<5".
    """
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, one of them", param_hint="--csv")
    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    with wiring.journal(settings) as journal:
        refusals, reported = journal.refusals(), journal.reported()
    disputes, told = wiring.case_counts(settings), int if exact else _coarse
    if as_json:
        parts = (("refusals", _REFUSALS, refusals), ("reported", _REPORTED, reported), ("disputes", _DISPUTES, disputes))
        print_json({title: _documents(rows, fields, told) for title, fields, rows in parts})
    elif as_csv:
        _print_csv(refusals, reported, disputes, told)
    else:
        _print_part("refusals", _REFUSALS, refusals, told)
        print_line()
        _print_part("reported", _REPORTED, reported, told)
        print_line()
        _print_part("disputes", _DISPUTES, disputes, told)


def _coarse(count: int) -> int | str:
    """Give a count, but not one that is small."""
    return count if count >= SMALL else f"<{SMALL}"


def _documents(rows: Iterable[object], fields: Sequence[str], told: _Told) -> list[dict[str, object]]:
    return [{field: _value(getattr(row, field), told) for field in fields} for row in rows]


def _value(value: object, told: _Told) -> object:
    return told(value) if isinstance(value, int) else value


def _print_part(title: str, fields: Sequence[str], rows: Sequence[object], told: _Told) -> None:
    print_line((title, "bold"))
    if not rows:
        print_line("none")
        return
    print_table(fields, [[_cell(_value(getattr(row, field), told)) for field in fields] for row in rows])


def _print_csv(
    refusals: Iterable[Refusals], reported: Iterable[Reported], disputes: Iterable[CaseCount], told: _Told
) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_CSV)
    for each in refusals:
        writer.writerow(("refusals", each.month, each.list, each.action, each.partner, each.outcome, "", told(each.count)))
    for row in reported:
        writer.writerow(("reported", row.month, row.list, "", row.partner, row.kind, row.code, told(row.count)))
    for case in disputes:
        writer.writerow(("disputes", case.month, case.list, "", "", case.kind, case.end, told(case.count)))


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
