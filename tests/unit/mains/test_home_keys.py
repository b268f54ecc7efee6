"""The keys of a home: what is told of them, and how one takes another's place on this host."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.config import Settings
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import KeyChangeRefused, NotFound, SetupFault
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.mains import home_keys
from portcullis.mains.home_keys import FolderKeys
from portcullis.mains.keys import ensure_keys
from portcullis.mains.parts import open_journal, open_registry, open_rights, open_token_keys
from portcullis.mains.readiness import token_key_check
from portcullis.mains.token_keys import FolderTokenKeys
from portcullis.metrics import KeyMetrics
from portcullis.ports import Acknowledgement, RedressNumber
from portcullis.ports.home_keys import HomeKey, HostKeys
from portcullis.registry.token_renewal import TokenRenewer
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.policies import NOW, a_list
from tests.support.processes import wait_for
from tests.support.registry_entries import an_entry
from tests.support.valkey import ValkeyAt, running_valkey

DAY_S = 86_400.0


class Home:
    """A home with a registry, a journal and two hosts that follow."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(home=folder)
        self.clock = HandClock()
        ensure_keys(self.settings.keys_path, clock=self.clock)
        for file in self.settings.keys_path.rglob("*.key"):
            os.utime(file, (NOW, NOW))
        partners = (Partner(name="lender", title="A lender", agreements=()),)
        with open_registry(self.settings, open_token_keys(self.settings), self.clock) as registry:
            registry.apply_policy(Policy(lists=(a_list("court"),), partners=partners), actor="ann")
            registry.put_entry(an_entry("k1"), actor="ann")
        with open_journal(self.settings, self.clock):
            pass
        self.keys = FolderKeys(self.settings, self.clock)
        self.said: list[HostKeys] | None = None
        monkeypatch.setattr(self.keys, "hosts", lambda: self.told_by_one() if self.said is None else self.said)

    def told_by_one(self) -> list[HostKeys]:
        """One host that has every key and every change."""
        held = tuple(each.fingerprint for each in FolderTokenKeys(self.settings.keys_path).held())
        return [HostKeys("gateway-1", held, NOW, self.head())]

    def head(self) -> int:
        with open_registry(self.settings, open_token_keys(self.settings), self.clock) as registry:
            return registry.head()

    def leave_first_key(self) -> Path:
        """Have every entry stand under a second token key; gives the file of the first."""
        self.keys.make_token_key()
        self.keys.switch_token_key(actor="ann", why="", force=False)
        self.renew()
        return self.settings.keys_path / "token.key"

    def beside(self, store: ValkeyAt) -> FolderKeys:
        """The keys as they are where followers say in a store what they serve."""
        return FolderKeys(self.settings.model_copy(update={"redis_url": store.url}), self.clock)

    def token_file(self, epoch: int) -> Path:
        return self.settings.keys_path / f"token.{epoch}.key"

    def report(self, name: str) -> list[HomeKey]:
        return [each for each in self.keys.report() if each.name == name]

    def renew(self) -> None:
        class Uncounted:
            def __getattr__(self, _: str) -> Any:
                return lambda *_: None

        with open_registry(self.settings, open_token_keys(self.settings), self.clock) as registry:
            assert TokenRenewer(registry, clock=self.clock, counts=Uncounted()).turn(threading.Event())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path / "home", monkeypatch)


@pytest.fixture
def store() -> Iterator[ValkeyAt]:
    with running_valkey() as server:
        yield server


def test_every_key_is_told_with_its_age_and_none_is_shown(home: Home) -> None:
    home.clock.advance(400 * DAY_S)
    found = home.keys.report()
    names = {each.name for each in found}
    assert {"token", "feed", "feed:lender", "seal", "entry", "record", "journal", "role:root", "role:head"} <= names
    by_name = {each.name: each for each in found}
    now = home.clock.now()
    assert (400, True) == (int(by_name["token"].age_days(now) or 0), by_name["token"].is_overdue(now))
    assert not by_name["seal"].is_overdue(now)
    assert not by_name["record"].is_overdue(now)
    secrets = [file.read_text().strip() for file in home.settings.keys_path.glob("*.key")]
    assert not any(secret in repr(found) for secret in secrets)


def test_a_file_that_others_can_read_one_that_is_missing_and_a_damaged_one_are_told(home: Home) -> None:
    home.settings.keys_path.chmod(0o755)
    (home.settings.keys_path / "seal.key").chmod(0o644)
    (home.settings.keys_path / "journal.key").unlink()
    (home.settings.keys_path / "record.key").write_text("zz")
    assert [True] == [each.exposed for each in home.report("seal")]
    assert ["missing"] == [each.state for each in home.report("journal")]
    assert ["damaged"] == [each.state for each in home.report("record")]


def test_a_host_without_a_registry_tells_the_keys_that_it_holds(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.keys_path.mkdir(mode=0o700)
    (settings.keys_path / "token.2.key").write_text("ab" * 32)
    found = FolderKeys(settings, HandClock()).report()
    assert [("token", 2, "held"), ("token", 1, "missing")] == [
        (each.name, each.epoch, each.state) for each in found if each.name == "token"
    ]
    assert not (tmp_path / "registry.db").exists()


def test_the_next_token_key_is_made_once_and_not_in_use(home: Home) -> None:
    made = home.keys.make_token_key()
    assert (2, "next", str(home.token_file(2))) == (made.epoch, made.state, made.file)
    assert 0o600 == stat.S_IMODE(home.token_file(2).stat().st_mode)
    assert made == home.keys.make_token_key()
    assert ["next", "in use"] == [each.state for each in home.report("token")]


def test_a_switch_waits_for_every_host_that_follows(home: Home) -> None:
    with pytest.raises(KeyChangeRefused, match="rotate token"):
        home.keys.switch_token_key(actor="ann", why="", force=False)
    fingerprint = home.keys.make_token_key().fingerprint
    home.said = [HostKeys("gateway-1", (fingerprint,), NOW, 9), HostKeys("gateway-2", (), NOW, 9)]
    with pytest.raises(KeyChangeRefused, match=r"token\.2\.key is not on gateway-2;"):
        home.keys.switch_token_key(actor="ann", why="", force=False)
    assert 2 == home.keys.switch_token_key(actor="ann", why="gateway-2 is gone", force=True)
    assert ["in use", "leaving"] == [each.state for each in home.report("token")]
    home.renew()
    assert ["in use", "kept"] == [each.state for each in home.report("token")]


def test_a_key_is_retired_once_nobody_needs_it(home: Home) -> None:
    with pytest.raises(KeyChangeRefused, match="entries stand under"):
        home.keys.retire_token_key(1, actor="ann", why="", force=False)
    with pytest.raises(NotFound):
        home.keys.retire_token_key(9, actor="ann", why="", force=False)
    with open_journal(home.settings, home.clock) as journal:
        journal.record_decisions([a_record("0" * 32, decided_at=NOW - 5.0)])
    home.keys.make_token_key()
    home.keys.switch_token_key(actor="ann", why="", force=False)
    home.clock.advance(60.0)
    home.renew()
    with pytest.raises(KeyChangeRefused, match="1 decisions were recorded"):
        home.keys.retire_token_key(1, actor="ann", why="", force=False)
    assert str(home.settings.keys_path / "token.key") == home.keys.retire_token_key(1, actor="ann", why="seen", force=True)
    assert [(2, "in use")] == [(each.epoch, each.state) for each in home.report("token")]
    assert [2] == [each.epoch for each in open_token_keys(home.settings).held()]


def test_a_partners_feed_key_has_an_epoch_of_its_own(home: Home) -> None:
    assert [1] == [each.epoch for each in home.report("feed:lender")]
    home.clock.advance(10 * DAY_S)
    assert 2 == home.keys.rotate_feed_key("lender", actor="ann", why="")
    (lender,) = home.report("feed:lender")
    assert (2, 0.0) == (lender.epoch, lender.age_days(home.clock.now()))
    with pytest.raises(NotFound):
        home.keys.rotate_feed_key("nobody", actor="ann", why="")


def test_a_seal_key_is_made_put_in_use_and_retired(home: Home) -> None:
    with pytest.raises(KeyChangeRefused, match="rotate seal"):
        home.keys.switch_seal_key()
    with pytest.raises(KeyChangeRefused, match="none that was left"):
        home.keys.retire_seal_key(1)
    made = home.keys.make_seal_key()
    assert (2, "next") == (made.epoch, made.state)
    assert made == home.keys.make_seal_key()
    assert (2, (1, 0)) == home.keys.switch_seal_key()
    assert ["in use", "leaving"] == [each.state for each in home.report("seal")]
    assert (2, (0, 0)) == home.keys.switch_seal_key()
    assert str(home.settings.keys_path / "seal.key") == home.keys.retire_seal_key(1)
    with open_registry(home.settings, open_token_keys(home.settings), home.clock) as registry:
        assert an_entry("k1").identifiers == registry.identity("court", "k1").identifiers


def test_a_folder_that_can_not_be_written_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(home_keys, "create_durably", refuse)
    with pytest.raises(SetupFault, match="Permission denied"):
        home.keys.make_token_key()
    with pytest.raises(SetupFault, match="Permission denied"):
        home.keys.make_seal_key()


def test_ages_of_the_keys_in_use_are_noted(home: Home) -> None:
    noted: list[dict[str, float]] = []

    class Counts:
        def ages(self, days: dict[str, float]) -> None:
            noted.append(days)

    home.keys.make_token_key()
    home.clock.advance(3 * DAY_S)
    stop = threading.Event()
    stop.set()
    home_keys.note_key_ages(home.keys, home.clock, Counts(), stop)  # type: ignore[arg-type]
    assert 3.0 == pytest.approx(noted[0]["token"])


def test_a_key_that_is_copied_while_a_process_runs_is_found_within_a_second(tmp_path: Path) -> None:
    clock = HandClock()
    keys = FolderTokenKeys(tmp_path, clock.monotonic)
    assert (None, ()) == (keys.of_epoch(2), keys.held())
    (tmp_path / "token.2.key").write_text("ab" * 32)
    (tmp_path / "token.02.key").write_text("ab" * 32)
    (tmp_path / "token.3.key").write_text("damaged")
    assert keys.of_epoch(2) is None
    clock.advance(1.0)
    assert [2] == [each.epoch for each in keys.held()]
    assert keys.of_epoch(2) is keys.held()[0]
    (tmp_path / "token.2.key").unlink()
    clock.advance(1.0)
    assert ((), None) == (keys.held(), keys.of_epoch(2))


def test_the_right_key_is_found_where_a_wrong_one_lay(tmp_path: Path) -> None:
    clock = HandClock()
    keys, file = FolderTokenKeys(tmp_path, clock.monotonic), tmp_path / "token.2.key"
    file.write_text("ab" * 32)
    wrong = keys.of_epoch(2)
    assert (wrong,) == keys.held()
    file.write_text("cd" * 32)
    assert wrong is keys.of_epoch(2)
    clock.advance(1.0)
    right = keys.of_epoch(2)
    assert Tokeniser(bytes.fromhex("cd" * 32), 2).fingerprint == getattr(right, "fingerprint", "")
    assert (right,) == keys.held()
    clock.advance(1.0)
    assert right is keys.of_epoch(2)


def test_a_token_key_that_is_missing_is_told_where_the_registry_is(home: Home) -> None:
    home.keys.make_token_key()
    home.keys.switch_token_key(actor="ann", why="", force=False)
    home.token_file(2).unlink()
    assert [(2, "missing"), (1, "leaving")] == [(each.epoch, each.state) for each in home.report("token")]
    assert home.report("feed:lender")


def test_a_next_key_that_is_damaged_is_neither_told_as_made_nor_put_in_use(home: Home) -> None:
    home.token_file(2).write_text("half of")
    waiting = home.settings.keys_path / "seal.2.key.next"
    waiting.write_text("half of")
    for act in (home.keys.make_token_key, home.keys.make_seal_key, home.keys.switch_seal_key):
        with pytest.raises(SetupFault, match="does not hold hexadecimal digits"):
            act()
    assert waiting.exists()
    with open_registry(home.settings, open_token_keys(home.settings), home.clock) as registry:
        registry.put_entry(an_entry("k2"), actor="ann")


def test_a_retired_key_whose_file_can_not_be_deleted_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.keys.make_token_key()
    home.keys.switch_token_key(actor="ann", why="", force=False)
    home.renew()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(SetupFault, match=r"can't be deleted \(Read-only file system\)"):
        home.keys.retire_token_key(1, actor="ann", why="", force=False)


def test_a_registry_that_lacks_the_key_in_use_is_not_ready_until_it_is_copied(home: Home) -> None:
    keys = open_token_keys(home.settings)
    with open_registry(home.settings, keys, home.clock) as registry:
        ready = token_key_check(registry.check_token_keys, vital=True)
        assert ready.fault() is None
        home.keys.make_token_key()
        home.keys.switch_token_key(actor="ann", why="", force=False)
        aside = home.token_file(2).rename(home.settings.keys_path / "aside")
        assert "copy token.2.key" in (ready.fault() or "")
        aside.rename(home.token_file(2))
        wait_for(lambda: ready.fault() is None, within_s=10.0, what="the look at the folder")


def test_a_retirement_that_was_killed_before_the_file_was_gone_is_ended_by_the_next(home: Home) -> None:
    home.keys.make_token_key()
    home.keys.switch_token_key(actor="ann", why="", force=False)
    home.renew()
    first = home.settings.keys_path / "token.key"
    content = first.read_text()
    home.keys.retire_token_key(1, actor="ann", why="", force=False)
    first.write_text(content)
    assert str(first) == home.keys.retire_token_key(1, actor="ann", why="", force=False)
    assert not first.exists()
    with pytest.raises(NotFound):
        home.keys.retire_token_key(1, actor="ann", why="", force=False)


def say(store: ValkeyAt, said: Acknowledgement) -> None:
    with closing(RedisSnapshotStore(store.url)) as written:
        written.acknowledge(said)


ON_THE_REGISTRY: dict[str, Callable[[FolderKeys], object]] = {
    "switch seal": lambda keys: keys.switch_seal_key(),
    "retire seal": lambda keys: keys.retire_seal_key(1),
    "make token": lambda keys: keys.make_token_key(),
    "switch token": lambda keys: keys.switch_token_key(actor="ann", why="gone", force=True),
    "retire token": lambda keys: keys.retire_token_key(1, actor="ann", why="gone", force=True),
    "rotate feed": lambda keys: keys.rotate_feed_key("lender", actor="ann", why=""),
}


@pytest.mark.parametrize("change", ON_THE_REGISTRY)
def test_no_key_is_changed_or_deleted_where_the_registry_is_not_and_none_is_made(tmp_path: Path, change: str) -> None:
    settings = Settings(home=tmp_path)
    ensure_keys(settings.keys_path)
    for name in ("seal.2.key", "token.2.key"):
        (settings.keys_path / name).write_text("ab" * 32)
    before = {file: file.read_bytes() for file in settings.keys_path.glob("*.key")}
    with pytest.raises(SetupFault, match=r"registry\.db is not there"):
        ON_THE_REGISTRY[change](FolderKeys(settings, HandClock()))
    assert before == {file: file.read_bytes() for file in settings.keys_path.glob("*.key")}
    assert not (tmp_path / "registry.db").exists()


def test_a_token_key_is_not_retired_where_the_journal_is_not_and_none_is_made(home: Home) -> None:
    file = home.leave_first_key()
    (home.settings.home / "journal.db").unlink()
    with pytest.raises(SetupFault, match=r"journal\.db is not there"):
        home.keys.retire_token_key(1, actor="ann", why="", force=False)
    assert (True, False) == (file.exists(), (home.settings.home / "journal.db").exists())


def test_a_token_key_stays_while_a_host_may_serve_a_snapshot_that_names_it(home: Home, store: ValkeyAt) -> None:
    before = home.head()
    file = home.leave_first_key()
    left, keys = home.head(), home.beside(store)
    say(store, Acknowledgement("gateway-1", 9, left, NOW))
    say(store, Acknowledgement("gateway-2", 8, left - 1, NOW))
    say(store, Acknowledgement("gateway-3", 2, before, NOW))
    with pytest.raises(KeyChangeRefused, match=r"^gateway-2, gateway-3 may serve a snapshot that names token\.key"):
        keys.retire_token_key(1, actor="ann", why="", force=False)
    assert [(2, "in use"), (1, "kept")] == [(each.epoch, each.state) for each in home.report("token")]
    with open_registry(home.settings, open_token_keys(home.settings), home.clock) as registry:
        home.clock.advance(1.0)
        registry.put_entry(an_entry("k2"), actor="ann")
    for host in ("gateway-2", "gateway-3"):
        say(store, Acknowledgement(host, 9, left, NOW))
    assert str(file) == keys.retire_token_key(1, actor="ann", why="", force=False)


def test_a_key_that_a_number_needed_stays_until_every_host_is_past_its_end(home: Home, store: ValkeyAt) -> None:
    number = RedressNumber(
        number_id="n1", list="court", key="k1", issued_by="rev", issued_at=NOW, case_id="", clearances=(b"c" * 16,)
    )
    with open_rights(home.settings, home.clock) as rights:
        rights.issue_number(number, note=StepNote(actor="ann", why="a namesake"))
    home.leave_first_key()
    left, keys = home.head(), home.beside(store)
    say(store, Acknowledgement("gateway-1", 9, left, NOW))
    home.clock.advance(1.0)
    with open_rights(home.settings, home.clock) as rights:
        rights.revoke_number("n1", note=StepNote(actor="ann", why="moved away"))
    with pytest.raises(KeyChangeRefused, match="gateway-1 may serve a snapshot"):
        keys.retire_token_key(1, actor="ann", why="", force=False)
    say(store, Acknowledgement("gateway-1", 10, home.head(), NOW))
    assert keys.retire_token_key(1, actor="ann", why="", force=False)


def test_nothing_is_switched_or_retired_while_no_host_was_heard_of_unless_it_is_forced(home: Home, store: ValkeyAt) -> None:
    keys = home.beside(store)
    keys.make_token_key()
    with pytest.raises(KeyChangeRefused, match="no host has said which keys it has; start a follower"):
        keys.switch_token_key(actor="ann", why="", force=False)
    assert 2 == keys.switch_token_key(actor="ann", why="no gateway is left", force=True)
    home.renew()
    with pytest.raises(KeyChangeRefused, match="no host has said which snapshot it serves; start a follower"):
        keys.retire_token_key(1, actor="ann", why="", force=False)
    assert keys.retire_token_key(1, actor="ann", why="no gateway is left", force=True)


def test_hosts_are_not_asked_about_a_retirement_in_a_home_that_nobody_can_follow(home: Home) -> None:
    home.leave_first_key()
    home.said = []
    assert home.keys.retire_token_key(1, actor="ann", why="", force=False)
    elsewhere = home.settings.model_copy(update={"registry_url": home.settings.registry_database_url})
    home.keys.make_token_key()
    home.said = None
    home.keys.switch_token_key(actor="ann", why="", force=False)
    home.renew()
    with pytest.raises(SetupFault, match="PORTCULLIS_REDIS_URL"):
        FolderKeys(elsewhere, home.clock).retire_token_key(2, actor="ann", why="", force=False)


def test_keys_whose_folder_can_not_be_looked_at_are_told_as_unreadable(tmp_path: Path) -> None:
    # Nobody may look here, not even root: the name is longer than any.
    keys = FolderKeys(Settings(home=tmp_path, keys_dir=tmp_path / ("k" * 300)), HandClock())
    assert {"token", "seal", "feed", "entry", "record", "journal"} == {each.name for each in keys.report()}
    assert {"unreadable"} == {each.state for each in keys.report()}
    with pytest.raises(SetupFault, match="can't be read"):
        keys.make_seal_key()


def test_a_report_that_breaks_does_not_end_the_noting_of_ages(home: Home) -> None:
    class Broken:
        def __init__(self) -> None:
            self.asked = 0

        def report(self) -> list[HomeKey]:
            self.asked += 1
            raise PermissionError(13, "Permission denied")

    class Stop(threading.Event):
        rounds = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.rounds += 1
            return self.rounds == 2

    keys, stop, counts = Broken(), Stop(), KeyMetrics(CollectorRegistry())
    with capture_logs() as logs:
        home_keys.note_key_ages(keys, home.clock, counts, stop)  # type: ignore[arg-type]
    assert (2, ["PermissionError"] * 2) == (keys.asked, [each["fault"] for each in logs])
