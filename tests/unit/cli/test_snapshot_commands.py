"""`portcullis snapshot` on a home of real parts: signed files in a Valkey, a replica, the publisher's log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.generations import open_environment
from portcullis.adapters.redis.store import TARGET_KEY
from portcullis.cli.histories import last_lines
from portcullis.domain.history import ListChange, Version
from portcullis.domain.multisets import EMPTY
from portcullis.publisher.history import History
from portcullis.registry.policy_files import load_policy
from tests.support.command_homes import install_snapshot, make_home, portcullis, write_policy
from tests.support.published_homes import PublishedHome, body, token
from tests.support.valkey import ValkeyAt, running_valkey

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyAt]:
    with running_valkey() as server:
        yield server


@pytest.fixture
def published(tmp_path: Path, valkey: ValkeyAt, monkeypatch: pytest.MonkeyPatch) -> PublishedHome:
    """Two lists, of which one changed three times and the other once, with nobody's replica yet."""
    valkey.flush()
    monkeypatch.setenv("PORTCULLIS_REDIS_URL", valkey.url)
    home = PublishedHome(make_home(tmp_path / "home"), valkey.url, "court", "carriers")
    home.publish(100, {"court": {1: body(1), 2: body(2), 3: body(3)}, "carriers": {1: body(900)}})
    home.publish(110, {"court": {2: body(2, until=1_900_000_000), 4: body(4, 5)}})
    home.publish(120, {"carriers": {7: body(907)}})
    home.publish(130, {"court": {1: b"", 4: body(4)}})
    home.publish(140, {"court": {1: body(1), 3: b""}})
    return home


def run(home: PublishedHome, *arguments: str) -> int:
    return portcullis("snapshot", *arguments, "--home", str(home.home))


def document(home: PublishedHome, capsys: Capture, *arguments: str, code: int = 0) -> Any:
    assert code == run(home, *arguments, "--json")
    return json.loads(capsys.readouterr().out)


# --- show ---------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_shown_with_its_lists(tmp_path: Path, capsys: Capture) -> None:
    install_snapshot(tmp_path, version=7, policy=load_policy(write_policy(tmp_path / "policy")))

    assert 0 == portcullis("snapshot", "show", "--home", str(tmp_path))
    shown = capsys.readouterr().out
    assert 0 == portcullis("snapshot", "show", "--home", str(tmp_path), "--json")
    told = json.loads(capsys.readouterr().out)

    assert shown.startswith("snapshot     7\n")
    number, version, records, _age, _unit, digest = shown.splitlines()[-1].removeprefix("court").split()
    assert ("1", "7", "0", EMPTY[:12]) == (number, version, records, digest)
    (court,) = told["lists"]
    assert ("7", "court", "Demonstration Court") == (told["version"], court["name"], court["authority"])
    assert (1, "7", 0, EMPTY, None) == tuple(
        court[name] for name in ("number", "version", "records", "digest", "stalled_at")
    )
    assert 0 <= told["vouched_age_s"] < 60
    assert court["age_s"] == told["vouched_age_s"]
    assert told["published_at"] <= SystemClock().now()


def test_a_list_that_the_publisher_cannot_bring_up_to_date_is_as_old_as_that(
    published: PublishedHome, capsys: Capture
) -> None:
    stalled_at = published.clock.now() - 7_000_000
    edition = published.edition()
    lists = (msgspec.structs.replace(edition.lists[0], stalled_at=stalled_at), *edition.lists[1:])
    published.install(msgspec.structs.replace(edition, lists=lists))

    assert 0 == run(published, "show")
    court, carriers = (line for line in capsys.readouterr().out.splitlines() if line.startswith("c"))
    told = {each["name"]: each for each in document(published, capsys, "show")["lists"]}

    assert "81.0 d" in court
    assert "past its greatest age, stalled since 20" in court
    assert "stalled" not in carriers
    assert (stalled_at, 7_000_000) == (told["court"]["stalled_at"], round(told["court"]["age_s"], -2))
    assert told["carriers"]["age_s"] < 60


def test_an_empty_replica_says_so(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "replica").mkdir()

    assert 1 == portcullis("snapshot", "show", "--home", str(tmp_path))
    assert "no snapshot has arrived yet" in capsys.readouterr().err


# --- log ----------------------------------------------------------------------------------------------------------------


def note(version: int, *lists: ListChange) -> Version:
    return Version(version=version, published_at=1_780_000_000.0 + version, registry_seq=version, lists=lists)


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    """A home with nothing but the publisher's log, in two files."""
    folder = tmp_path / "publisher" / "repository"
    folder.mkdir(parents=True)
    history = History(folder)
    history.note(note(100, ListChange(list="court", kind="base", records=40_000, changes=40_000, bytes=1_720_004)))
    (folder / "log.jsonl").rename(folder / "log.1.jsonl")
    history = History(folder)
    history.note(note(110, ListChange(list="court", kind="delta", records=40_001, changes=2, bytes=90)))
    history.note(note(120))
    history.note(note(130, ListChange(list="court", kind="rework", records=40_001, folded=64, compacted=True)))
    return tmp_path


def test_the_log_is_the_publishers_where_it_is_here(noted: Path, capsys: Capture) -> None:
    assert 0 == portcullis("snapshot", "log", "--home", str(noted))
    lines = capsys.readouterr().out.splitlines()

    assert ["130", "120", "110", "100"] == [line.split()[0] for line in lines[1:]]
    assert "court  rework, 64 folded, compacted           40,001" in lines[1]
    assert lines[2].startswith("120      2026-05-28 20:28:40 UTC")
    assert lines[4].split()[-5:] == ["court", "base", "40,000", "40,000", "1,720,004"]


def test_the_log_goes_back_no_farther_than_it_is_asked(noted: Path, capsys: Capture) -> None:
    assert 0 == portcullis("snapshot", "log", "--limit", "2", "--home", str(noted), "--json")
    told = json.loads(capsys.readouterr().out)

    assert ["130", "120"] == [each["version"] for each in told]
    assert {
        "list": "court",
        "kind": "rework",
        "records": 40_001,
        "changes": 0,
        "bytes": 0,
        "folded": 64,
        "compacted": True,
    } == (told[0]["lists"][0])


def test_a_version_without_a_list_says_why_it_is(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "publisher" / "repository"
    folder.mkdir(parents=True)
    history = History(folder)
    for version, seq in ((100, 1), (110, 2), (120, 2)):
        history.note(Version(version=version, published_at=1_780_000_000.0, registry_seq=seq, lists=()))

    assert 0 == portcullis("snapshot", "log", "--limit", "2", "--home", str(tmp_path))
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [["120", "signed anew"], ["110", "head"]] == [[line.split()[0], line.split("UTC")[1].strip()] for line in lines]


def test_a_torn_line_of_the_log_hides_no_other(noted: Path, capsys: Capture) -> None:
    with (noted / "publisher" / "repository" / "log.jsonl").open("ab") as log:
        log.write(b'{"version":14')

    assert 0 == portcullis("snapshot", "log", "--home", str(noted))
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith("130")
    assert "1 lines of the publisher's log can't be read" in captured.err


def test_the_last_lines_of_a_long_file_come_first(tmp_path: Path) -> None:
    file = tmp_path / "long"
    lines = [str(number).encode() * (number % 40) for number in range(9_000)]
    file.write_bytes(b"\n".join(lines) + b"\n")

    assert [line for line in reversed(lines) if line] == list(last_lines(file))


def test_the_log_of_a_host_that_only_follows_is_what_the_store_tells(published: PublishedHome, capsys: Capture) -> None:
    told = document(published, capsys, "log")

    assert ["140", "130", "120", "110", "100"] == [each["version"] for each in told]
    assert [["court"], ["court"], ["carriers"], ["court"], ["court", "carriers"]] == [
        [change["list"] for change in each["lists"]] for each in told
    ]
    assert ("delta", 2, 3) == tuple(told[0]["lists"][0][name] for name in ("kind", "changes", "records"))
    assert ("base", 3, 3) == tuple(told[-1]["lists"][0][name] for name in ("kind", "changes", "records"))
    assert told[0]["published_at"] == published.head.published_at
    assert told[1]["published_at"] is None


def test_the_log_tells_how_many_deltas_were_folded(published: PublishedHome, capsys: Capture) -> None:
    published.fold("court", 2, 150)

    assert 0 == run(published, "log", "--limit", "3")
    lines = capsys.readouterr().out.splitlines()

    assert ["150", "140", "130"] == [line.split()[0] for line in lines[1:]]
    assert "delta, 2 folded" in lines[3]


# --- diff ---------------------------------------------------------------------------------------------------------------


def tokens(court: dict[str, Any]) -> tuple[int, int, int]:
    return court["tokens"]["added"], court["tokens"]["removed"], court["tokens"]["changed"]


def entries(court: dict[str, Any]) -> tuple[list[int], list[int], list[int]]:
    return court["entries"]["gained"], court["entries"]["lost"], court["entries"]["changed"]


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (100, 110, ((1, 0, 1), ([4, 5], [], [2]))),
        (100, 119, ((1, 0, 1), ([4, 5], [], [2]))),
        (110, 130, ((0, 1, 1), ([], [1, 5], []))),
        (100, 140, ((1, 1, 1), ([4], [3], [2]))),
        (110, 140, ((0, 1, 1), ([], [3, 5], []))),
        (140, 140, ((0, 0, 0), ([], [], []))),
        (110, 120, ((0, 0, 0), ([], [], []))),
    ],
)
def test_a_difference_is_the_net_change_of_each_list(
    published: PublishedHome,
    capsys: Capture,
    earlier: int,
    later: int,
    expected: tuple[tuple[int, int, int], tuple[list[int], list[int], list[int]]],
) -> None:
    told = document(published, capsys, "diff", str(earlier), str(later))
    court, carriers = told["lists"]

    assert (str(earlier), str(later)) == (told["from"], told["to"])
    assert expected == (tokens(court), entries(court))
    assert (1 if earlier < 120 <= later else 0, 0, 0) == tokens(carriers)


def test_a_difference_is_shown_without_a_token_or_a_case(published: PublishedHome, capsys: Capture) -> None:
    assert 0 == run(published, "diff", "100", "140")
    lines = capsys.readouterr().out.splitlines()

    assert ["court", "1", "1", "1", "4", "3", "2"] == lines[1].split()
    assert ["carriers", "1", "0", "0", "907", "-", "-"] == lines[2].split()
    assert "secret" not in "".join(lines)
    assert token(4).hex() not in "".join(lines)


def test_many_entries_are_named_in_json_alone(published: PublishedHome, capsys: Capture) -> None:
    published.publish(150, {"court": {number: body(number) for number in range(50, 150)}})

    assert 0 == run(published, "diff", "140", "150")
    assert "58 59 and 90 more  -" in capsys.readouterr().out
    assert list(range(50, 150)) == document(published, capsys, "diff", "140", "150")["lists"][0]["entries"]["gained"]


def test_what_was_folded_away_is_not_known_and_what_can_be_compared_is_named(
    published: PublishedHome, capsys: Capture
) -> None:
    published.fold("court", 2, 150)

    assert 1 == run(published, "diff", "115", "140")
    captured = capsys.readouterr()
    assert "portcullis: court: not known in 115; versions that can be compared: 100, 130 to 150\n" == captured.err
    assert ["carriers", "1", "0", "0", "907", "-", "-"] == captured.out.splitlines()[1].split()

    court, carriers = document(published, capsys, "diff", "115", "140", code=1)["lists"]
    assert {"name": "court", "unknown": "115"} == {name: court[name] for name in ("name", "unknown")}
    assert [{"first": "100", "last": "100"}, {"first": "130", "last": "150"}] == court["comparable"]
    assert (1, 0, 0) == tokens(carriers)
    assert (1, 1, 1) == tokens(document(published, capsys, "diff", "100", "140")["lists"][0])


@pytest.mark.parametrize(("earlier", "later", "unknown"), [("99", "140", "99"), ("100", "141", "141")])
def test_a_version_before_the_base_or_after_the_present_is_not_known(
    published: PublishedHome, capsys: Capture, earlier: str, later: str, unknown: str
) -> None:
    assert 1 == run(published, "diff", earlier, later)
    assert f"not known in {unknown}; versions that can be compared: 100 to 140" in capsys.readouterr().err


def test_what_is_unknown_of_every_list_alike_is_said_once_and_without_a_table(
    published: PublishedHome, capsys: Capture
) -> None:
    assert 1 == run(published, "diff", "99", "140")
    captured = capsys.readouterr()
    assert "" == captured.out
    assert "portcullis: every list: not known in 99; versions that can be compared: 100 to 140\n" == captured.err


def test_lists_without_a_change_are_left_out(published: PublishedHome, capsys: Capture) -> None:
    assert 0 == run(published, "diff", "130", "140")
    head, *lines = capsys.readouterr().out.splitlines()
    assert "tokens added" in head
    assert ["court"] == [line.split()[0] for line in lines]

    assert 0 == run(published, "diff", "140", "140")
    assert "no change\n" == capsys.readouterr().out


def test_the_later_version_first_is_wrong_usage(published: PublishedHome, capsys: Capture) -> None:
    assert 2 == run(published, "diff", "140", "100")
    assert "the earlier version comes first" in capsys.readouterr().err


# --- verify -------------------------------------------------------------------------------------------------------------


def refusals(told: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["refusal"] for each in told["findings"]}


def test_the_roots_of_the_store_and_of_the_follower_are_told(published: PublishedHome, capsys: Capture) -> None:
    assert (1, None) == tuple(document(published, capsys, "verify")[name] for name in ("store_root", "followed_root"))
    published.install()
    trust = published.home / "replica" / "trust"
    trust.mkdir()
    shutil.copy(published.home / "keys" / "trust" / "1.root.json", trust / "root.json")

    assert (1, 1) == tuple(document(published, capsys, "verify")[name] for name in ("store_root", "followed_root"))
    assert 0 == run(published, "verify")
    first, *_, last = capsys.readouterr().out.splitlines()
    assert "ok    metadata: snapshot 140, signed as root 1 demands" == first
    assert "      the follower of this host trusts root 1" == last


def test_everything_that_is_right_is_proven(published: PublishedHome, capsys: Capture) -> None:
    published.install()

    assert 0 == run(published, "verify")
    lines = capsys.readouterr().out.splitlines()
    told = document(published, capsys, "verify")

    assert ["metadata:", "court:", "carriers:", "head:", "replica:"] == [line.split()[1] for line in lines]
    assert all(line.startswith("ok  ") for line in lines)
    digest = published.manifests["court"].digest[:12]
    assert f"ok    court: version 140, 3 records of a base and 3 deltas, digest {digest}" in lines
    assert "ok    replica: snapshot 140, 5 records in 2 lists" in lines
    assert {""} == set(refusals(told).values())
    assert ["home"] == [each.name for each in published.home.parent.iterdir()]
    assert not list(published.home.glob("proving-*"))


def test_a_store_is_proven_where_there_is_no_replica(published: PublishedHome, capsys: Capture) -> None:
    assert 0 == run(published, "verify")
    assert capsys.readouterr().out.splitlines()[-1].strip() == "there is no replica on this host to prove"


def test_a_list_of_folded_deltas_is_proven_too(published: PublishedHome, capsys: Capture) -> None:
    published.fold("court", 3, 150)

    assert {"metadata", "court", "carriers", "head"} == refusals(document(published, capsys, "verify")).keys()


def test_a_damaged_file_of_one_list_is_found_and_hides_nothing_else(
    published: PublishedHome, valkey: ValkeyAt, capsys: Capture
) -> None:
    published.install()
    with valkey.client() as client:
        (damaged,) = client.keys(f"{TARGET_KEY}*delta-100-120")
        client.hset(damaged, "0", b"x" + client.hget(damaged, "0")[1:])
        (gone,) = client.keys(f"{TARGET_KEY}*court/*base-100")
        client.delete(gone)

    assert 1 == run(published, "verify")
    assert "fail  carriers: " in capsys.readouterr().out
    found = refusals(document(published, capsys, "verify", code=1))
    assert {"metadata": "", "court": "target-missing", "carriers": "target-digest", "head": "", "replica": ""} == found


def test_a_list_that_its_own_key_signed_wrongly_is_found(published: PublishedHome, capsys: Capture) -> None:
    carriers = published.manifests["carriers"]
    published.manifests["carriers"] = msgspec.structs.replace(carriers, digest=published.manifests["court"].digest)
    published.sign(150)

    assert "digest-mismatch" == refusals(document(published, capsys, "verify", code=1))["carriers"]


def test_a_count_that_is_wrong_in_a_manifest_is_found(published: PublishedHome, capsys: Capture) -> None:
    court = published.manifests["court"]
    deltas = (msgspec.structs.replace(court.deltas[0], changes=9), *court.deltas[1:])
    published.manifests["court"] = msgspec.structs.replace(court, deltas=deltas)
    published.sign(150)

    assert "manifest-malformed" == refusals(document(published, capsys, "verify", code=1))["court"]


def test_a_body_in_the_replica_that_is_another_is_found(published: PublishedHome, capsys: Capture) -> None:
    published.install()
    (generation,) = (published.home / "replica" / "generations").iterdir()
    environment = open_environment(generation, create=False)
    with environment.begin(write=True) as transaction:
        tokens_db = environment.open_db(b"tokens", txn=transaction, create=False)
        value = transaction.get(token(2), db=tokens_db)
        transaction.put(token(2), value.replace(b"secret-case-2", b"secret-case-3"), db=tokens_db)
    environment.close()

    assert 1 == run(published, "verify")
    assert "list court is not what the replica's edition says" in capsys.readouterr().out


def test_a_replica_newer_than_the_store_is_found(published: PublishedHome, capsys: Capture) -> None:
    published.install(msgspec.structs.replace(published.edition(), version=141))

    assert "rollback" == refusals(document(published, capsys, "verify", code=1))["replica"]


def test_a_replica_behind_the_store_is_none_the_worse(published: PublishedHome, capsys: Capture) -> None:
    published.install()
    published.publish(150, {"court": {9: body(9)}})

    assert "" == refusals(document(published, capsys, "verify"))["replica"]


def test_another_snapshot_of_the_same_version_is_found(published: PublishedHome, capsys: Capture) -> None:
    published.install(msgspec.structs.replace(published.edition(), registry_seq=77))

    assert "equivocation" == refusals(document(published, capsys, "verify", code=1))["replica"]


def test_an_empty_store_is_found(published: PublishedHome, valkey: ValkeyAt, capsys: Capture) -> None:
    published.install()
    valkey.flush()

    found = refusals(document(published, capsys, "verify", code=1))
    assert found["metadata"]
    assert found["replica"] == ""


def test_nothing_is_proven_without_a_root(published: PublishedHome, capsys: Capture) -> None:
    (published.home / "keys" / "trust" / "1.root.json").unlink()

    assert 2 == run(published, "verify")
    assert "PORTCULLIS_TRUSTED_ROOT" in capsys.readouterr().err
