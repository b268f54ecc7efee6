"""The token key rotates in a running stack while partners ask, a desk works and a process dies: no answer is wrong."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.demo_policies import watched_policy
from tests.support.key_rotation import LIST, Books, Load, asked, is_shown, row, under_load, wanted_of
from tests.support.processes import wait_for
from tests.support.stack import RunningStack, portcullis, running_stack

CHECKS = int(os.environ.get("PORTCULLIS_CHECKS", "20000"))
CHECKOUTS = 1 if CHECKS <= 100_000 else 2
LISTED = 2_000
ROTATION_S = 120.0
KILLS = 5
NO_QUOTA = "[quota]\nchecks_per_s = 0\nsubjects_per_day = 0\n"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300 if CHECKS <= 100_000 else 7_200)]


def command(stack: RunningStack, *arguments: str | Path) -> Any:
    done = portcullis(*arguments, "--home", stack.home, "--json")
    assert 0 == done.returncode, f"{arguments[:2]}: {done.stderr}"
    return json.loads(done.stdout)


def token_states(stack: RunningStack) -> dict[int, str]:
    keys = command(stack, "keys")["keys"]
    return {each["epoch"]: each["state"] for each in keys if each["name"] == "token"}


def asked_of_registry(stack: RunningStack, question: str, epoch: int) -> Any:
    """Ask the database itself, which is faster than a command."""
    with closing(sqlite3.connect(stack.home / "registry.db")) as database:
        found = database.execute(question, (epoch,)).fetchone()
    return found[0] if found else None


def came_over(stack: RunningStack, epoch: int) -> int:
    return int(asked_of_registry(stack, "SELECT count(*) FROM entries WHERE token_epoch = ?", epoch))


def is_left_to_do(stack: RunningStack, epoch: int) -> bool:
    return bool(asked_of_registry(stack, "SELECT count(*) FROM entries WHERE token_epoch != ?", epoch))


def has_left(stack: RunningStack, epoch: int) -> bool:
    return bool(asked_of_registry(stack, "SELECT state FROM token_keys WHERE epoch = ?", epoch) == "left")


def switched(stack: RunningStack) -> bool:
    done = portcullis("keys", "switch", "token", "--home", stack.home, "--json")
    # The follower says within a second or two that it has the key.
    assert done.returncode == 0 or "is not on" in done.stderr, done.stderr
    return done.returncode == 0


def rotate(stack: RunningStack, *, kill: bool) -> bool:
    """Rotate once, killing the process that brings entries over; says whether that was in the midst of them."""
    epoch = int(command(stack, "keys", "rotate", "token")["epoch"])
    wait_for(lambda: switched(stack), within_s=30.0, what="the key at the follower")
    midst = False
    if kill:
        wait_for(lambda: came_over(stack, epoch) > 0, within_s=30.0, what="the first entries under the new key")
        os.kill(stack.children["exchange"], signal.SIGKILL)
        midst = is_left_to_do(stack, epoch)
    wait_for(lambda: has_left(stack, epoch - 1), within_s=ROTATION_S, what="every entry under the new key")
    return midst


def decided(stack: RunningStack, decision_id: str) -> Any:
    return command(stack, "decision", "show", decision_id, "--purpose", "audit")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("rotation")
    with running_stack(folder / "home", "--workers", "2") as running:
        command(running, "policy", "apply", watched_policy(folder / "policy", "ticketing", also=NO_QUOTA))
        file = folder / "people.jsonl"
        file.write_text("".join(json.dumps(row(number)) + "\n" for number in range(LISTED)))
        command(running, "import", file, "--list", LIST, "--format", "jsonl")
        # All of them came with one snapshot, which takes a moment to every worker.
        wait_for(lambda: is_shown(running, 0, "RESTRICT"), within_s=20.0, what="the list at every worker")
        yield running


@pytest.fixture(scope="module")
def books() -> Books:
    return Books(LISTED, 5_000)


def settled(load: Load, checks: int) -> None:
    wait_for(lambda: load.checks >= checks, within_s=60.0 + checks / 1_000, what=f"{checks:,} checks")


def test_the_token_key_rotates_under_load_with_no_wrong_answer(stack: RunningStack, books: Books, tmp_path: Path) -> None:
    with under_load(stack, books, tmp_path, checkouts=CHECKOUTS) as load:
        settled(load, 2_000)
        before, rotations = load.refused[0], 1
        # On a busy machine all of them may have come over before the kill.
        while not rotate(stack, kill=True):
            rotations += 1
            assert rotations <= KILLS, "nothing was ever left to go on with"
        kills = rotations
        while load.checks < CHECKS:
            rotate(stack, kill=False)
            rotations += 1
        settled(load, load.checks + 2_000)
        checks, wrong, faults, desk = load.checks, load.wrong, load.faults, load.desk
    told = (
        f"{checks:,} checks, {rotations} rotations, {desk.puts} puts, {desk.withdrawals} withdrawals, faults {dict(faults)}"
    )
    print(told)
    assert (not wrong, True) == (True, checks >= CHECKS), f"{dict(wrong)} wrong of {told}"
    # Kills of a process that answers no checks: no checkout loses more than the call that it has under way.
    assert faults.total() <= CHECKOUTS * kills, told
    assert desk.puts
    assert desk.withdrawals
    assert {1 + rotations: "in use"} == {each: state for each, state in token_states(stack).items() if state != "kept"}
    replayed = decided(stack, before)
    assert replayed["replay"]["same"], replayed


def test_a_key_that_was_left_is_retired_and_checks_go_on_without_it(stack: RunningStack, books: Books) -> None:
    refused = portcullis("keys", "retire", "token", "1", "--home", stack.home)
    assert 1 == refused.returncode
    assert "decisions were recorded" in refused.stderr
    retired = command(stack, "keys", "retire", "token", "1", "--force", "--why", "it may have been seen")
    assert str(stack.home / "keys" / "token.key") == retired["deleted"]
    assert 1 not in token_states(stack)
    people = books.listed[-20:] + books.clean[-20:]
    with stack.client("ticketing") as client:
        answers = client.batch_check([asked(wanted_of(number)) for number in people])
    assert ["RESTRICT"] * 20 + ["ALLOW"] * 20 == [str(each.get().outcome) for each in answers]
