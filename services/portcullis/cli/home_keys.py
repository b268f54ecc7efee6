"""``portcullis keys``: every key of a home with its age, and how one token key takes another's place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import print_error, print_fields, print_json, print_table
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.cli.wiring import Wiring
    from portcullis.config import Settings
    from portcullis.ports.home_keys import HomeKey, HomeKeys

TOKEN = "token"  # noqa: S105 - a word of the command line
FEED = "feed"
SEAL = "seal"

NOT_ROTATED = {
    "entry": "is not rotated: nothing that is made with it leaves the registry",
    "record": "can't be rotated yet: the handles that decisions are found by are made with it",
    "journal": "can't be rotated yet: verifiers elsewhere know it",
    "set": "is rotated by `portcullis stream rotate-key`",
}
"""What to say of the keys that `keys rotate` does not rotate."""

Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, in your words; the registry's log keeps it.")]


def report_keys(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """List every key of this home: what for, how old, in use or not. No key is ever printed."""
    wiring = wiring_of(ctx)
    found = wiring.home_keys(wiring.settings(home=home)).report()
    now = wiring.clock.now()
    if as_json:
        print_json({"keys": [key_document(each, now) for each in found]})
        return
    print_table(("key", "epoch", "state", "age", "may get", "fingerprint", "what for"), [_row(each, now) for each in found])
    for each in found:
        _warn(each, now)


def switch_token_key(
    ctx: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="KEY", help="token or seal.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Ask no host whether it has the key; those without it stop following.")
    ] = False,
    why: Why = "",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Put the next token key, or the next seal key, in use. Checks go on meanwhile.

    A token key waits until every gateway's host has it, and entries come over to it by themselves. With a seal key all that
    is sealed is wrapped anew before the command ends; broken off, it goes on when it is called again.
    """
    _demand_epochs(name)
    _demand_reason(why, force=force)
    wiring = wiring_of(ctx)
    keys = wiring.home_keys(wiring.settings(home=home))
    if name == SEAL:
        _switch_seal_key(keys, as_json=as_json)
        return
    epoch = keys.switch_token_key(actor=wiring.actor(), why=why, force=force)
    if as_json:
        print_json({"name": TOKEN, "epoch": epoch, "state": "in use"})
        return
    print_fields([("in use", f"token key of epoch {epoch}")], indent=0)
    print_error("entries come over to it now; `portcullis keys` shows the former one as leaving until the last has")


def retire_token_key(
    ctx: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="KEY", help="token or seal.", show_default=False)],
    epoch: Annotated[int, typer.Argument(metavar="EPOCH", min=1, help="Which one.", show_default=False)],
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also where decisions are kept that are found by it alone; and ask no host whether it needs it."
        ),
    ] = False,
    why: Why = "",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Delete a token key that no entry stands under any more, or a seal key that nothing is wrapped under."""
    _demand_epochs(name)
    _demand_reason(why, force=force)
    wiring = wiring_of(ctx)
    keys = wiring.home_keys(wiring.settings(home=home))
    if name == SEAL:
        file = keys.retire_seal_key(epoch)
    else:
        file = keys.retire_token_key(epoch, actor=wiring.actor(), why=why, force=force)
    if as_json:
        print_json({"name": name, "epoch": epoch, "deleted": file})
        return
    print_fields([("deleted", file)], indent=0)
    print_error(f"delete {file.rsplit('/', 1)[-1]} on the other hosts and in every backup too")


def rotate_feed_key(wiring: Wiring, settings: Settings, partner: str, why: str, *, as_json: bool) -> None:
    """Give a partner another feed key."""
    if not partner:
        raise typer.BadParameter("is needed: each partner has a key of its own", param_hint="--partner")
    epoch = wiring.home_keys(settings).rotate_feed_key(partner, actor=wiring.actor(), why=why)
    if as_json:
        print_json({"name": f"{FEED}:{partner}", "epoch": epoch, "state": "in use"})
        return
    print_fields([("in use", f"feed key of {partner}, epoch {epoch}")], indent=0)
    print_error(
        f"with the next snapshot every entry has another name at {partner}, which must be told before. Where it reads its "
        "feed, its cursors expire and it reads anew; to its streams nothing is sent again, only the names change"
    )


def _switch_seal_key(keys: HomeKeys, *, as_json: bool) -> None:
    epoch, done = keys.switch_seal_key()
    if as_json:
        print_json({"name": SEAL, "epoch": epoch, "state": "in use", **done._asdict()})
        return
    print_fields([("in use", f"seal key of epoch {epoch}"), ("wrapped anew", f"{done.changed:,}")], indent=0)
    if done.unreadable:
        print_error(f"{done.unreadable:,} rows are wrapped under a key that is not here; restore it, then switch again")
    else:
        print_error("run it on the registry's other hosts too; then the former key can be retired")


def make_next_key(wiring: Wiring, settings: Settings, name: str, *, as_json: bool) -> None:
    """Make the next token key or seal key and show it."""
    keys = wiring.home_keys(settings)
    key = keys.make_token_key() if name == TOKEN else keys.make_seal_key()
    if as_json:
        print_json(key_document(key, wiring.clock.now()))
        return
    print_fields([("made", key.file), ("epoch", str(key.epoch)), ("fingerprint", key.fingerprint)], indent=0)
    hosts = "of a gateway, follower, registry, publisher and exchange" if name == TOKEN else "that opens the registry"
    print_error(
        f"it is not in use yet; copy it to the folder of the keys on every host {hosts}, and into the backup, then run "
        f"`portcullis keys switch {name}`"
    )


def key_document(key: HomeKey, now: float) -> dict[str, object]:
    """Give a key as JSON has it."""
    age = key.age_days(now)
    return {
        "name": key.name,
        "purpose": key.purpose,
        "state": key.state,
        "file": key.file,
        "epoch": key.epoch,
        "fingerprint": key.fingerprint,
        "made_at": key.made_at,
        "age_days": None if age is None else round(age, 1),
        "most_days": key.most_days,
        "overdue": key.is_overdue(now),
        "exposed": key.exposed,
        "note": key.note,
    }


def _row(key: HomeKey, now: float) -> tuple[str, ...]:
    age = key.age_days(now)
    told = f"{key.purpose}; {key.note}" if key.note else key.purpose
    return (
        key.name,
        str(key.epoch or ""),
        key.state,
        "" if age is None else f"{int(age)} d{' !' if key.is_overdue(now) else ''}",
        f"{key.most_days} d" if key.most_days else "",
        key.fingerprint,
        told,
    )


def _warn(key: HomeKey, now: float) -> None:
    if key.exposed:
        print_error(f"{key.file} can be read by others: chmod 600 {key.file}")
    if key.state in {"missing", "damaged"}:
        print_error(f"{key.file or key.name} is {key.state}; restore it, if this host needs it")
    if key.state == "unreadable":
        print_error(f"{key.file} can't be read; give it and its folder to this user, if this host needs it")
    if key.is_overdue(now):
        print_error(f"{key.name} is older than {key.most_days} days; see docs/how-to/keys.md")


def _demand_epochs(name: str) -> None:
    if name not in {TOKEN, SEAL}:
        raise typer.BadParameter("is token or seal: no other key is switched or retired this way", param_hint="KEY")


def _demand_reason(why: str, *, force: bool) -> None:
    if force and not why.strip():
        raise typer.BadParameter("is needed with --force", param_hint="--why")
