"""``portcullis policy``: check a policy directory, put it in force, show what is in force."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portcullis.cli import options
from portcullis.cli.faults import FAILED
from portcullis.cli.output import colour_of, print_json, print_line, print_table
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.domain.errors import PolicyProblem
    from portcullis.domain.policies import Policy

app = typer.Typer(help="Lists, measures and agreements, as files.", no_args_is_help=True, rich_markup_mode=None)

_Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The policy directory.")]


@app.command("check")
def check_policy(ctx: typer.Context, *, directory: _Directory, as_json: options.Json = False) -> None:
    """Say what is wrong with a policy, and what to write instead.

    Each problem is one line: where, what, instead. Exit 1 if the policy would not load.
    """
    policy, problems = wiring_of(ctx).read_policy(directory)
    if as_json:
        print_json({"loads": policy is not None, "problems": [_problem(each) for each in problems]})
    else:
        _show_problems(problems)
        print_line(_summary(policy) if policy else ("the policy does not load", "bold red"))
    if policy is None:
        raise typer.Exit(FAILED)


@app.command("apply")
def apply_policy(
    ctx: typer.Context, *, directory: _Directory, home: options.Home = None, as_json: options.Json = False
) -> None:
    """Check a policy and put it in force in the registry.

    Gateways have it with the next snapshot. Exit 1, with nothing changed, if it does not load.
    """
    wiring = wiring_of(ctx)
    policy, problems = wiring.read_policy(directory)
    if not as_json:
        _show_problems(problems)
    changed = False
    if policy is not None:
        with wiring.registry(wiring.settings(home=home)) as registry:
            changed = registry.apply_policy(policy, actor=wiring.actor())
    if as_json:
        applied = {"loads": policy is not None, "changed": changed}
        print_json({**applied, "problems": [_problem(each) for each in problems]})
    elif policy is not None:
        print_line(f"{_summary(policy)}; {'in force now' if changed else 'in force already'}")
    if policy is None:
        raise typer.Exit(FAILED)


@app.command("show")
def show_policy(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Show the policy in force in the registry."""
    wiring = wiring_of(ctx)
    with wiring.registry(wiring.settings(home=home)) as registry:
        policy = registry.policy()
    if as_json:
        import msgspec  # noqa: PLC0415 - the policy has brought it already

        print_json(msgspec.to_builtins(policy))
        return
    print_line(_summary(policy))
    for each in policy.lists:
        print_line()
        print_line((each.name, "bold"), f"  {each.authority}  {each.disclosure}{'  (shadow)' if each.shadow else ''}")
        for measure in each.measures:
            shadow = "  (shadow)" if measure.shadow else ""
            when = f"  when {' '.join(measure.when.split())}" if measure.when else ""
            print_line("  ", colour_of(measure.effect), f"  {measure.name}: {', '.join(measure.actions)}{when}{shadow}")
    if policy.partners:
        print_line()
        print_table(
            ("partner", "purposes", "lists", "checks a second", "subjects a day"),
            [
                (
                    partner.name,
                    ", ".join(dict.fromkeys(purpose for each in partner.agreements for purpose in each.purposes)),
                    ", ".join(dict.fromkeys(name for each in partner.agreements for name in each.lists)),
                    _most(partner.quota.checks_per_s),
                    _most(partner.quota.subjects_per_day),
                )
                for partner in policy.partners
            ],
        )


def _most(quota: int) -> str:
    return f"{quota:,}" if quota else "not limited"


def _show_problems(problems: Sequence[PolicyProblem]) -> None:
    for each in problems:
        kind = ("warning: ", "yellow") if each.warning else ("error: ", "red")
        print_line(kind, f"{each.where}: {each.what}; {each.instead}")


def _problem(problem: PolicyProblem) -> dict[str, object]:
    return {
        "where": problem.where,
        "what": problem.what,
        "instead": problem.instead,
        "warning": problem.warning,
    }


def _summary(policy: Policy) -> str:
    measures = sum(len(each.measures) for each in policy.lists)
    return (
        f"{len(policy.lists)} lists with {measures} measures, {len(policy.actions)} actions, {len(policy.partners)} partners"
    )
