"""The keys of a home: what is told of them, and how one takes another's place on this host."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from portcullis.config import Settings
from portcullis.domain.errors import KeyChangeRefused, NotFound, SetupFault
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.mains import home_keys
from portcullis.mains.home_keys import FolderKeys
from portcullis.mains.keys import ensure_keys
from portcullis.mains.parts import open_journal, open_registry, open_token_keys
from portcullis.mains.readiness import token_key_check
from portcullis.mains.token_keys import FolderTokenKeys
from portcullis.ports.home_keys import HomeKey, HostKeys
from portcullis.registry.token_renewal import TokenRenewer
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.policies import NOW, a_list
from tests.support.processes import wait_for
from tests.support.registry_entries import an_entry

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
        self.said: list[HostKeys] = []
        monkeypatch.setattr(self.keys, "hosts", lambda: self.said)

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
    home.said = [HostKeys("gateway-1", (fingerprint,), NOW), HostKeys("gateway-2", (), NOW)]
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
