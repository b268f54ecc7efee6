"""``portcullis snapshot``: what this host serves from, how it came about, what changed, and whether it can be proven."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.faults import FAILED
from portcullis.cli.output import print_error, print_fields, print_json, print_line, print_table, time_text
from portcullis.cli.progress import count_bar
from portcullis.cli.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    from portcullis.cli.contrasts import Contrast
    from portcullis.cli.histories import History
    from portcullis.cli.proving import Finding
    from portcullis.config import Settings
    from portcullis.domain.editions import Edition, ListEdition
    from portcullis.domain.history import ListChange, Version
    from portcullis.ports import ReadTransaction, Replica

app = typer.Typer(help="The snapshots that gateways answer from.", no_args_is_help=True, rich_markup_mode=None)

_DIGITS_SHOWN = 12
_ENTRIES_SHOWN = 10

_Limit = Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, help="How many versions, from the newest back.")]
_Earlier = Annotated[int, typer.Argument(metavar="A", help="The earlier version.", show_default=False)]
_Later = Annotated[int, typer.Argument(metavar="B", help="The later version.", show_default=False)]


@app.command("show")
def show(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Show what the replica of this host holds: version, age, lists."""
    wiring = wiring_of(ctx)
    with wiring.replica(wiring.settings(home=home)) as replica:
        edition, age_s = _held(replica)
    if as_json:
        print_json(_edition_document(edition, age_s, wiring.clock.now()))
    else:
        _show_edition(edition, age_s, wiring.clock.now())


@app.command("log")
def log(ctx: typer.Context, *, limit: _Limit = 20, home: options.Home = None, as_json: options.Json = False) -> None:
    """Show the newest versions, and what changed in each.

    On the publisher's host from what it noted; elsewhere from the store, for the versions that it still has files of. A
    version without a list is for the head (partners, keys), or is the same signed anew.
    """
    wiring = wiring_of(ctx)
    # One more than is shown: the version before says why the last one is.
    history = _history(wiring, wiring.settings(home=home), limit + 1)
    if as_json:
        print_json([_version_document(version) for version in history.versions[:limit]])
    else:
        _show_history(history.versions, limit)
    if history.unreadable:
        print_error(f"{history.unreadable} lines of the publisher's log can't be read; they were left out")


@app.command("diff")
def diff(
    ctx: typer.Context, *, earlier: _Earlier, later: _Later, home: options.Home = None, as_json: options.Json = False
) -> None:
    """Count what changed in each list from version A to version B, and name the entries by their ids.

    Lists without a change are left out, and no more than ten entries are named; --json has them all.
    Exit 1 where a list of A or B can't be known any more from what the store holds.
    """
    if earlier > later:
        raise typer.BadParameter("the earlier version comes first", param_hint="A B")
    from portcullis.cli.contrasts import contrasts  # noqa: PLC0415 - would slow every other command down

    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    with wiring.store(settings) as store, wiring.trusted(settings, store) as trusted:
        found = contrasts(trusted, earlier, later)
    if as_json:
        print_json({"from": str(earlier), "to": str(later), "lists": [_contrast_document(each) for each in found]})
    else:
        _show_contrasts(found)
    unknown = [each for each in found if each.difference is None]
    _show_unknown(found)
    if unknown:
        raise typer.Exit(FAILED)


@app.command("verify")
def verify(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Prove everything in the store, beginning at the trusted root, and this host's replica; exit 1 if something is wrong.

    Every file is fetched, and every digest computed anew.
    """
    from portcullis.cli.proving import HeldReplica, prove  # noqa: PLC0415 - would slow every other command down

    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    findings: list[Finding] = []
    with (
        wiring.store(settings) as store,
        wiring.trusted(settings, store) as trusted,
        _reading(wiring, settings) as transaction,
        count_bar() as progress,
    ):
        replica = HeldReplica(transaction.edition, transaction.records()) if transaction else None
        for finding in prove(trusted, replica, progress):
            findings.append(finding)
            if not as_json:
                _show_finding(finding)
        store_root, followed_root = trusted.root_version(), wiring.followed_root(settings)
    if as_json:
        print_json(
            {
                "store_root": store_root,
                "followed_root": followed_root,
                "findings": [finding._asdict() for finding in findings],
            }
        )
    else:
        if replica is None:
            print_line("      there is no replica on this host to prove")
        if followed_root is not None:
            print_line(f"      the follower of this host trusts root {followed_root}")
    if any(finding.refusal for finding in findings):
        raise typer.Exit(FAILED)


def _held(replica: Replica) -> tuple[Edition, float]:
    transaction = replica.begin()
    if transaction is None:
        from portcullis.domain.errors import NoSnapshot  # noqa: PLC0415 - the replica has brought it already

        raise NoSnapshot
    edition = transaction.edition
    transaction.close()
    return edition, replica.vouched_age_s()


def _show_edition(edition: Edition, age_s: float, now: float) -> None:
    credentials = sum(credential.role == "partner" for credential in edition.credentials)
    print_fields(
        (
            ("snapshot", str(edition.version)),
            ("published", time_text(edition.published_at)),
            ("vouched for", f"{_duration(age_s)} ago" if math.isfinite(age_s) else "never"),
            ("records", f"{edition.records:,}"),
            ("partners", f"{len(edition.policy.partners)} with {credentials} keys"),
        ),
        indent=0,
    )
    print_line()
    print_table(
        ("list", "number", "version", "records", "age", "digest", ""),
        [
            (
                each.name,
                str(each.number),
                str(each.version),
                f"{each.records:,}",
                _duration(list_age_s),
                each.digest[:_DIGITS_SHOWN],
                _remark(each, stale=list_age_s > definition.max_age_s),
            )
            for each, definition in zip(edition.lists, edition.policy.lists, strict=True)
            for list_age_s in (each.age_s(now, age_s),)
        ],
    )


def _remark(each: ListEdition, *, stale: bool) -> str:
    stalled = f"stalled since {time_text(each.stalled_at)}" if each.stalled_at is not None else ""
    return ", ".join(word for word in ("past its greatest age" if stale else "", stalled) if word)


def _edition_document(edition: Edition, age_s: float, now: float) -> dict[str, object]:
    return {
        "version": str(edition.version),
        "format": edition.format,
        "published_at": edition.published_at,
        "vouched_age_s": _finite(age_s),
        "registry_seq": edition.registry_seq,
        "records": edition.records,
        "partners": [each.name for each in edition.policy.partners],
        "lists": [
            {
                "name": each.name,
                "number": each.number,
                "version": str(each.version),
                "records": each.records,
                "age_s": _finite(each.age_s(now, age_s)),
                "max_age_s": definition.max_age_s,
                "stalled_at": each.stalled_at,
                "digest": each.digest,
                "authority": definition.authority,
                "disclosure": definition.disclosure,
                "measures": [measure.name for measure in definition.measures],
            }
            for each, definition in zip(edition.lists, edition.policy.lists, strict=True)
        ],
    }


def _finite(seconds: float) -> float | None:
    return round(seconds, 3) if math.isfinite(seconds) else None


def _duration(seconds: float) -> str:
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}" if math.isfinite(seconds) else "unknown"
    return f"{seconds:.1f} s"


def _history(wiring: Wiring, settings: Settings, limit: int) -> History:
    from portcullis.cli.histories import PUBLISHER_LOGS, noted, told  # noqa: PLC0415 - would slow every other command down
    from portcullis.cli.published import read_published  # noqa: PLC0415 - likewise

    logs = [settings.home.absolute() / log for log in PUBLISHER_LOGS]
    if logs[0].exists():
        return noted(logs, limit)
    with wiring.store(settings) as store, wiring.trusted(settings, store) as trusted:
        return told(read_published(trusted), limit)


def _version_document(version: Version) -> dict[str, object]:
    import msgspec  # noqa: PLC0415 - the history has brought it already

    # A reader of the document is told everything; only the publisher's file leaves out what says nothing.
    lists = [msgspec.structs.asdict(change) for change in version.lists]
    return {**msgspec.structs.asdict(version), "version": str(version.version), "lists": lists}


def _show_history(versions: Sequence[Version], limit: int) -> None:
    from portcullis.cli.histories import why_unlisted  # noqa: PLC0415 - it has been brought already

    print_table(
        ("version", "published", "list", "kind", "changes", "records", "bytes"),
        [
            (str(version.version), time_text(version.published_at), *cells)
            for version, before in zip(versions[:limit], [*versions[1:], None], strict=False)
            for cells in [_change_cells(change) for change in version.lists]
            or [("", why_unlisted(version, before), "", "", "")]
        ],
    )


def _change_cells(change: ListChange) -> tuple[str, str, str, str, str]:
    remarks = (f"{change.folded} folded" if change.folded else "", "compacted" if change.compacted else "")
    kind = ", ".join(word for word in (change.kind, *remarks) if word)
    records = "" if change.records is None else f"{change.records:,}"
    return change.list, kind, _unless_0(change.changes), records, _unless_0(change.bytes)


def _unless_0(number: int) -> str:
    return f"{number:,}" if number else ""


def _show_contrasts(found: Sequence[Contrast]) -> None:
    from portcullis.domain.differences import Difference  # noqa: PLC0415 - comparing has brought it already

    differences = [(each.name, each.difference) for each in found if each.difference is not None]
    changed = [(name, difference) for name, difference in differences if difference != Difference()]
    if not changed:
        if differences:
            print_line("no change" if len(differences) == len(found) else "no change in the other lists")
        return
    print_table(
        (
            *("list", "tokens added", "tokens removed", "tokens changed"),
            *("entries gained", "entries lost", "entries changed"),
        ),
        [
            (
                name,
                *(f"{count:,}" for count in (difference.added, difference.removed, difference.changed)),
                *(
                    _ids(entries)
                    for entries in (difference.entries_gained, difference.entries_lost, difference.entries_changed)
                ),
            )
            for name, difference in changed
        ],
    )


def _show_unknown(found: Sequence[Contrast]) -> None:
    """Say what can't be compared, once for all lists of which the same is to be said."""
    alike: dict[tuple[int, str], list[str]] = {}
    for each in found:
        if each.unknown is not None:
            alike.setdefault((each.unknown, _ranges(each.known)), []).append(each.name)
    for (version, known), names in alike.items():
        which = "every list" if len(names) == len(found) > 1 else ", ".join(names)
        print_error(f"{which}: not known in {version}; versions that can be compared: {known}")


def _ids(entries: set[int]) -> str:
    ordered = sorted(entries)
    hidden = len(ordered) - _ENTRIES_SHOWN
    text = " ".join(map(str, ordered[:_ENTRIES_SHOWN])) or "-"
    return f"{text} and {hidden:,} more" if hidden > 0 else text


def _contrast_document(each: Contrast) -> dict[str, object]:
    difference = each.difference
    known = [{"first": str(first), "last": str(last)} for first, last in each.known]
    if difference is None:
        return {"name": each.name, "unknown": str(each.unknown), "comparable": known}
    return {
        "name": each.name,
        "tokens": {"added": difference.added, "removed": difference.removed, "changed": difference.changed},
        "entries": {
            "gained": sorted(difference.entries_gained),
            "lost": sorted(difference.entries_lost),
            "changed": sorted(difference.entries_changed),
        },
        "comparable": known,
    }


def _ranges(known: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{first} to {last}" if first < last else str(first) for first, last in known)


@contextmanager
def _reading(wiring: Wiring, settings: Settings) -> Iterator[ReadTransaction | None]:
    """Open this host's replica; None where there is none."""
    from portcullis.domain.errors import SetupFault  # noqa: PLC0415 - would slow `--help` down

    with ExitStack() as opened:
        try:
            replica = opened.enter_context(wiring.replica(settings))
        except SetupFault:
            yield None
            return
        transaction = replica.begin()
        if transaction is not None:
            opened.callback(transaction.close)
        yield transaction


def _show_finding(finding: Finding) -> None:
    if finding.refusal:
        print_line(("fail", "bold red"), f"  {finding.name}: {finding.what} ({finding.refusal})")
    else:
        print_line(("ok  ", "green"), f"  {finding.name}: {finding.what}")
