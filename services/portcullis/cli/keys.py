"""``portcullis partner key``: the API keys of partners, and of the people who keep lists and look into disputes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import print_error, print_fields, print_json, print_line, print_table, time_text
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.ports import ApiKey

app = typer.Typer(help="Partners and their API keys.", no_args_is_help=True, rich_markup_mode=None)
key_app = typer.Typer(help="API keys of partners and people.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(key_app, name="key")


class Role(StrEnum):
    """What a key is for."""

    PARTNER = "partner"
    OPERATOR = "operator"
    AUTHORITY_EDITOR = "authority-editor"
    AUTHORITY_APPROVER = "authority-approver"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"


@key_app.command("new")
def new_key(
    ctx: typer.Context,
    *,
    holder: Annotated[str, typer.Argument(metavar="NAME", help="A partner of the policy in force, or a person's name.")],
    role: Annotated[Role, typer.Option("--role", help="What the key is for.")] = Role.PARTNER,
    lists: Annotated[
        list[str] | None,
        typer.Option(
            "--list",
            metavar="LIST",
            help="Good for this list alone, again for more; not for a partner. Without it, for every list.",
            show_default=False,
        ),
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What it is for, in your words.")] = "",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Make a key and print it. It is shown this once and kept nowhere; gateways know it with the next snapshot."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        key, secret = wiring.api_keys(registry).create(
            holder, role.value, note, actor=wiring.actor(), lists=tuple(lists or ())
        )
    if as_json:
        print_json({**_document(key), "key": secret})
    else:
        typer.echo(secret)
        print_error(f"this is the only time that the key {key.key_id} is shown; send it as 'authorization: Bearer KEY'")


@key_app.command("revoke")
def revoke_key(
    ctx: typer.Context,
    *,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id, as `list` shows it; not the key.")],
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """End a key; gateways refuse it with the next snapshot."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        wiring.api_keys(registry).revoke(key_id, actor=wiring.actor())
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
    else:
        print_line(f"revoked {key_id}")


@key_app.command("list")
def list_keys(
    ctx: typer.Context,
    *,
    holder: Annotated[str | None, typer.Argument(metavar="PARTNER", help="Only this one's.", show_default=False)] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """List the keys, without their secrets."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        keys = wiring.api_keys(registry).list(holder)
        partners = sorted(partner.name for partner in registry.policy().partners)
    if holder is not None and not keys and holder not in partners:
        known = ", ".join(partners) or "none yet"
        raise typer.BadParameter(
            f"no partner of the policy in force, and holds no key; the partners are {known}", param_hint="PARTNER"
        )
    if as_json:
        print_json([_document(key) for key in keys])
    elif keys:
        rows = [
            (key.key_id, key.holder, key.role, time_text(key.created_at), time_text(key.revoked_at), key.note)
            for key in keys
        ]
        print_table(("key", "holder", "role", "made", "revoked", "note"), rows)
    else:
        print_fields([("keys", "none")], indent=0)


def _document(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "holder": key.holder,
        "role": key.role,
        "note": key.note,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
