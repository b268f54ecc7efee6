"""``portcullis keys`` and what changes the keys of a home, by command."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from portcullis.cli.app import execute
from portcullis.config import Settings
from portcullis.domain.errors import KeyChangeRefused
from portcullis.mains.wiring import ProcessWiring
from portcullis.ports.home_keys import HomeKey, HostKeys
from portcullis.ports.token_keys import Rewrapped
from tests.support.clocks import HandClock
from tests.support.policies import NOW

DAY_S = 86_400.0
OLD = HomeKey(
    name="token",
    purpose="makes tokens of identifiers",
    state="in use",
    file="/keys/token.key",
    epoch=1,
    fingerprint="00112233445566ff",
    made_at=NOW - 400 * DAY_S,
    most_days=365,
    exposed=True,
)
NEXT = OLD._replace(state="next", file="/keys/token.2.key", epoch=2, made_at=float(NOW), exposed=False)
GONE = HomeKey(name="journal", purpose="signs the journal's checkpoints", state="missing", file="/keys/journal.key")


class Keys:
    """The keys of a home that notes what it was told to do."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def report(self) -> Sequence[HomeKey]:
        return [NEXT, OLD, GONE]

    def make_token_key(self) -> HomeKey:
        self.done.append(("make token",))
        return NEXT

    def make_seal_key(self) -> HomeKey:
        self.done.append(("make seal",))
        return NEXT._replace(name="seal", file="/keys/seal.2.key.next")

    def hosts(self) -> Sequence[HostKeys]:
        return []

    def switch_token_key(self, *, actor: str, why: str, force: bool) -> int:
        if not force:
            raise KeyChangeRefused("token.2.key is not on gateway-2; copy it")
        self.done.append(("switch token", actor, why))
        return 2

    def switch_seal_key(self, *, progress: Callable[[int], object] = lambda _: None) -> tuple[int, Rewrapped]:
        progress(12)
        return 2, Rewrapped(12, 0)

    def retire_token_key(self, epoch: int, *, actor: str, why: str, force: bool) -> str:
        self.done.append(("retire token", epoch, actor, why, force))
        return "/keys/token.key"

    def retire_seal_key(self, epoch: int) -> str:
        self.done.append(("retire seal", epoch))
        return "/keys/seal.key"

    def rotate_feed_key(self, partner: str, *, actor: str, why: str) -> int:
        self.done.append(("rotate feed", partner, actor, why))
        return 3


class Wiring(ProcessWiring):
    """The process's wiring, with keys of a test."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(HandClock())
        self.keys = keys

    def home_keys(self, settings: Settings) -> Keys:
        return self.keys

    def actor(self) -> str:
        return "ann"


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def run(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setenv("PORTCULLIS_HOME", str(tmp_path))
    return lambda *arguments: execute(["keys", *arguments], Wiring(keys))


def test_without_more_every_key_is_listed_and_what_is_wrong_is_told_while_the_exit_code_stays_0(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run()
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert ["key", "epoch", "state", "age", "may", "get", "fingerprint", "what", "for"] == lines[0].split()
    assert ["token", "1", "in", "use", "400", "d", "!", "365", "d"] == lines[2].split()[:9]
    assert [
        "portcullis: /keys/token.key can be read by others: chmod 600 /keys/token.key",
        "portcullis: token is older than 365 days; see docs/how-to/keys.md",
        "portcullis: /keys/journal.key is missing; restore it, if this host needs it",
    ] == said.err.splitlines()


def test_as_json_each_key_says_how_old_it_is_and_whether_that_is_too_old(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run("--json")
    following, old, gone = json.loads(capsys.readouterr().out)["keys"]
    assert (400.0, True, True) == (old["age_days"], old["overdue"], old["exposed"])
    assert (0.0, False, "next") == (following["age_days"], following["overdue"], following["state"])
    assert (None, "missing") == (gone["age_days"], gone["state"])


@pytest.mark.parametrize("name", ["token", "seal"])
def test_the_next_key_is_made_and_says_where_it_goes(
    run: Callable[..., int], keys: Keys, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert 0 == run("rotate", name)
    said = capsys.readouterr()
    assert [(f"make {name}",)] == keys.done
    assert f"run `portcullis keys switch {name}`" in said.err
    assert "not in use yet" in said.err


def test_a_switch_is_refused_while_a_host_lacks_the_key_and_forced_with_a_reason_alone(
    run: Callable[..., int], keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == run("switch", "token")
    assert "not on gateway-2" in capsys.readouterr().err
    assert 2 == run("switch", "token", "--force")
    assert "--why" in capsys.readouterr().err
    assert 0 == run("switch", "token", "--force", "--why", "it is gone", "--json")
    assert {"name": "token", "epoch": 2, "state": "in use"} == json.loads(capsys.readouterr().out)
    assert [("switch token", "ann", "it is gone")] == keys.done


def test_a_seal_key_is_switched_and_says_how_much_was_wrapped_anew(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == run("switch", "seal", "--json")
    document = json.loads(capsys.readouterr().out)
    assert {"name": "seal", "epoch": 2, "state": "in use", "changed": 12, "unreadable": 0} == document


def test_former_keys_are_retired_by_their_epochs(run: Callable[..., int], keys: Keys) -> None:
    assert 0 == run("retire", "token", "1", "--force", "--why", "seen")
    assert 0 == run("retire", "seal", "1")
    assert 2 == run("retire", "journal", "1")
    assert [("retire token", 1, "ann", "seen", True), ("retire seal", 1)] == keys.done


def test_a_feed_key_is_a_partners(run: Callable[..., int], keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run("rotate", "feed")
    assert 2 == run("rotate", "token", "--partner", "ticketing")
    assert 2 == run("rotate", "feed", "--partner", "ticketing", "--renew")
    capsys.readouterr()
    assert 0 == run("rotate", "feed", "--partner", "ticketing", "--why", "seen")
    said = capsys.readouterr().err
    for words in ("must be told before", "cursors expire", "to its streams nothing is sent again"):
        assert words in said
    assert [("rotate feed", "ticketing", "ann", "seen")] == keys.done
