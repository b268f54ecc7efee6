"""``portcullis stream``: the streams of events to other systems."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from portcullis.cli import options
from portcullis.cli.output import print_error, print_fields, print_json, print_line, print_table, time_text
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.ports.relay import Stream, StreamDesk

app = typer.Typer(help="Streams of events to other systems.", no_args_is_help=True, rich_markup_mode=None)

_AUTHORIZATION = "PORTCULLIS_STREAM_AUTHORIZATION"


class Method(StrEnum):
    """How events get there."""

    PUSH = "push"
    POLL = "poll"
    WEBHOOK = "webhook"
    FILE = "file"


StreamId = Annotated[str, typer.Argument(metavar="ID", help="The stream's id, as `list` shows it.")]


@app.command("create")
def create(
    ctx: typer.Context,
    *,
    partner: Annotated[
        str | None, typer.Option("--partner", metavar="NAME", help="For this partner's system.", show_default=False)
    ] = None,
    authority: Annotated[
        str | None,
        typer.Option(
            "--authority", metavar="NAME", help="For the system of this authority, as its lists name it.", show_default=False
        ),
    ] = None,
    method: Annotated[Method, typer.Option("--by", help="How the events get there.")],
    endpoint: Annotated[
        str,
        typer.Option("--to", metavar="URL|FILE", help="Where they go; not for a stream that is polled.", show_default=False),
    ] = "",
    audience: Annotated[
        list[str] | None,
        typer.Option(
            "--audience", metavar="TEXT", help="The aud of tokens; without it, the holder's name.", show_default=False
        ),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="TYPE", help="Only events of this type; again for more.", show_default=False),
    ] = None,
    description: Annotated[
        str, typer.Option("--description", metavar="TEXT", help="In your words.", show_default=False)
    ] = "",
    from_oldest: Annotated[
        bool, typer.Option("--from-oldest", help="Begin with the oldest event that is kept, not with the next one.")
    ] = False,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Make a stream.

    A receiver's secret, the whole Authorization header, is read from PORTCULLIS_STREAM_AUTHORIZATION, or from the file that
    this names as @FILE.
    """
    from portcullis.ports.relay import DeliveryMethod, Side, StreamSettings  # noqa: PLC0415 - slows other commands down

    if (partner is None) == (authority is None):
        raise typer.BadParameter("give one of --partner and --authority")
    settings = StreamSettings(
        method=DeliveryMethod(method.value),
        endpoint=endpoint,
        audience=tuple(audience or ()),
        events_requested=tuple(events or ()),
        description=description,
    )
    wiring = wiring_of(ctx)
    with wiring.streams(wiring.settings(home=home)) as desk:
        created = desk.create(
            holder=partner or authority or "",
            side=Side.PARTNER if partner is not None else Side.AUTHORITY,
            settings=settings,
            authorization=options.text_or_file(os.environ.get(_AUTHORIZATION)) or "",
            from_oldest=from_oldest,
        )
        behind = desk.behind(created.stream)
    is_shown = method in {Method.PUSH, Method.POLL}
    if as_json:
        print_json(_document(created.stream, behind) | ({"token": created.token} if is_shown else {}))
        return
    _show(created.stream, behind)
    if is_shown:
        typer.echo(created.token)
        print_error("this is the only time that the token is shown; its receiver sends it as 'authorization: Bearer TOKEN'")


@app.command("list")
def list_streams(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """List the streams."""
    wiring = wiring_of(ctx)
    with wiring.streams(wiring.settings(home=home)) as desk:
        shown = [(stream, desk.behind(stream)) for stream in desk.streams()]
    if as_json:
        print_json([_document(stream, behind) for stream, behind in shown])
    elif shown:
        rows = [
            (each.stream_id, each.side.value, each.holder, each.settings.method.value, _state(each), f"{behind:,}")
            for each, behind in shown
        ]
        print_table(("stream", "side", "holder", "by", "state", "behind"), rows)
    else:
        print_fields([("streams", "none")], indent=0)


@app.command("show")
def show(ctx: typer.Context, *, stream_id: StreamId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Show a stream: its settings, its place, and what is wrong with it."""
    _do(ctx, home, lambda desk: desk.stream(stream_id), as_json=as_json)


@app.command("pause")
def pause(
    ctx: typer.Context,
    *,
    stream_id: StreamId,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; its receiver is told.")] = "maintenance",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Hold a stream. What happens meanwhile is delivered after `resume`."""
    _do(ctx, home, lambda desk: desk.pause(stream_id, reason), as_json=as_json)


@app.command("resume")
def resume(ctx: typer.Context, *, stream_id: StreamId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Let a paused stream go on, or agree to an endpoint that a receiver has given.

    A stream that is paused and has such an endpoint is held for the endpoint next: look at it, and resume once more.
    """
    _do(ctx, home, lambda desk: desk.resume(stream_id), as_json=as_json)


@app.command("replay")
def replay(
    ctx: typer.Context,
    *,
    stream_id: StreamId,
    position: Annotated[
        int | None,
        typer.Option(
            "--from", metavar="POSITION", min=0, help="Deliver again what follows this position.", show_default=False
        ),
    ] = None,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out the event that would not be taken; it will not be delivered.")
    ] = False,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Let a parked stream go on where it stands, from another position, or without the event that parked it.

    Of a stream that no event has parked, --skip leaves out the next one.
    """
    if skip and position is not None:
        raise typer.BadParameter("give one of --from and --skip")
    _do(ctx, home, lambda desk: desk.replay(stream_id, position=position, skip=skip), as_json=as_json)


@app.command("verify")
def verify(ctx: typer.Context, *, stream_id: StreamId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Send a verification event: when it is no longer waiting, the receiver has taken it."""
    _do(ctx, home, lambda desk: desk.verify(stream_id), as_json=as_json)


@app.command("delete")
def delete(ctx: typer.Context, *, stream_id: StreamId, home: options.Home = None, as_json: options.Json = False) -> None:
    """Remove a stream; what it has not delivered is not delivered any more."""
    wiring = wiring_of(ctx)
    with wiring.streams(wiring.settings(home=home)) as desk:
        desk.delete(stream_id)
    if as_json:
        print_json({"stream_id": stream_id, "deleted": True})
    else:
        print_line(f"deleted {stream_id}")


@app.command("rotate-key")
def rotate_key(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Sign tokens with a new key from now on; the present one stays published until the next rotation."""
    wiring = wiring_of(ctx)
    key_id = wiring.rotate_stream_key(wiring.settings(home=home))
    if as_json:
        print_json({"key_id": key_id})
    else:
        print_line(f"tokens are signed with {key_id} from now on")


def _do(ctx: typer.Context, home: object, work: _Work, *, as_json: bool) -> None:
    wiring = wiring_of(ctx)
    with wiring.streams(wiring.settings(home=home)) as desk:
        stream = work(desk)
        behind = desk.behind(stream)
    if as_json:
        print_json(_document(stream, behind))
    else:
        _show(stream, behind)


_UNAGREED = " (given by its receiver; nobody has agreed to it)"


class _Work(Protocol):
    def __call__(self, desk: StreamDesk, /) -> Stream: ...


def _state(stream: Stream) -> str:
    if stream.place.parked:
        return "parked"
    if stream.settings.held:
        return "held"
    if stream.place.attempts:
        return "failing"
    return stream.settings.status.value


def _document(stream: Stream, behind: int) -> dict[str, object]:
    settings, place = stream.settings, stream.place
    return {
        "stream_id": stream.stream_id,
        "side": stream.side.value,
        "holder": stream.holder,
        "created_at": stream.created_at,
        "method": settings.method.value,
        "endpoint": settings.endpoint,
        "audience": list(settings.audience),
        "events_requested": list(settings.events_requested),
        "description": settings.description,
        "state": _state(stream),
        "status": settings.status.value,
        "status_reason": settings.status_reason,
        "held": settings.held,
        "endpoint_agreed": not settings.unagreed,
        "parked": place.parked,
        "parked_at": place.parked_at,
        "parked_on": place.parked_on,
        "position": place.position,
        "behind": behind,
        "attempts": place.attempts,
        "failing_since": place.failing_since,
        "retry_at": place.retry_at,
        "waiting_notices": len(place.notices),
    }


def _parked_on(what: int) -> str:
    if what < 0:
        return f"event {-what} about the stream itself"
    return f"position {what}" if what else ""


def _show(stream: Stream, behind: int) -> None:
    settings, place = stream.settings, stream.place
    print_line((stream.stream_id, "bold"), f"  {_state(stream)}")
    print_fields(
        (
            (stream.side.value, stream.holder),
            ("by", settings.method.value),
            ("to", f"{settings.endpoint}{_UNAGREED if settings.unagreed else ''}"),
            ("audience", ", ".join(settings.audience)),
            ("only", ", ".join(settings.events_requested)),
            ("description", settings.description),
            ("receiver", f"{settings.status.value} {settings.status_reason}".strip()),
            ("held", settings.held),
            ("parked", place.parked),
            ("on", _parked_on(place.parked_on)),
            ("since", time_text(place.parked_at or place.failing_since)),
            ("tries", str(place.attempts) if place.attempts else ""),
            ("next try", time_text(place.retry_at)),
            ("position", f"{place.position}, {behind:,} behind"),
            ("notices", str(len(place.notices)) if place.notices else ""),
        )
    )
