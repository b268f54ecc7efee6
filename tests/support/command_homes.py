"""A home as the commands find it, made of real parts: key files, registry, journal, replica."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.cli.app import execute
from portcullis.config import Settings
from portcullis.domain.editions import FORMAT, Edition
from portcullis.domain.policies import Policy
from portcullis.mains.keys import ensure_keys
from portcullis.mains.parts import open_journal
from portcullis.mains.wiring import ProcessWiring
from portcullis.ports import DecisionRecord, RecordedReason
from tests.support.policies import published_lists

COURT = """
[list]
name = "court"
title = "Judgment defaulters"
authority = "Demonstration Court"
legal_basis = "Demonstration Act, article 3"
purpose = "enforcement"
max_term = "2y"
max_age = "24h"
disclosure = "RESTRICTED"
redress_url = "https://court.demonstration.example/objections"
identifier_kinds = ["cn.resident-id", "passport"]

[[measure]]
name = "loans"
actions = ["loan.apply"]
effect = "RESTRICT"
on_stale = "ALLOW"
message = "A court has restricted you."
"""
ACTIONS = """
[[action]]
name = "loan.apply"
title = "Apply for a loan"
"""
LENDER = """
[partner]
name = "lender"
title = "Lender"

[[agreement]]
lists = ["court"]
actions = ["loan.apply"]
purposes = ["lending"]
valid_from = 2026-01-01
valid_until = 2036-01-01
"""


def portcullis(*arguments: str) -> int:
    """Run one command line in this process and give its exit code."""
    return execute(arguments, ProcessWiring())


def write_policy(directory: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Write a policy of one list, one action and one partner; ``changes`` replaces files by their path."""
    files = {"actions.toml": ACTIONS, "lists/court.toml": COURT, "partners/lender.toml": LENDER, **(changes or {})}
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return directory


def make_home(home: Path) -> Path:
    """Make a private home with key files."""
    home.mkdir(mode=0o700)
    ensure_keys(home / "keys")
    return home


def install_snapshot(
    home: Path,
    *,
    version: int,
    policy: Policy | None = None,
    published_at: float | None = None,
    stalled_at: float | None = None,
) -> None:
    """Put an empty snapshot into the home's replica, its lists stalled since then or not at all."""
    clock = SystemClock()
    edition = Edition(
        format=FORMAT,
        version=version,
        published_at=clock.now() if published_at is None else published_at,
        registry_seq=1,
        policy=policy or Policy(),
        lists=tuple(
            msgspec.structs.replace(each, stalled_at=stalled_at) for each in published_lists(policy or Policy(), version)
        ),
        credentials=(),
    )
    with closing(LmdbReplicaWriter(home / "replica", clock)) as writer:
        writer.install(edition, [])
        writer.vouch(version, 0.0)


def record_decision(home: Path, decision_id: str) -> None:
    """Put one refusal into the home's journal."""
    record = DecisionRecord(
        decision_id=decision_id,
        decided_at=1_780_000_000.0,
        partner="lender",
        action="loan.apply",
        purpose="lending",
        outcome="RESTRICT",
        shadow_outcome="",
        degraded=False,
        dry_run=False,
        snapshot_version=7,
        registry_seq=1,
        stale=(),
        partner_reference="order-1",
        tokens=("ab" * 16,),
        attributes={"amount": 5},
        reasons=(
            RecordedReason(
                list="court",
                measure="loans",
                effect="RESTRICT",
                authority="Demonstration Court",
                legal_basis="Demonstration Act, article 3",
                case_reference="case 1",
                entry_id=1,
                until=1_800_000_000,
                weak=False,
                shadow=False,
            ),
        ),
    )
    with open_journal(Settings(home=home)) as journal:
        journal.record_decisions([record])
