"""``portcullis journal``: verify the record of decisions and events, keep checkpoints, erase a person, restore a backup."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import asking, options
from portcullis.cli.faults import FAILED
from portcullis.cli.output import print_error, print_fields, print_json, print_line, time_text
from portcullis.cli.progress import count_bar
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.domain.checkpoints import VerifierKey
    from portcullis.domain.log_findings import LogFinding, Verified
    from portcullis.ports.timelines import Timeline

app = typer.Typer(help="The tamper-evident record of decisions and events.", no_args_is_help=True, rich_markup_mode=None)


@app.command("verify")
def verify(
    ctx: typer.Context,
    *,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="A checkpoint that was kept elsewhere, as `journal checkpoint` printed it; '-' reads it from stdin.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="VKEY",
            help="The verifier key, as `journal key` printed it; without it, the key of this home.",
            show_default=False,
        ),
    ] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Read the whole journal and prove that nothing was changed, removed, reordered or cut off; exit 1 if something was.

    Give a checkpoint that was kept elsewhere: whoever can change the database and the key's folder is found out by that
    alone.
    """
    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    verifier, given = _verifier(key) if key else None, _note(checkpoint)
    findings: list[LogFinding] = []

    def found(finding: LogFinding) -> None:
        findings.append(finding)
        if not as_json:
            _show_finding(finding)

    with count_bar() as progress:
        outcome = wiring.verify_journal(settings, given=given, key=verifier, found=found, progress=progress)
    if as_json:
        print_json(_outcome_document(outcome, findings))
    else:
        _show_outcome(outcome, elsewhere=given is not None)
    if findings:
        raise typer.Exit(FAILED)


@app.command("checkpoint")
def checkpoint(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Print the newest checkpoint. Keep it where nobody who can change the journal can change it, too."""
    wiring = wiring_of(ctx)
    with wiring.journal(wiring.settings(home=home)) as journal:
        newest = journal.checkpoint()
    if newest is None:
        print_error("no checkpoint is signed yet; `portcullis serve exchange` signs one as soon as there is an entry")
        raise typer.Exit(FAILED)
    if as_json:
        print_json({"size": str(newest.size), "root": newest.root.hex(), "note": newest.note})
    else:
        typer.echo(newest.note, nl=False)


@app.command("key")
def key(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Print the verifier key of the journal's checkpoints; give it to those who keep them."""
    wiring = wiring_of(ctx)
    verifier = wiring.journal_key(wiring.settings(home=home))
    if as_json:
        print_json({"key": str(verifier)})
    else:
        typer.echo(str(verifier))


@app.command("erase")
def erase(
    ctx: typer.Context,
    *,
    ids: Annotated[
        list[str],
        typer.Option(
            "--id",
            metavar="KIND:[COUNTRY:]VALUE",
            help="An identifier of the person, as for `check`; '--id -' reads them from stdin, one a line.",
        ),
    ],
    purpose: Annotated[
        str, typer.Option("--purpose", metavar="TEXT", help="Why; it is written to the journal with your name.")
    ],
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Erase a person: destroy the keys that their entries are sealed under. Nobody can undo this.

    The journal still verifies. What was asked about with a country and without is under different keys: give both forms
    where both were used. What partners reported by the case of the person's entries, or by their names for them, goes too,
    whether an entry still stands or not: entries are found in the registry, by identifiers with their country. What was
    reported of a case that another person's entry has as well stays.
    """
    identifiers = asking.identifiers(ids)
    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    tokens = dict.fromkeys(
        token for each in identifiers for token in wiring.probe_tokens(settings, each.kind, each.value, each.country)
    )
    reported = wiring.reported_names(settings, identifiers)
    with wiring.journal(settings) as journal:
        erasure = journal.erase(tuple(tokens), actor=wiring.actor(), purpose=purpose, reported=reported)
    if as_json:
        print_json({"keys": erasure.keys, "left": erasure.left})
        return
    print_line("1 key was destroyed" if erasure.keys == 1 else f"{erasure.keys} keys were destroyed")
    if not erasure.keys and not erasure.left:
        print_line(
            "the journal holds no record under these identifiers, or it is erased already; see --help about countries"
        )
    if erasure.left:
        decisions = "1 decision" if erasure.left == 1 else f"{erasure.left:,} decisions"
        print_line(f"{decisions} with another identifier first named this one too; erase by that identifier as well")


@app.command("restored")
def restored(
    ctx: typer.Context,
    *,
    purpose: Annotated[
        str,
        typer.Option(
            "--purpose", metavar="TEXT", help="Which backup, and why; it is written to the journal with your name."
        ),
    ],
    from_oldest: Annotated[
        bool,
        typer.Option(
            "--from-oldest",
            help="Have streams deliver again all that is kept: for when an exchange has worked on the restored database.",
        ),
    ] = False,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Say that a backup of the journal was restored, before anything works on it.

    Partners' cursors of before are refused, and told where to start; streams deliver again what follows their places in the
    backup. The runbook has the other steps: docs/runbooks/operate.md, "Restore the journal".
    """
    wiring = wiring_of(ctx)
    begun = wiring.begin_timeline(wiring.settings(home=home), purpose=purpose, from_oldest=from_oldest)
    if as_json:
        print_json(_timeline_document(begun))
    else:
        _show_timeline(begun, from_oldest=from_oldest)


def _verifier(text: str) -> VerifierKey:
    """Read the key of ``--key``.

    Raises:
        typer.BadParameter: it is none.
    """
    from portcullis.domain.checkpoints import CheckpointInvalid, read_key  # noqa: PLC0415 - would slow other commands down

    try:
        return read_key(text)
    except CheckpointInvalid as fault:
        raise typer.BadParameter(fault.message, param_hint="--key") from None


def _note(place: str | None) -> str | None:
    """Read the note of ``--checkpoint``; a carriage return in it stays, to be refused."""
    if place is None:
        return None
    data = sys.stdin.buffer.read() if place == "-" else Path(place).read_bytes()
    return data.decode("utf-8", "surrogateescape")


def _show_finding(finding: LogFinding) -> None:
    where = "" if finding.sequence is None else f"entry {finding.sequence}: "
    print_line(("fail", "bold red"), f"  {where}{finding.what} ({finding.fault.value})")


def _show_outcome(outcome: Verified, *, elsewhere: bool) -> None:
    proven = [f"{each.size:,} entries ({each.place.value})" for each in outcome.proven]
    print_fields(
        (
            ("log", outcome.origin),
            ("entries", f"{outcome.size:,}"),
            ("root", outcome.root.hex() if outcome.root and outcome.size else ""),
            ("signed", ", ".join(proven) or "nothing that this log agrees with"),
            (
                "unsigned",
                f"the last {outcome.unsigned:,}; had they been exchanged, it would not show" if outcome.unsigned else "",
            ),
        ),
        indent=0,
    )
    if not elsewhere:
        print_line("without --checkpoint, a journal that was exchanged together with its key's folder looks the same")
    if not outcome.findings:
        print_line(("ok", "green"))


def _outcome_document(outcome: Verified, findings: Sequence[LogFinding]) -> dict[str, object]:
    return {
        "origin": outcome.origin,
        "size": str(outcome.size),
        "root": outcome.root.hex() if outcome.root else None,
        "checkpoints": [{"place": each.place.value, "size": str(each.size)} for each in outcome.proven],
        "unsigned": str(outcome.unsigned),
        "findings": [
            {
                "fault": each.fault.value,
                "sequence": None if each.sequence is None else str(each.sequence),
                "what": each.what,
            }
            for each in findings
        ],
    }


def _show_timeline(begun: Timeline, *, from_oldest: bool) -> None:
    print_fields(
        (
            ("log", f"{begun.log}, {begun.entries:,} entries"),
            ("feed", f"{begun.feed}, fed until {time_text(begun.fed_until) or 'never'}"),
            ("streams", f"{len(begun.carried_over):,} go on, and deliver again what follows their places"),
            ("left", ", ".join(each.stream_id for each in begun.left)),
        ),
        indent=0,
    )
    if begun.left:
        print_line("those left have a place in another log still; `portcullis stream show ID` says what to do")
    if not from_oldest:
        print_line(
            "if the feed was fed after the backup was made, an exchange has worked on it: then again, with --from-oldest"
        )


def _timeline_document(begun: Timeline) -> dict[str, object]:
    return {
        "timeline": begun.timeline,
        "log": begun.log,
        "entries": str(begun.entries),
        "feed": begun.feed,
        "fed_until": begun.fed_until,
        "streams": [
            {"stream_id": each.stream_id, "side": each.side.value, "position": each.place.position}
            for each in begun.carried_over
        ],
        "left": [each.stream_id for each in begun.left],
    }
