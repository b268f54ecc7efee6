from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, delete

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.log_signing import MEMORY, LogSigner
from portcullis.adapters.redis.alarms import RedisAlarmBoard
from portcullis.adapters.spool import FileSpool, SpoolDirectoryReader
from portcullis.adapters.sql.journal.schema import checkpoints
from portcullis.cli import examinations
from portcullis.cli.alarm_examination import alarms
from portcullis.cli.examined import Exposure
from portcullis.cli.findings import Examination, Finding, State
from portcullis.config import Settings
from portcullis.domain.alarms import Alarm
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.mains.keys import JOURNAL_KEY, read_key
from portcullis.mains.parts import open_feed, open_journal
from portcullis.mains.wiring import ProcessWiring
from portcullis.metrics.exchange import CheckpointMetrics
from portcullis.ports import Progress
from portcullis.registry.policy_files import load_policy
from tests.support.command_homes import install_snapshot, make_home, portcullis, write_policy
from tests.support.decision_records import a_record
from tests.support.scripted_gateway import ScriptedGateway, serving
from tests.support.valkey import running_valkey


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


def look(examination: Examination, home: Path, wiring: ProcessWiring | None = None, **settings: object) -> list[Finding]:
    return list(examination(wiring or ProcessWiring(), Settings(home=home, **settings)))  # type: ignore[arg-type]


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state.value for finding in findings}


def with_decisions(home: Path, *decided_at: float) -> None:
    """Put decisions into the home's spool, one segment each, and end the writer."""
    for number, at in enumerate(decided_at):
        with closing(FileSpool(home / "spool", clock=SystemClock())) as spool:
            asyncio.run(spool.append([a_record(f"{number:032x}", decided_at=at)]))


def record(home: Path, decision_id: str = "d" * 32) -> None:
    """Put one decision into the home's journal, now."""
    with open_journal(Settings(home=home), SystemClock()) as journal:
        journal.record_decisions([a_record(decision_id)])


def sign(home: Path) -> None:
    """Sign the home's journal as the exchange does."""
    settings = Settings(home=home)
    with open_journal(settings) as journal:
        signer = LogSigner(read_key(settings.keys_path, JOURNAL_KEY), settings.keys_path)
        assert Checkpointer(journal, signer, SystemClock(), CheckpointMetrics(CollectorRegistry())).sign_once()


def feed(home: Path, until: float) -> None:
    """Mark the home's feed as complete up to a time."""
    settings = Settings(home=home)
    with open_journal(settings), open_feed(settings) as store:
        assert store.append((), Progress(0, int(until)), expected=store.progress())


def test_a_private_home_with_whole_keys_is_well(home: Path) -> None:
    assert {"home": "ok"} == states(look(examinations.home, home))
    assert dict.fromkeys(examinations.KEY_FILES, "ok") == states(look(examinations.keys, home))
    assert {"disk": "ok"} == states(look(examinations.disk, home))
    assert {"clock": "ok"} == states(look(examinations.clock, home))


class Exposed(ProcessWiring):
    """A process that is given so much."""

    def __init__(self, *given: Exposure) -> None:
        super().__init__()
        self._given = given

    def exposures(self) -> Sequence[Exposure]:
        return self._given


def test_a_process_that_is_given_no_more_than_it_needs_is_well(home: Path) -> None:
    assert {"process": "ok"} == states(look(examinations.process, home, Exposed()))


def test_a_process_that_is_given_more_is_warned_of_each(home: Path) -> None:
    found = look(examinations.process, home, Exposed(Exposure("it runs as root", "don't"), Exposure("a", "b")))

    assert [Finding("process", State.WARN, "it runs as root", "don't"), Finding("process", State.WARN, "a", "b")] == found


def test_an_absent_home_fails(tmp_path: Path) -> None:
    (finding,) = look(examinations.home, tmp_path / "nowhere")

    assert State.FAIL == finding.state
    assert "portcullis run" in finding.mend


def test_what_others_can_read_is_told(home: Path) -> None:
    for folder in (home.parent, home, home / "keys"):
        folder.chmod(0o755)
    (home / "demo-keys.json").write_text("{}")
    (home / "demo-keys.json").chmod(0o644)
    (home / "keys" / "seal.key").chmod(0o640)

    assert {"home": "warn", "demo-keys.json": "fail"} == states(look(examinations.home, home))
    found = {each.name: each for each in look(examinations.keys, home)}
    seal = found["seal.key"]
    assert (State.OK, State.FAIL) == (found["token.key"].state, seal.state)
    assert f"chmod 600 {home / 'keys' / 'seal.key'}" == seal.mend


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32])
def test_a_damaged_key_fails_without_being_shown(home: Path, text: str) -> None:
    (home / "keys" / "token.key").write_text(text)

    token, *_ = look(examinations.keys, home)

    assert State.FAIL == token.state
    assert not text or text not in token.what + token.mend


def test_key_files_that_only_some_parts_need_are_a_warning_where_they_are_not(home: Path) -> None:
    for name in ("seal.key", "record.key", "journal.key"):
        (home / "keys" / name).unlink()

    found = look(examinations.keys, home)

    gone = {"seal.key": "warn", "record.key": "warn", "journal.key": "warn"}
    assert dict.fromkeys(examinations.KEY_FILES, "ok") | gone == states(found)
    assert "shipper" in next(each for each in found if each.name == "record.key").mend


def test_a_token_key_that_is_missing_fails(home: Path) -> None:
    (home / "keys" / "token.key").unlink()

    assert "fail" == states(look(examinations.keys, home))["token.key"]


def test_a_first_key_that_was_rotated_out_and_retired_is_missed_by_nobody(home: Path) -> None:
    for name in ("token", "seal"):
        (home / "keys" / f"{name}.key").rename(home / "keys" / f"{name}.2.key")

    found = states(look(examinations.keys, home))

    assert {"token.2.key": "ok", "seal.2.key": "ok"} == {name: found[name] for name in ("token.2.key", "seal.2.key")}
    assert {"token.key", "seal.key"}.isdisjoint(found)


def test_keys_that_can_not_be_looked_at_are_told_and_end_nothing(home: Path) -> None:
    token = home / "keys" / "token.key"
    token.unlink()
    # Not even root reads these: a folder in a file's place, and below a name that is longer than any.
    token.mkdir()
    found = [each for each in look(examinations.key_ages, home) if each.state is State.FAIL]
    assert ["the token key of epoch 1 can't be read"] == [each.what for each in found]
    (signing,) = look(examinations.signing_keys, home, keys_dir=home / ("k" * 300))
    assert (State.FAIL, True) == (signing.state, "can't be read (File name too long)" in signing.what)


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
        **states(look(examinations.exchange, home)),
        **states(look(examinations.spool, home)),
    }

    assert {"registry": "warn", "journal": "warn", "store": "warn", "replica": "warn", "spool": "ok"} == found
    assert before == sorted(home.rglob("*"))


def test_databases_in_use_are_well(home: Path, tmp_path: Path) -> None:
    assert 0 == portcullis("policy", "apply", str(write_policy(tmp_path / "policy")), "--home", str(home))
    record(home)

    assert {"registry": "ok"} == states(look(examinations.registry, home))
    assert {"journal": "ok"} == states(look(examinations.journal, home))


def test_decisions_of_a_moment_ago_may_stand_in_the_spool(home: Path) -> None:
    with_decisions(home, SystemClock().now())

    (finding,) = look(examinations.spool, home)

    assert State.OK == finding.state
    assert finding.what.startswith("1 KiB of decisions, the oldest of 0 s ago")


def test_decisions_that_wait_for_long_mean_that_no_shipper_works(home: Path) -> None:
    with_decisions(home, SystemClock().now() - 90, SystemClock().now())

    (finding,) = look(examinations.spool, home)

    assert State.WARN == finding.state
    assert "the oldest of 90 s ago" in finding.what
    assert "portcullis serve shipper" in finding.mend


def test_a_look_at_the_spool_takes_nothing_from_the_shipper(home: Path) -> None:
    with_decisions(home, SystemClock().now())
    before = sorted((home / "spool").iterdir())

    look(examinations.spool, home)

    assert before == sorted((home / "spool").iterdir())
    with closing(SpoolDirectoryReader(home / "spool")) as reader:
        assert {"spool": "ok"} == states(look(examinations.spool, home))
        assert 1 == len(reader.read(10).records)


def test_a_spool_that_can_not_be_written_fails(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    (finding,) = look(examinations.spool, home, spool_dir=tmp_path / "file")

    assert State.FAIL == finding.state
    assert "PORTCULLIS_SPOOL_DIR" in finding.mend


def test_a_full_disk_of_the_spool_fails(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=1024))

    assert {"spool": "fail"} == states(look(examinations.spool, home))


def test_segments_that_were_set_aside_are_told(home: Path) -> None:
    with_decisions(home, SystemClock().now())
    (segment,) = (home / "spool").glob("*.segment")
    segment.rename(f"{segment}.damaged")

    found = look(examinations.spool, home)

    assert [State.OK, State.WARN] == [each.state for each in found]
    assert "1 damaged" in found[1].what


def test_an_exchange_that_signs_and_feeds_is_well(home: Path) -> None:
    record(home)
    sign(home)
    feed(home, SystemClock().now())

    assert {"checkpoint": "ok", "exchange": "ok"} == states(look(examinations.exchange, home))


def test_an_exchange_that_never_ran_is_a_warning(home: Path) -> None:
    record(home)

    found = look(examinations.exchange, home, ProcessWiring(StoppedClock(SystemClock().now() + 60)))

    assert {"checkpoint": "warn", "exchange": "warn"} == states(found)
    assert "0 of 1 entries" in found[0].what
    assert all("portcullis serve exchange" in each.mend for each in found)


def test_an_exchange_that_is_gone_is_a_warning(home: Path) -> None:
    record(home)
    sign(home)
    feed(home, SystemClock().now() - 45)

    assert {"checkpoint": "ok", "exchange": "warn"} == states(look(examinations.exchange, home))


def test_entries_that_no_checkpoint_covers_for_long_are_a_warning(home: Path) -> None:
    record(home)
    sign(home)
    record(home, "e" * 32)
    late = ProcessWiring(StoppedClock(SystemClock().now() + 20))

    assert "ok" == states(look(examinations.exchange, home))["checkpoint"]
    (finding, _) = look(examinations.exchange, home, late)
    assert State.WARN == finding.state
    assert "1 of 2 entries" in finding.what


def test_a_journal_that_is_shorter_than_what_was_signed_fails(home: Path) -> None:
    record(home)
    sign(home)
    (home / "journal.db").unlink()
    for each in home.glob("journal.db-*"):
        each.unlink()
    record(home)

    (finding, _) = look(examinations.exchange, home)

    assert State.FAIL == finding.state
    assert "another log" in finding.what
    assert "portcullis journal verify" in finding.mend


def test_a_checkpoint_that_another_key_signed_fails_where_the_key_is(home: Path) -> None:
    record(home)
    sign(home)
    (home / "keys" / JOURNAL_KEY).write_text("ab" * 32)

    assert "fail" == states(look(examinations.exchange, home))["checkpoint"]
    (home / "keys" / JOURNAL_KEY).unlink()
    (finding, _) = look(examinations.exchange, home)
    assert (State.OK, True) == (finding.state, "not on this host" in finding.what)


def test_a_log_that_was_cut_behind_what_the_signer_remembers_fails(home: Path) -> None:
    record(home)
    journal = home / "journal.db"
    with open_journal(Settings(home=home)):
        pass
    kept = {each: each.read_bytes() for each in home.glob("journal.db*")}
    record(home, "e" * 32)
    sign(home)
    for each in home.glob("journal.db*"):
        each.unlink()
    for each, data in kept.items():
        each.write_bytes(data)

    assert journal in kept
    (finding, _) = look(examinations.exchange, home)

    assert State.FAIL == finding.state
    assert "1 entries, and 2 were signed" in finding.what


def test_checkpoints_that_were_taken_away_leave_the_one_beside_the_key(home: Path) -> None:
    record(home)
    sign(home)
    engine = create_engine(f"sqlite:///{home / 'journal.db'}")
    with engine.begin() as connection:
        connection.execute(delete(checkpoints))
    engine.dispose()
    (home / "keys" / MEMORY).write_text("no note")

    assert "fail" == states(look(examinations.exchange, home))["checkpoint"]


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


def test_an_alarm_that_holds_is_told_with_what_to_do(home: Path) -> None:
    now = SystemClock().now()
    alarm = Alarm(
        partner="lender",
        level="stopped",
        signs=("near", "block"),
        raised_at=now,
        until=now + 900,
        gateway="host-1",
        probes=192,
    )
    with running_valkey() as server, closing(RedisAlarmBoard(server.url)) as board:
        assert {"alarms": "ok"} == states(look(alarms, home, redis_url=server.url))
        board.put([alarm])
        (found,) = look(alarms, home, redis_url=server.url)
        assert ("warn", True) == (found.state.value, found.what.startswith("lender is stopped until "))
        assert found.what.endswith("for near, block")
        assert "portcullis partner release" in found.mend
        board.release("lender", by="olga", at=now, why="their nightly screening")
        assert {"alarms": "ok"} == states(look(alarms, home, redis_url=server.url))
        server.kill()
        assert {"alarms": "fail"} == states(look(alarms, home, redis_url=server.url))


def test_a_host_that_knows_of_no_store_has_no_alarms_to_look_at(home: Path) -> None:
    assert {"alarms": "warn"} == states(look(alarms, home))
