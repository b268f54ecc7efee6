"""How an answer is shown to a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.cli.output import colour_of, print_fields, print_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portcullis.client import CallerAnswer, Decision, Notice, Reason, Snapshot


def show_decision(decision: Decision, action: str, took_ms: float, *, dry_run: bool) -> None:
    """Show a decision: what to do, why, from which snapshot, and how long it took."""
    print_line(colour_of(decision.outcome), f"  {action}", ("  (dry run: don't act on it)" if dry_run else "", "dim"))
    _show_reasons(decision.reasons)
    if decision.degraded:
        print_line(("a list is out of date; its declared fail mode applied", "yellow"))
    if decision.shadow_outcome:
        print_line("in shadow: ", colour_of(decision.shadow_outcome))
    _show_origin(decision.snapshot, decision.decision_id, took_ms)


def show_caller(answer: CallerAnswer, took_ms: float) -> None:
    """Show what may be shown of a caller."""
    if answer.found:
        print_line((answer.label, "bold cyan"))
    else:
        print_line("nothing may be shown of this caller")
    if answer.degraded:
        print_line(("a list is out of date, so a label may be missing", "yellow"))
    _show_reasons(answer.reasons)
    _show_origin(answer.snapshot, answer.decision_id, took_ms)


def _show_reasons(reasons: Iterable[Reason]) -> None:
    for reason in reasons:
        print_line()
        print_line("  ", colour_of(reason.effect), f"  {reason.list} / {reason.measure}")
        print_fields(
            (
                ("why", reason.message),
                ("authority", reason.authority),
                ("law", reason.legal_basis),
                ("case", reason.case_reference),
                ("until", reason.until.strftime("%Y-%m-%d %H:%M:%S UTC") if reason.until else ""),
                ("object at", reason.redress_url),
            ),
            indent=4,
        )
        if reason.notice:
            _show_notice(reason.notice)


def _show_notice(notice: Notice) -> None:
    print_line()
    print_line("    ", (f"to be told to the customer ({notice.locale}):", "dim"))
    for line in notice.text.splitlines():
        print_line("      " if line else "", line)


def _show_origin(snapshot: Snapshot, decision_id: str, took_ms: float) -> None:
    published = f", published {snapshot.published_at:%Y-%m-%d %H:%M:%S} UTC" if snapshot.published_at else ""
    print_line()
    print_fields(
        (
            ("snapshot", f"{snapshot.version}{published}, vouched for {snapshot.age_s:.1f} s ago"),
            ("decision", decision_id),
            ("took", f"{took_ms:.1f} ms, connecting included"),
        ),
        indent=0,
    )
