"""``portcullis stream``, with a desk in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from portcullis.adapters.set_signing import rotate_set_key
from portcullis.cli import streams
from portcullis.domain.errors import InvalidRequest, NotFound
from tests.support.relays import World


class Wiring:
    """Joins the commands to a world."""

    def __init__(self, world: World, keys: Path) -> None:
        self.world = world
        self.keys = keys

    def settings(self, **given: object) -> Any:
        return given

    @contextmanager
    def streams(self, settings: Any) -> Iterator[Any]:
        yield self.world.desk

    def rotate_stream_key(self, settings: Any) -> str:
        return rotate_set_key(self.keys)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def wiring(world: World, tmp_path: Path) -> Wiring:
    return Wiring(world, tmp_path)


def run(wiring: Wiring, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(streams.app, arguments, obj=wiring, env=environment)


def documents(wiring: Wiring, *arguments: str, **environment: str) -> Any:
    result = run(wiring, *arguments, "--json", **environment)
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


def test_a_stream_is_made_and_its_token_is_shown_once(wiring: Wiring) -> None:
    made = documents(
        wiring,
        *("create", "--partner", "lender", "--by", "push", "--to", "https://receiver.example/events"),
        *("--audience", "receiver.example", "--event", "urn:portcullis:change:stayed", "--description", "ours"),
        PORTCULLIS_STREAM_AUTHORIZATION="Bearer made-up",
    )

    assert made["token"].startswith("pcs_")
    listed = documents(wiring, "list")
    assert [{name: value for name, value in made.items() if name != "token"}] == listed
    assert ("partner", "lender", "push") == (made["side"], made["holder"], made["method"])
    assert ["urn:portcullis:change:stayed"] == made["events_requested"]
    assert "Bearer made-up" == wiring.world.store.secret(made["stream_id"])
    assert "made-up" not in json.dumps(listed)


def test_a_file_stream_of_an_authority_has_no_token(wiring: Wiring, tmp_path: Path) -> None:
    made = documents(
        wiring, "create", "--authority", "Demonstration Court", "--by", "file", "--to", str(tmp_path / "out.ndjson")
    )

    assert "token" not in made
    assert "authority" == made["side"]


def test_a_stream_begins_with_what_comes_next_unless_told_otherwise(wiring: Wiring) -> None:
    wiring.world.grow(1, 2, 3)

    next_one = documents(wiring, "create", "--partner", "lender", "--by", "poll")
    oldest = documents(wiring, "create", "--partner", "lender", "--by", "poll", "--from-oldest")

    assert [(3, 0), (0, 3)] == [(each["position"], each["behind"]) for each in (next_one, oldest)]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--partner", "nobody", "--by", "poll"), "holder"),
        (("--authority", "lender", "--by", "poll"), "holder"),
        (("--partner", "lender", "--by", "push", "--to", "http://receiver.example/"), "endpoint"),
        (("--partner", "lender", "--by", "poll", "--to", "https://receiver.example/"), "endpoint"),
        (("--partner", "lender", "--by", "file", "--to", "relative.ndjson"), "endpoint"),
        (("--partner", "lender", "--by", "file", "--to", "/a/../b"), "endpoint"),
        (("--partner", "lender", "--by", "poll", "--event", "urn:x:y"), "events_requested"),
    ],
)
def test_a_setting_that_can_not_be_is_refused(wiring: Wiring, arguments: tuple[str, ...], field: str) -> None:
    result = run(wiring, "create", *arguments)

    assert isinstance(result.exception, InvalidRequest)
    assert [field] == [each.field for each in result.exception.violations]


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--by", "poll"),
        ("create", "--partner", "lender", "--authority", "x", "--by", "poll"),
        ("replay", "a" * 32, "--from", "1", "--skip"),
    ],
)
def test_options_that_exclude_each_other_are_a_misuse(wiring: Wiring, arguments: tuple[str, ...]) -> None:
    assert 2 == run(wiring, *arguments).exit_code


def test_a_stream_is_paused_resumed_verified_and_deleted(wiring: Wiring) -> None:
    stream_id = documents(wiring, "create", "--partner", "lender", "--by", "poll")["stream_id"]

    paused = documents(wiring, "pause", stream_id, "--reason", "upgrade")
    assert ("held", "upgrade") == (paused["state"], paused["held"])
    assert "enabled" == documents(wiring, "resume", stream_id)["state"]
    assert 2 == documents(wiring, "verify", stream_id)["waiting_notices"]
    assert stream_id == documents(wiring, "show", stream_id)["stream_id"]
    assert documents(wiring, "delete", stream_id)["deleted"]
    assert isinstance(run(wiring, "show", stream_id).exception, NotFound)


def test_a_stream_is_played_again_within_what_is_kept(wiring: Wiring) -> None:
    wiring.world.grow(1, 2, 3)
    stream_id = documents(wiring, "create", "--partner", "lender", "--by", "poll")["stream_id"]

    assert 1 == documents(wiring, "replay", stream_id, "--from", "1")["position"]
    assert 2 == documents(wiring, "replay", stream_id, "--skip")["position"]
    assert isinstance(run(wiring, "replay", stream_id, "--from", "4").exception, InvalidRequest)
    documents(wiring, "replay", stream_id, "--skip")
    assert isinstance(run(wiring, "replay", stream_id, "--skip").exception, InvalidRequest)


def test_text_for_a_reader_says_how_streams_are(wiring: Wiring) -> None:
    assert "none" in run(wiring, "list").stdout
    stream_id = documents(wiring, "create", "--partner", "lender", "--by", "poll")["stream_id"]
    run(wiring, "pause", stream_id, "--reason", "upgrade")

    listed, shown = run(wiring, "list").stdout, run(wiring, "show", stream_id).stdout

    assert stream_id in listed
    assert "held" in listed
    assert "upgrade" in shown
    assert "deleted" in run(wiring, "delete", stream_id).stdout


def test_the_key_of_tokens_is_rotated(wiring: Wiring) -> None:
    before = wiring.world.signer.jwks()["keys"]

    new = documents(wiring, "rotate-key")["key_id"]

    after = wiring.world.signer.jwks()["keys"]
    assert [new, before[0]["kid"]] == [each["kid"] for each in after]
    assert "tokens are signed" in run(wiring, "rotate-key").stdout
