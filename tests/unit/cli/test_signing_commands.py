"""``portcullis keys``, on homes of real files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from securesystemslib.signer import CryptoSigner

from portcullis.cli.app import execute
from portcullis.mains.wiring import ProcessWiring
from tests.support.clocks import HandClock
from tests.support.command_lines import REPOSITORY, parse, shell_lines
from tests.support.policies import NOW
from tests.support.trust_folders import Ceremonies, follow_roots, sign_as

DAY_S = 86_400

SHOWN = """\
role        needs   key       private key                         made        version        expires
root        2 of 3  816219ae  file:offline/root-1.pem             2027-01-15  1              2029-01-14, 730 days
                    a5834aff  file:offline/root-2.pem (not here)
                    a3a224f0  file:offline/root-3.pem             2027-01-15
targets     1 of 1  bb8321f6  file:offline/targets.pem            2027-01-15  1800000000000  2029-01-14, 730 days
snapshot    1 of 1  47257b89  file:online/snapshot.pem            2027-01-15
timestamp   1 of 1  8e44f287  file:online/timestamp.pem           2027-01-15
head        1 of 1  9395ce4a  file:online/head.pem                2027-01-15
list:court  1 of 1  793f211a  file:online/lists/court.pem         2027-01-15
"""


class Home:
    """A home, its keys the same in every run, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.trust = Ceremonies(folder / "keys" / "trust")

    def run(self, *arguments: str) -> int:
        return execute(["keys", *arguments, "--home", str(self.folder)], ProcessWiring(self.clock))

    def file(self, name: str) -> Path:
        return self.folder / "keys" / "trust" / name


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def made(home: Home) -> Home:
    home.trust.work.establish(["court"])
    for path in home.folder.rglob("*.pem"):
        os.utime(path, (NOW, NOW))
    return home


def public_half(folder: Path) -> Path:
    private = load_pem_private_key(CryptoSigner.generate_ed25519().private_bytes, None)
    file = folder / "authority.pub"
    file.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


def test_init_makes_everything_and_says_what_to_move_away(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == home.run("init", "--list", "court", "--list", "bikes")
    said = capsys.readouterr()
    keys = home.folder / "keys"
    offline = [str(home.file(f"offline/{name}.pem")) for name in ("root-1", "root-2", "root-3", "targets")]
    online = [
        str(home.file(f"online/{name}.pem")) for name in ("head", "lists/bikes", "lists/court", "snapshot", "timestamp")
    ]
    made = [
        *(str(keys / f"{name}.key") for name in ("token", "feed", "seal", "entry", "record", "journal")),
        *offline,
        *online,
    ]
    signed = [str(home.file(name)) for name in ("targets.json", "1.root.json")]
    assert [f"made    {path}" for path in made] + [f"signed  {path}" for path in signed] == said.out.splitlines()
    assert [f"portcullis:   {path}" for path in offline] == said.err.splitlines()[1:]
    assert "move these away from this host" in said.err.splitlines()[0]
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in keys.rglob("*") if path.is_file()}
    for role in ("timestamp", "snapshot", "head", "list-court", "list-bikes"):
        sign_as(home.trust.directory, role)


def test_init_again_changes_nothing(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == made.run("init")
    capsys.readouterr()
    before = {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    assert 0 == made.run("init", "--list", "court")
    assert ("keys  all there; nothing was changed\n", "") == capsys.readouterr()
    assert before == {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}


def test_init_puts_the_offline_keys_where_one_says(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == home.run("init", "--offline", str(tmp_path / "stick"), "--root-keys", "5", "--root-threshold", "4")
    assert "" == capsys.readouterr().err
    names = {"root-1.pem", "root-2.pem", "root-3.pem", "root-4.pem", "root-5.pem", "targets.pem"}
    assert names == {path.name for path in (tmp_path / "stick").iterdir()}
    assert not home.file("offline").exists()
    assert 4 == follow_roots(home.trust.directory.roots()).roles["root"].threshold


def test_init_answers_with_one_document(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == home.run("init", "--root-keys", "1", "--json")
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert "" == said.err
    assert ["deleted", "made", "offline", "replaced", "retired", "signed"] == sorted(document)
    assert [str(home.file("offline/root-1.pem")), str(home.file("offline/targets.pem"))] == document["offline"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["init", "--root-threshold", "4"], "root can't need 4 of 3 keys"),
        (["init", "--root-keys", "0"], "--root-keys"),
        (["init", "--list", "Court"], "list: must be small letters"),
        (["rotate", "head"], "make the keys with `portcullis keys init`"),
        (["rotate", "record"], "record: can't be rotated yet"),
        (["rotate", "set"], "portcullis stream rotate-key"),
        (["rotate", "heads"], "role: must be root, targets, snapshot, timestamp, head or list:NAME"),
        (["rotate", "head", "--public-key", "/nowhere/key.pub"], "--public-key"),
        (["rotate", "root", "--renew", "--uri", "file:key.pem"], "leave --uri and --public-key out"),
        (["show"], "make the keys with `portcullis keys init`"),
    ],
)
def test_what_can_not_be_done_says_why_in_one_line(
    home: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert 2 == home.run(*arguments)
    printed = capsys.readouterr()
    assert "" == printed.out
    (line,) = printed.err.splitlines()
    assert said in line


def test_rotate_gives_a_new_key(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (old,) = made.trust.keys("list:court")
    assert 0 == made.run("rotate", "list:court")
    (new,) = made.trust.keys("list:court")
    said = capsys.readouterr()
    assert [
        f"made      {made.file('online/lists/court.2.pem')}",
        f"signed    {made.file('targets.json')}",
        f"replaced  list:court: {old[:8]} -> {new[:8]}",
        f"deleted   {made.file('online/lists/court.pem')}",
    ] == said.out.splitlines()
    assert "" == said.err
    sign_as(made.trust.directory, "list-court")


def test_rotating_root_names_what_to_move_away_and_what_to_destroy(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == made.run("rotate", "root")
    said = capsys.readouterr().err.splitlines()
    named = [line.removeprefix("portcullis:   ") for line in said if line.startswith("portcullis:   ")]
    assert [str(made.file(f"offline/root-{number}.pem")) for number in (4, 5, 6, 1, 2, 3)] == named
    assert "no longer trusted; destroy every copy" in said[4]


def test_rotate_needs_the_offline_keys_and_finds_them_where_one_says(
    made: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.file("offline").rename(tmp_path / "stick")
    assert 2 == made.run("rotate", "timestamp")
    assert "root must sign with 2 of its 3 keys, and none can be used here" in capsys.readouterr().err
    assert 0 == made.run("rotate", "timestamp", "--offline", str(tmp_path / "stick"))
    sign_as(made.trust.directory, "timestamp")


def test_rotate_renews_what_expires(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    made.clock.advance(700 * DAY_S)
    for role in ("root", "targets"):
        assert 0 == made.run("rotate", role, "--renew", "--json")
        assert [] == json.loads(capsys.readouterr().out)["made"]
    assert {made.clock.now() + 730 * DAY_S} == set(made.trust.directory.expiries().values())


def test_rotate_refuses_a_list_that_has_no_key(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == made.run("rotate", "list:cuort")
    assert "`portcullis keys init --list cuort`" in capsys.readouterr().err


def test_rotate_gives_a_list_to_its_authority(made: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == made.run("rotate", "list:court", "--public-key", str(public_half(tmp_path)))
    assert () == made.trust.directory.signers("list-court")
    assert "can no longer sign list:court: the list stands still" in capsys.readouterr().err


def test_show_tells_where_each_key_is_and_never_a_byte_of_it(
    made: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.file("offline/root-2.pem").unlink()
    assert 0 == made.run("init", "--list", "own")
    assert 0 == made.run("rotate", "list:own", "--public-key", str(public_half(tmp_path)))
    private = [line for path in made.folder.rglob("*.pem") for line in path.read_text().splitlines()[1:-1]]
    capsys.readouterr()
    for arguments in (["show"], ["show", "--json"]):
        assert 0 == made.run(*arguments)
        shown = capsys.readouterr().out
        assert [] == [line for line in private if line in shown]


def test_show_is_a_table(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    made.file("offline/root-2.pem").unlink()
    assert 0 == made.run("show")
    assert SHOWN == capsys.readouterr().out


def test_show_gives_whole_ids_and_times_in_its_document(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == made.run("show", "--json")
    root, targets, *others = json.loads(capsys.readouterr().out)
    (key, *_) = root["keys"]
    assert {"role": "root", "threshold": 2, "version": 1, "expires_at": NOW + 730 * DAY_S, "days_left": 730} == {
        name: value for name, value in root.items() if name != "keys"
    }
    assert {"uri": "file:offline/root-1.pem", "state": "here", "made_at": NOW, "fault": ""} == {
        name: value for name, value in key.items() if name != "key_id"
    }
    assert 64 == len(key["key_id"])
    assert NOW * 1000 == targets["version"]
    assert ["snapshot", "timestamp", "head", "list:court"] == [each["role"] for each in others]
    assert {None} == {each["expires_at"] for each in others}


@pytest.mark.parametrize(
    ("after_days", "said"),
    [
        (669, []),
        (671, ["expires in 59 days"]),
        (731, ["has expired, and followers refuse it"]),
    ],
)
def test_show_warns_before_what_people_sign_expires(
    made: Home, capsys: pytest.CaptureFixture[str], after_days: int, said: list[str]
) -> None:
    made.clock.advance(after_days * DAY_S)
    assert 0 == made.run("show")
    assert [
        f"portcullis: {role} {each}; sign it anew with `portcullis keys rotate {role} --renew`"
        for role in ("root", "targets")
        for each in said
    ] == capsys.readouterr().err.splitlines()


def test_show_names_a_key_that_can_not_be_used(made: Home, capsys: pytest.CaptureFixture[str]) -> None:
    made.file("online/snapshot.pem").write_text("damaged")
    assert 0 == made.run("show")
    said = capsys.readouterr()
    assert "file:online/snapshot.pem (unusable)" in said.out
    assert "portcullis: snapshot: the key file" in said.err


def test_the_commands_of_the_guide_parse() -> None:
    page = REPOSITORY / "docs" / "how-to" / "signing-keys.md"
    shown = [words[1:] for words in shell_lines(page) if words[0] == "portcullis"]

    assert {"init", "rotate", "show"} == {words[1] for words in shown}
    for words in shown:
        parse([str(page) if word == "court.pub" else word for word in words])
