"""``portcullis doctor``: examine this host's stack and say what to mend."""

from __future__ import annotations

import typer

from portcullis.cli import options
from portcullis.cli.faults import FAILED
from portcullis.cli.output import print_json, print_line
from portcullis.cli.wiring import wiring_of

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Look at the stack, part by part, and say what to mend; exit 1 if something fails."""
    from portcullis.cli.examinations import EXAMINATIONS  # noqa: PLC0415 - would slow `--help` down
    from portcullis.cli.findings import Finding, State  # noqa: PLC0415 - likewise

    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home)
    findings: list[Finding] = []
    for examination in EXAMINATIONS:
        for finding in examination(wiring, settings):
            findings.append(finding)
            if not as_json:
                print_line((f"{finding.state:4}", _STYLES[finding.state]), f"  {finding.name}: {finding.what}")
                if finding.mend:
                    print_line(f"      {finding.mend}")
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(FAILED)
