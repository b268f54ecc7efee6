"""``portcullis partner key`` and ``portcullis partner certificate``: what partners and people prove themselves by.

The API keys of partners, and of the people who keep lists and look into disputes; and the certificates that are refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import print_error, print_fields, print_json, print_line, print_table, time_text
from portcullis.cli.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    from portcullis.ports import ApiKey

app = typer.Typer(help="Partners and their API keys.", no_args_is_help=True, rich_markup_mode=None)
key_app = typer.Typer(help="API keys of partners and people.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(key_app, name="key")
certificate_app = typer.Typer(help="Callers' certificates.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(certificate_app, name="certificate")

Expires = Annotated[
    float | None,
    typer.Option(
        "--expires",
        metavar="DURATION",
        parser=options.read_duration_s,
        help="Let the new key end by itself after so long, as 90d.",
        show_default=False,
    ),
]


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
    expires: Expires = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Make a key and print it. It is shown this once and kept nowhere; gateways know it with the next snapshot."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        key, secret = wiring.api_keys(registry).create(
            holder,
            role.value,
            note,
            actor=wiring.actor(),
            lists=tuple(lists or ()),
            expires_at=_end(wiring, expires),
        )
    _show_new(key, secret, as_json=as_json)


@key_app.command("rotate")
def rotate_key(
    ctx: typer.Context,
    *,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id, as `list` shows it; not the key.")],
    overlap: Annotated[
        float,
        typer.Option(
            "--overlap",
            metavar="DURATION",
            parser=options.read_duration_s,
            help="How long the key itself goes on beside its successor, as 7d; 0s: not at all.",
        ),
    ] = "7d",  # type: ignore[assignment] # the parser reads it
    expires: Expires = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Make a key's successor and print it: same holder, role and lists. The key itself ends by itself after the overlap.

    The successor lives as long as the key was made for, unless --expires says otherwise.
    """
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        key, secret = wiring.api_keys(registry).rotate(
            key_id, overlap_s=overlap, actor=wiring.actor(), expires_at=_end(wiring, expires)
        )
    _show_new(key, secret, as_json=as_json)


def _end(wiring: Wiring, expires_s: float | None) -> float | None:
    return None if expires_s is None else wiring.clock.now() + expires_s


def _show_new(key: ApiKey, secret: str, *, as_json: bool) -> None:
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
        now = wiring.clock.now()
        rows = [
            (key.key_id, key.holder, key.role, time_text(key.created_at), _age(key, now), _ending(key, now), key.note)
            for key in keys
        ]
        print_table(("key", "holder", "role", "made", "age", "ends", "note"), rows)
    else:
        print_fields([("keys", "none")], indent=0)


@certificate_app.command("revoke")
def revoke_certificate(
    ctx: typer.Context,
    *,
    certificate: Annotated[
        str,
        typer.Argument(
            metavar="SERIAL",
            help="The serial number in hexadecimal digits, or the SHA-256 of the public key, for all of its certificates.",
        ),
    ],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, in your words.")] = "",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Refuse a caller's certificate for good; gateways do with the next snapshot, on connections that stand as well."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        mark = wiring.api_keys(registry).revoke_certificate(certificate, note, actor=wiring.actor())
    if as_json:
        print_json({"certificate": mark, "revoked": True})
    else:
        print_line(f"revoked {mark}")


@certificate_app.command("list")
def list_certificates(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """List the certificates that are refused. Those that are good the policy names, partner by partner."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        revoked = wiring.api_keys(registry).revoked_certificates()
    if as_json:
        print_json([{"certificate": each.mark, "note": each.note, "revoked_at": each.revoked_at} for each in revoked])
    elif revoked:
        rows = [(each.mark, time_text(each.revoked_at), each.note) for each in revoked]
        print_table(("certificate", "revoked", "note"), rows)
    else:
        print_fields([("revoked certificates", "none")], indent=0)


def _age(key: ApiKey, now: float) -> str:
    return f"{max(0, int((now - key.created_at) // 86_400))} d"


def _ending(key: ApiKey, now: float) -> str:
    """Say when a key ends, or how it has ended."""
    if key.revoked_at is not None:
        return f"revoked {time_text(key.revoked_at)}"
    if key.expires_at is None:
        return ""
    word = "" if now < key.expires_at else "ended "
    successor = f", then {key.successor}" if key.successor else ""
    return f"{word}{time_text(key.expires_at)}{successor}"


def _document(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "holder": key.holder,
        "role": key.role,
        "note": key.note,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
        "expires_at": key.expires_at,
        "successor": key.successor,
    }
