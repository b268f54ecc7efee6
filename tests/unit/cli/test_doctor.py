from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.cli import examinations
from portcullis.cli.examinations import Finding, State
from portcullis.config import Settings
from portcullis.mains.wiring import ProcessWiring
from portcullis.registry.policy_files import load_policy
from tests.support.command_homes import install_snapshot, make_home, portcullis, record_decision, write_policy
from tests.support.scripted_gateway import ScriptedGateway, serving


class StoppedClock:
    """A clock that stands where it is put."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    def hear(self, wall_s: float, monotonic_s: float) -> None:
        """It stands."""

    def align(self, wall_s: float, monotonic_s: float) -> None:
        """It stands."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


def look(
    examination: examinations.Examination, home: Path, wiring: ProcessWiring | None = None, **settings: object
) -> list[Finding]:
    return list(examination(wiring or ProcessWiring(), Settings(home=home, **settings)))  # type: ignore[arg-type]


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state.value for finding in findings}


def test_a_private_home_with_whole_keys_is_well(home: Path) -> None:
    assert {"home": "ok"} == states(look(examinations.home, home))
    assert {"token.key": "ok", "seal.key": "ok"} == states(look(examinations.keys, home))
    assert {"disk": "ok"} == states(look(examinations.disk, home))
    assert {"clock": "ok"} == states(look(examinations.clock, home))


def test_an_absent_home_fails(tmp_path: Path) -> None:
    (finding,) = look(examinations.home, tmp_path / "nowhere")

    assert State.FAIL == finding.state
    assert "portcullis run" in finding.mend


def test_what_others_can_read_is_told(home: Path) -> None:
    home.chmod(0o755)
    (home / "demo-keys.json").write_text("{}")
    (home / "demo-keys.json").chmod(0o644)
    (home / "keys" / "seal.key").chmod(0o640)

    assert {"home": "warn", "demo-keys.json": "fail"} == states(look(examinations.home, home))
    token, seal = look(examinations.keys, home)
    assert (State.OK, State.FAIL) == (token.state, seal.state)
    assert f"chmod 600 {home / 'keys' / 'seal.key'}" == seal.mend


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32])
def test_a_damaged_key_fails_without_being_shown(home: Path, text: str) -> None:
    (home / "keys" / "token.key").write_text(text)

    token, _ = look(examinations.keys, home)

    assert State.FAIL == token.state
    assert not text or text not in token.what + token.mend


def test_a_root_file_that_is_not_here_is_a_warning_that_says_where_it_comes_from(home: Path) -> None:
    (finding,) = look(examinations.trusted_root, home, trusted_root=home / "nowhere.json")

    assert State.WARN == finding.state
    assert "copy 1.root.json" in finding.mend


@pytest.mark.parametrize(
    ("text", "state"),
    [('{"signed": {"_type": "root"}}', "ok"), ('{"signed": {"_type": "targets"}}', "fail"), ("[]", "fail"), ("", "fail")],
)
def test_a_root_file_is_looked_into(home: Path, text: str, state: str) -> None:
    (home / "keys" / "trust").mkdir(exist_ok=True)
    (home / "keys" / "trust" / "1.root.json").write_text(text)

    assert {"trusted root": state} == states(look(examinations.trusted_root, home))


@pytest.mark.parametrize(("free_mib", "state"), [(50, "fail"), (500, "warn"), (5000, "ok")])
def test_little_room_is_told(home: Path, free_mib: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free_mib * 1024 * 1024))

    assert {"disk": state} == states(look(examinations.disk, home))


def test_a_clock_before_this_release_fails(home: Path) -> None:
    assert {"clock": "fail"} == states(look(examinations.clock, home, ProcessWiring(StoppedClock(0.0))))


def test_what_is_not_set_up_here_is_a_warning_and_nothing_is_made(home: Path) -> None:
    before = sorted(home.rglob("*"))

    found = {
        **states(look(examinations.registry, home)),
        **states(look(examinations.journal, home)),
        **states(look(examinations.store, home)),
        **states(look(examinations.replica, home)),
    }

    assert {"registry": "warn", "journal": "warn", "store": "warn", "replica": "warn"} == found
    assert before == sorted(home.rglob("*"))


def test_databases_in_use_are_well(home: Path, tmp_path: Path) -> None:
    assert 0 == portcullis("policy", "apply", str(write_policy(tmp_path / "policy")), "--home", str(home))
    record_decision(home, "d" * 32)

    assert {"registry": "ok"} == states(look(examinations.registry, home))
    assert {"journal": "ok"} == states(look(examinations.journal, home))


def test_a_database_without_tables_fails(home: Path) -> None:
    (home / "registry.db").touch()
    (home / "journal.db").write_bytes(b"this is no database" * 100)

    (registry,) = look(examinations.registry, home)
    (journal,) = look(examinations.journal, home)

    assert (State.FAIL, "portcullis serve registry") == (registry.state, registry.mend.split("`")[1])
    assert State.FAIL == journal.state
    assert "DatabaseError" in journal.what


def test_a_store_that_can_not_be_reached_fails(home: Path) -> None:
    assert {"store": "fail"} == states(look(examinations.store, home, redis_url="redis://127.0.0.1:1/0"))


def test_a_replica_tells_its_version_and_age(home: Path) -> None:
    install_snapshot(home, version=7)

    (finding,) = look(examinations.replica, home)

    assert State.OK == finding.state
    assert "snapshot 7, format 2" in finding.what


def test_lists_that_the_publisher_cannot_bring_up_to_date_are_named(home: Path, tmp_path: Path) -> None:
    policy = load_policy(write_policy(tmp_path / "policy"))
    install_snapshot(home, version=7, policy=policy, stalled_at=SystemClock().now())

    found = look(examinations.replica, home)

    assert {"replica": "ok", "lists": "warn"} == states(found)
    assert "court" in found[1].what


def test_signing_keys_that_are_missing_and_what_expires_are_told(home: Path) -> None:
    assert {"signing keys": "ok"} == states(look(examinations.signing_keys, home))
    (home / "keys" / "trust" / "online" / "head.pem").unlink()

    (missing,) = look(examinations.signing_keys, home)
    late = ProcessWiring(StoppedClock(SystemClock().now() + 700 * 86_400))
    _, root, targets = look(examinations.signing_keys, home, late)

    assert (State.WARN, "no usable key of head is here") == (missing.state, missing.what)
    assert ["root expires", "targets expires"] == [each.what.partition(" within")[0] for each in (root, targets)]


def test_a_host_that_signs_nothing_has_no_signing_keys_to_look_at(home: Path) -> None:
    shutil.rmtree(home / "keys" / "trust")

    assert [] == look(examinations.signing_keys, home)


def test_a_snapshot_of_the_future_means_that_a_clock_is_wrong(home: Path) -> None:
    install_snapshot(home, version=7, published_at=SystemClock().now() + 600)

    assert "warn" == states(look(examinations.replica, home))["clock"]


def test_an_empty_replica_fails(home: Path) -> None:
    (home / "replica").mkdir()

    assert {"replica": "fail"} == states(look(examinations.replica, home))


async def test_a_serving_gateway_is_well(home: Path) -> None:
    async with serving(ScriptedGateway()) as target:
        port = int(target.rsplit(":", 1)[1])

        assert {"gateway": "ok"} == states(await asyncio.to_thread(look, examinations.gateway, home, grpc_port=port))


def test_a_gateway_that_is_not_there_fails(home: Path) -> None:
    assert {"gateway": "fail"} == states(look(examinations.gateway, home, grpc_port=1))


def test_the_doctor_exits_1_when_something_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == portcullis("doctor", "--home", str(tmp_path / "nowhere"))
    shown = capsys.readouterr().out
    assert 1 == portcullis("doctor", "--home", str(tmp_path / "nowhere"), "--json")
    findings = json.loads(capsys.readouterr().out)["findings"]

    assert shown.startswith("fail  home: ")
    assert ("home", "fail") == (findings[0]["name"], findings[0]["state"])
