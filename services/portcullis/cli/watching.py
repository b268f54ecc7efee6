"""``portcullis watch``: what changes on the lists of a partner's agreements, as it happens."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import asking, options
from portcullis.cli.event_files import replace_file
from portcullis.cli.output import print_line
from portcullis.cli.reporting import demanded_partner
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portcullis.client import Change, Heartbeat
    from portcullis.client.events import Watched

_TIME = "%Y-%m-%d %H:%M:%S UTC"


def watch(
    ctx: typer.Context,
    *,
    lists: Annotated[
        list[str] | None,
        typer.Option("--list", metavar="NAME", help="Only of this list; may be given often.", show_default=False),
    ] = None,
    cursor: Annotated[
        str, typer.Option("--cursor", metavar="CURSOR", help="Go on after this cursor; without it, from now on.")
    ] = "",
    oldest: Annotated[
        bool,
        typer.Option("--oldest", help="Begin with the oldest change that is kept, unless a cursor stands in --cursor-file."),
    ] = False,
    cursor_file: Annotated[
        Path | None,
        typer.Option(
            "--cursor-file",
            metavar="FILE",
            help="Keep the cursor in this file, and go on from the one that stands there.",
            show_default=False,
        ),
    ] = None,
    heartbeats: Annotated[bool, typer.Option("--heartbeats", help="Print heartbeats too.")] = False,
    target: options.Target = None,
    key: options.Key = None,
    partner: options.Partner = None,
    home: options.Home = None,
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    as_json: options.JsonLines = False,
) -> None:
    """Print changes on your lists as they happen: who was added, stayed, released, withdrawn, whose time is over.

    It goes on by itself when the gateway was away, until it is interrupted (exit 0).
    """
    if cursor and oldest:
        raise typer.BadParameter("give --cursor or --oldest, one of them", param_hint="--oldest")
    from portcullis.domain.changes import OLDEST  # noqa: PLC0415 - msgspec would slow `--help` down

    wiring = wiring_of(ctx)
    tls = asking.tls_of(tls_ca, tls_cert, tls_key)
    address, api_key = asking.whom(
        wiring,
        target=target,
        key=key,
        partner=demanded_partner(key, partner, certified=tls_cert is not None),
        home=home,
        purpose="",
        tls=tls,
    )
    begin = cursor or _kept_cursor(cursor_file) or (OLDEST if oldest else "")
    with asking.client(wiring, address, api_key, 5.0, as_json=False, tls=tls) as client, suppress(KeyboardInterrupt):
        _follow(client.watch_changes(begin, lists=lists or ()), cursor_file, heartbeats=heartbeats, as_json=as_json)


def _follow(watched: Iterable[Watched], cursor_file: Path | None, *, heartbeats: bool, as_json: bool) -> None:
    """Print what comes; its cursor is kept only once it is printed, so that a rerun misses nothing."""
    from portcullis.client import Change  # noqa: PLC0415 - gRPC would slow `--help` down

    kept = ""
    for each in watched:
        if isinstance(each, Change):
            _print_change(each, as_json=as_json)
        elif heartbeats:
            _print_heartbeat(each, as_json=as_json)
        if cursor_file is not None and each.cursor != kept:
            replace_file(cursor_file, f"{each.cursor}\n")
            kept = each.cursor


def _print_change(change: Change, *, as_json: bool) -> None:
    if as_json:
        _print(
            {
                "cursor": change.cursor,
                "kind": change.kind.value,
                "list": change.list,
                "subject": change.subject,
                "happened_at": change.happened_at.isoformat(),
                "until": change.until.isoformat(),
            }
        )
        return
    print_line(
        f"{change.happened_at.strftime(_TIME)}  ",
        (f"{change.kind.value:<17}", "bold"),
        f"  {change.list}  {change.subject}  until {change.until.strftime(_TIME)}",
    )


def _print_heartbeat(heartbeat: Heartbeat, *, as_json: bool) -> None:
    if as_json:
        _print({"cursor": heartbeat.cursor, "heartbeat": {"lag_s": heartbeat.lag_s}})
        return
    lag = f"{heartbeat.lag_s:.1f} s behind" if heartbeat.lag_s else "nothing waits"
    print_line((f"heartbeat  {heartbeat.cursor}  {lag}", "dim"))


def _print(document: object) -> None:
    # A reader at the other end of a pipe must have it before its cursor is kept; typer.echo flushes.
    typer.echo(json.dumps(document, ensure_ascii=False))


def _kept_cursor(file: Path | None) -> str:
    """Read the cursor of an earlier run; "" where there is none.

    Raises:
        typer.BadParameter: the file holds something else.
    """
    from portcullis.domain.changes import read_cursor  # noqa: PLC0415 - msgspec would slow `--help` down

    if file is None or not file.exists():
        return ""
    text = file.read_text(encoding="utf-8", errors="replace").strip()
    if text and read_cursor(text) is None:
        raise typer.BadParameter("the file holds no cursor; name another, or remove it", param_hint="--cursor-file")
    return text
