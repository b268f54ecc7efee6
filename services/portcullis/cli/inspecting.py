"""``portcullis decision``, ``snapshot`` and ``version``: look at what is there."""

from __future__ import annotations

import math
import platform
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import colour_of, print_fields, print_json, print_line, print_table, time_text
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.domain.editions import Edition
    from portcullis.ports import DecisionRecord

decision_app = typer.Typer(help="Recorded decisions.", no_args_is_help=True, rich_markup_mode=None)
snapshot_app = typer.Typer(help="The snapshot that this host serves from.", no_args_is_help=True, rich_markup_mode=None)


@decision_app.command("show")
def show_decision(
    ctx: typer.Context,
    *,
    decision_id: Annotated[str, typer.Argument(metavar="ID", help="The decision's id, as the answer gave it.")],
    purpose: Annotated[
        str,
        typer.Option("--purpose", metavar="TEXT", help="Why you look; it is written to the log of looks with your name."),
    ] = "operator inquiry",
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Show the record of a decision. The look itself is recorded: who, when and why."""
    wiring = wiring_of(ctx)
    with wiring.journal(wiring.settings(home=home)) as journal:
        record = journal.get(decision_id, actor=wiring.actor(), purpose=purpose)
    if as_json:
        import msgspec  # noqa: PLC0415 - the record has brought it already

        # Even the pseudonyms of a person's documents stay in the journal.
        print_json({name: value for name, value in msgspec.to_builtins(record).items() if name != "tokens"})
    else:
        _show_record(record)


@snapshot_app.command("show")
def show_snapshot(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Show what the replica of this host holds: version, age, lists."""
    wiring = wiring_of(ctx)
    with wiring.replica(wiring.settings(home=home)) as replica:
        transaction = replica.begin()
        if transaction is None:
            from portcullis.domain.errors import NoSnapshot  # noqa: PLC0415 - the replica has brought it already

            raise NoSnapshot
        edition, age_s = transaction.edition, replica.vouched_age_s()
        transaction.close()
    if as_json:
        print_json(_snapshot_document(edition, age_s))
    else:
        _show_edition(edition, age_s)


def version(*, as_json: options.Json = False) -> None:
    """Print the release."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - would slow every other command down

    release, python = version_of("portcullis"), platform.python_version()
    if as_json:
        print_json({"portcullis": release, "python": python})
    else:
        typer.echo(f"portcullis {release} (Python {python})")


def _show_record(record: DecisionRecord) -> None:
    print_line(colour_of(record.outcome), f"  {record.action}")
    print_fields(
        (
            ("decision", record.decision_id),
            ("decided", time_text(record.decided_at)),
            ("partner", record.partner),
            ("purpose", record.purpose),
            ("reference", record.partner_reference),
            ("attributes", ", ".join(f"{name}={value}" for name, value in record.attributes.items())),
            ("snapshot", str(record.snapshot_version)),
            ("in shadow", record.shadow_outcome),
            ("degraded", "a list was out of date" if record.degraded else ""),
            ("dry run", "nothing was refused" if record.dry_run else ""),
        )
    )
    for reason in record.reasons:
        print_line()
        marks = "".join(f"  ({word})" for word, on in (("weak match", reason.weak), ("shadow", reason.shadow)) if on)
        print_line("  ", colour_of(reason.effect), f"  {reason.list} / {reason.measure}{marks}")
        print_fields(
            (
                ("authority", reason.authority),
                ("law", reason.legal_basis),
                ("case", reason.case_reference),
                ("until", time_text(reason.until)),
            ),
            indent=4,
        )


def _show_edition(edition: Edition, age_s: float) -> None:
    credentials = sum(credential.role == "partner" for credential in edition.credentials)
    print_fields(
        (
            ("snapshot", str(edition.version)),
            ("published", time_text(edition.published_at)),
            ("vouched for", f"{age_s:.1f} s ago" if math.isfinite(age_s) else "never"),
            ("index keys", f"{edition.records:,}"),
            ("partners", f"{len(edition.policy.partners)} with {credentials} keys"),
        ),
        indent=0,
    )
    print_line()
    print_table(
        ("list", "authority", "disclosure", "measures"),
        [(each.name, each.authority, each.disclosure, str(len(each.measures))) for each in edition.policy.lists],
    )


def _snapshot_document(edition: Edition, age_s: float) -> dict[str, object]:
    return {
        "version": str(edition.version),
        "format": edition.format,
        "published_at": edition.published_at,
        "vouched_age_s": round(age_s, 3) if math.isfinite(age_s) else None,
        "registry_seq": edition.registry_seq,
        "records": edition.records,
        "partners": [each.name for each in edition.policy.partners],
        "lists": [
            {
                "name": each.name,
                "authority": each.authority,
                "disclosure": each.disclosure,
                "measures": [measure.name for measure in each.measures],
            }
            for each in edition.policy.lists
        ],
    }
