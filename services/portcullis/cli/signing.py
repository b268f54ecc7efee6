"""``portcullis keys``: the keys that snapshots are signed with; the others of a home are in `portcullis.cli.home_keys`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.default_command import DefaultCommand, GroupWithDefault
from portcullis.cli.home_keys import (
    FEED,
    NOT_ROTATED,
    SEAL,
    TOKEN,
    Why,
    make_next_key,
    report_keys,
    retire_token_key,
    rotate_feed_key,
    switch_token_key,
)
from portcullis.cli.output import print_error, print_fields, print_json, print_table
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.ports import KeyChanges, RoleKey, RoleKeys

app = typer.Typer(help="Every key of a home.", cls=GroupWithDefault, no_args_is_help=False, rich_markup_mode=None)
app.command("report", cls=DefaultCommand)(report_keys)
app.command("switch")(switch_token_key)
app.command("retire")(retire_token_key)

WARN_DAYS = 60
"""From how many days before its end on `keys show` warns of metadata that expires."""

_SHORT = 8
_DAY_S = 86_400

Offline = Annotated[
    Path | None,
    typer.Option(
        "--offline",
        metavar="DIR",
        help="Where the offline keys are, if they were moved; without it, trust/offline in the folder of the keys.",
        show_default=False,
    ),
]


@app.command("init")
def init_keys(
    ctx: typer.Context,
    *,
    lists: Annotated[
        list[str] | None, typer.Option("--list", metavar="NAME", help="A list that gets a key; may be given several times.")
    ] = None,
    root_keys: Annotated[
        int | None, typer.Option("--root-keys", metavar="N", min=1, max=32, help="Keys of root; 3.", show_default=False)
    ] = None,
    root_threshold: Annotated[
        int | None,
        typer.Option(
            "--root-threshold",
            metavar="N",
            min=1,
            max=32,
            help="How many of them must sign a new root; a majority.",
            show_default=False,
        ),
    ] = None,
    offline: Offline = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Make every key that is missing, and the signed root and delegations. What is there is never replaced."""
    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    made = wiring.ensure_secrets(settings)
    changes = wiring.key_ceremony(settings, offline).establish(
        lists or (), root_keys=root_keys, root_threshold=root_threshold
    )
    _show_changes(changes._replace(made=(*made, *changes.made)), as_json=as_json)


@app.command("rotate")
def rotate_key(
    ctx: typer.Context,
    *,
    role: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="token, seal or feed; or the role root, targets, snapshot, timestamp, head or list:NAME.",
            show_default=False,
        ),
    ],
    renew: Annotated[
        bool, typer.Option("--renew", help="Keep the keys of root or targets; sign anew, so that it expires later.")
    ] = False,
    uri: Annotated[
        str | None,
        typer.Option(
            "--uri",
            metavar="URI",
            help="Where a key that exists is reached: file:PATH, awskms:..., hsm:...",
            show_default=False,
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Its public half, PEM; alone where its holder signs elsewhere.",
            show_default=False,
        ),
    ] = None,
    partner: Annotated[str, typer.Option("--partner", metavar="NAME", help="Whose feed key.", show_default=False)] = "",
    why: Why = "",
    offline: Offline = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Make the next token or seal key, give a partner another feed key, or a role a new key.

    A token or seal key is put in use by `keys switch`. With another feed key a partner knows every entry by another
    name, and its cursors expire. Running publishers and followers go over to a role's key by themselves.
    """
    if renew and (uri or public_key):
        raise typer.BadParameter("keeps the keys; leave --uri and --public-key out", param_hint="--renew")
    if role in NOT_ROTATED:
        raise typer.BadParameter(NOT_ROTATED[role], param_hint=role)
    wiring = wiring_of(ctx)
    if role in {TOKEN, FEED, SEAL} and (renew or uri or public_key or offline):
        raise typer.BadParameter("takes none of the options of signing keys", param_hint=role)
    if role == FEED:
        rotate_feed_key(wiring, wiring.settings(home=home), partner, why, as_json=as_json)
        return
    if partner:
        raise typer.BadParameter("is for feed alone", param_hint="--partner")
    if role in {TOKEN, SEAL}:
        make_next_key(wiring, wiring.settings(home=home), role, as_json=as_json)
        return
    ceremony = wiring.key_ceremony(wiring.settings(home=home), offline)
    changes = ceremony.renew(role) if renew else ceremony.rotate(role, uri=uri, public_key=public_key)
    _show_changes(changes, as_json=as_json)
    if public_key and not uri:
        print_error(
            f"this publisher can no longer sign {role}: the list stands still until a publisher that holds the new key "
            "publishes"
        )


@app.command("show")
def show_keys(
    ctx: typer.Context, *, offline: Offline = None, home: options.Home = None, as_json: options.Json = False
) -> None:
    """Show every role: its keys, where their private halves are, and when what they sign expires."""
    wiring = wiring_of(ctx)
    roles = wiring.key_ceremony(wiring.settings(home=home), offline).roles()
    now = wiring.clock.now()
    if as_json:
        print_json([_document(each, now) for each in roles])
        return
    rows = [row for each in roles for row in _rows(each, now)]
    print_table(("role", "needs", "key", "private key", "made", "version", "expires"), rows)
    for each in roles:
        _warn(each, now)


def _show_changes(changes: KeyChanges, *, as_json: bool) -> None:
    if as_json:
        print_json({**changes._asdict(), "replaced": [each._asdict() for each in changes.replaced]})
        return
    if not (changes.made or changes.signed):
        print_fields([("keys", "all there; nothing was changed")], indent=0)
    print_fields(
        [
            *(("made", path) for path in changes.made),
            *(("signed", path) for path in changes.signed),
            *(("replaced", f"{each.role}: {_short(each.old)} -> {_short(each.new)}") for each in changes.replaced),
            *(("deleted", path) for path in changes.deleted),
        ],
        indent=0,
    )
    if changes.offline:
        print_error("move these away from this host, each to media of its own; name them with --offline when they sign:")
        _list(changes.offline)
    if changes.retired:
        print_error("these keys are no longer trusted; destroy every copy once the followers trust the new root:")
        _list(changes.retired)


def _short(key_ids: tuple[str, ...]) -> str:
    return ", ".join(key_id[:_SHORT] for key_id in key_ids)


def _list(paths: tuple[str, ...]) -> None:
    for path in paths:
        print_error(f"  {path}")


def _rows(role: RoleKeys, now: float) -> list[tuple[str, ...]]:
    rows = [("", "", key.key_id[:_SHORT], _place(key), _date(key.made_at), "", "") for key in role.keys]
    of_the_role = (role.role, f"{role.threshold} of {len(role.keys)}")
    expires = f"{_date(role.expires_at)}, {days_left(role, now)} days" if role.expires_at is not None else ""
    version = str(role.version) if role.version is not None else ""
    return [(*of_the_role, *rows[0][2:5], version, expires), *rows[1:]]


def _place(key: RoleKey) -> str:
    if not key.uri:
        return "held elsewhere"
    return key.uri if key.state == "here" else f"{key.uri} ({key.state})"


def _warn(role: RoleKeys, now: float) -> None:
    for key in role.keys:
        if key.fault:
            print_error(f"{role.role}: {key.fault}")
    left = days_left(role, now)
    if left is not None and left < WARN_DAYS:
        when = f"expires in {left} days" if left >= 0 else "has expired, and followers refuse it"
        print_error(f"{role.role} {when}; sign it anew with `portcullis keys rotate {role.role} --renew`")


def days_left(role: RoleKeys, now: float) -> int | None:
    """Give the whole days until a role's metadata expires; None where that is not told."""
    return None if role.expires_at is None else int((role.expires_at - now) // _DAY_S)


def _date(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _document(role: RoleKeys, now: float) -> dict[str, object]:
    return {**role._asdict(), "days_left": days_left(role, now), "keys": [key._asdict() for key in role.keys]}
