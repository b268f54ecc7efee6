"""The commands on the registry and journal, on a home of real parts."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from portcullis.config import Settings
from portcullis.mains.parts import open_journal
from portcullis.mains.wiring import ProcessWiring
from tests.support.command_homes import COURT, make_home, portcullis, record_decision, write_policy

SUBJECT = "A1234567"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, policy: Path) -> Path:
    home = make_home(tmp_path_factory.mktemp("state") / "home")
    assert 0 == portcullis("policy", "apply", str(policy), "--home", str(home))
    return home


def row(case: str, value: str = SUBJECT) -> str:
    return json.dumps(
        {
            "key": case,
            "subject_type": "person",
            "identifiers": [{"kind": "passport", "value": value, "country": "XA"}],
            "case_reference": case,
            "valid_from": "2026-01-01",
            "until": "2027-06-01",
        }
    )


def import_rows(home: Path, file: Path, *lines: str, options: tuple[str, ...] = ()) -> int:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return portcullis("import", "--list", "court", "--format", "jsonl", str(file), "--home", str(home), *options)


def test_a_good_policy_is_summed_up(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis("policy", "check", str(policy))
    assert capsys.readouterr().out == "1 lists with 1 measures, 1 actions, 1 partners\n"


def test_a_faulty_policy_says_where_what_and_instead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = write_policy(tmp_path, {"lists/court.toml": COURT.replace('on_stale = "ALLOW"\n', "")})

    assert 1 == portcullis("policy", "check", str(faulty))
    shown = capsys.readouterr().out
    assert 1 == portcullis("policy", "check", str(faulty), "--json")
    document = json.loads(capsys.readouterr().out)

    assert "error: lists/court.toml" in shown
    assert "on_stale" in shown
    assert not document["loads"]
    assert {"where", "what", "instead", "warning"} == set(document["problems"][0])


def test_a_faulty_policy_is_not_applied(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = write_policy(tmp_path, {"lists/court.toml": "nonsense"})

    assert 1 == portcullis("policy", "apply", str(faulty), "--home", str(home))
    capsys.readouterr()
    assert 0 == portcullis("policy", "show", "--home", str(home), "--json")

    assert ["court"] == [each["name"] for each in json.loads(capsys.readouterr().out)["lists"]]


def test_the_same_policy_again_changes_nothing(policy: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis("policy", "apply", str(policy), "--home", str(home))
    assert "in force already" in capsys.readouterr().out
    assert 0 == portcullis("policy", "apply", str(policy), "--home", str(home), "--json")
    assert not json.loads(capsys.readouterr().out)["changed"]


def test_the_policy_in_force_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis("policy", "show", "--home", str(home))

    shown = capsys.readouterr().out
    assert "RESTRICT  loans: loan.apply" in shown
    assert "lender   lending   court" in shown


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--home", str(home))

    assert 0 == portcullis("partner", "key", "new", "lender", "--note", "checkout", *where)
    key = capsys.readouterr().out.strip()
    assert 0 == portcullis("partner", "key", "list", "lender", "--json", *where)
    listed = capsys.readouterr().out
    (made,) = json.loads(listed)
    assert 0 == portcullis("partner", "key", "revoke", made["key_id"], *where)
    assert 0 == portcullis("partner", "key", "list", *where)
    table = capsys.readouterr().out

    assert key.startswith(f"pcl_{made['key_id']}_")
    assert key not in listed
    assert ("lender", "partner", "checkout", None) == (made["holder"], made["role"], made["note"], made["revoked_at"])
    assert 2 == table.count(" UTC")


def test_a_key_is_rotated_and_its_end_is_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--home", str(home))
    assert 0 == portcullis("partner", "key", "new", "olga", "--role", "operator", "--expires", "90d", "--json", *where)
    made = json.loads(capsys.readouterr().out)
    assert 0 == portcullis("partner", "key", "rotate", made["key_id"], "--overlap", "36h", "--json", *where)
    successor = json.loads(capsys.readouterr().out)
    assert 0 == portcullis("partner", "key", "list", "olga", "--json", *where)
    before, after = json.loads(capsys.readouterr().out)
    assert 0 == portcullis("partner", "key", "list", "olga", *where)
    table = capsys.readouterr().out

    assert made["expires_at"] - made["created_at"] == pytest.approx(90 * 86_400, abs=5)
    assert before["expires_at"] - successor["created_at"] == pytest.approx(36 * 3_600, abs=5)
    assert (successor["key_id"], "", successor["expires_at"]) == (
        before["successor"],
        after["successor"],
        after["expires_at"],
    )
    assert f"UTC, then {successor['key_id']}" in table
    assert 2 == table.count(" 0 d ")


@pytest.mark.parametrize("written", ["90", "d", "1y", "-1d", "1.5d", ""])
def test_what_is_no_duration_is_wrong_usage(home: Path, written: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("partner", "key", "new", "lender", "--expires", written, "--home", str(home))
    assert "as 90d, 12h, 15m or 30s" in capsys.readouterr().err


def test_a_certificate_is_revoked_and_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--home", str(home))
    assert 0 == portcullis("partner", "certificate", "list", *where)
    assert 0 == portcullis("partner", "certificate", "revoke", "0A:1B", "--note", "lost", *where)
    assert 0 == portcullis("partner", "certificate", "list", "--json", *where)
    none, revoked, listed = capsys.readouterr().out.split("\n", 2)

    assert ("revoked certificates  none", "revoked a1b") == (none, revoked)
    assert [("a1b", "lost")] == [(each["certificate"], each["note"]) for each in json.loads(listed)]
    assert 2 == portcullis("partner", "certificate", "revoke", "nonsense", *where)
    assert "openssl x509 -noout -serial" in capsys.readouterr().err


def test_a_key_for_nobody_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("partner", "key", "new", "nobody", "--home", str(home))
    assert "no partner of the policy in force" in capsys.readouterr().err


def test_the_keys_of_nobody_are_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("partner", "key", "list", "nobody", "--home", str(home))
    assert "PARTNER: no partner of the policy in force" in capsys.readouterr().err


def test_a_partner_without_a_key_has_none(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = make_home(tmp_path / "home")
    assert 0 == portcullis("policy", "apply", str(policy), "--home", str(fresh))
    capsys.readouterr()

    assert 0 == portcullis("partner", "key", "list", "lender", "--home", str(fresh))
    assert "keys  none\n" == capsys.readouterr().out


def test_an_import_is_counted_and_again_changes_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (row("case-1"), row("case-2", "B7654321"))

    assert 0 == import_rows(home, tmp_path / "list.jsonl", *rows, options=("--full",))
    capsys.readouterr()
    assert 0 == import_rows(home, tmp_path / "list.jsonl", *rows, options=("--json", "--full"))

    counts = json.loads(capsys.readouterr().out)["counts"]
    assert {"added": 0, "amended": 0, "unchanged": 2, "withdrawn": 0, "superseded": 0} == counts


def test_a_pipe_is_imported_like_a_file_and_leaves_nothing_behind(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write("{}\n" + row("piped-1") + "\n")
    try:
        arguments = ("import", "--list", "court", "--format", "jsonl", f"/dev/fd/{reading}", "--home", str(home))
        assert 1 == portcullis(*arguments)
    finally:
        os.close(reading)

    captured = capsys.readouterr()
    assert captured.err.startswith(f"/dev/fd/{reading}:1: ")
    assert "rows         2" in captured.out
    assert not list(home.glob("importing-*"))


def test_standard_input_is_imported_as_a_dash(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(row("dash-1").encode())))

    assert 0 == portcullis("import", "--list", "court", "--format", "jsonl", "-", "--home", str(home))
    assert "rows         1" in capsys.readouterr().out


def test_a_bad_row_is_named_without_its_identifier_and_the_others_go_in(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "list.jsonl"

    assert 1 == import_rows(home, file, row("good-1"), row("bad-1").replace("2027-06-01", "1999-01-01"))

    captured = capsys.readouterr()
    assert captured.err.startswith(f"{file}:2: until: ")
    assert SUBJECT not in captured.err + captured.out
    assert ["rejected     1", "added        1"] == [line.strip() for line in captured.out.splitlines()[2:4]]


def test_a_strict_import_with_a_bad_row_takes_none(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == import_rows(home, tmp_path / "list.jsonl", row("strict-1"), "{}", options=("--strict",))

    captured = capsys.readouterr()
    assert "not imported" in captured.out
    assert "portcullis: nothing was imported" in captured.err


def test_an_unknown_list_is_wrong_usage(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "list.jsonl"
    file.write_text(row("case-1"))

    assert 2 == portcullis("import", "--list", "nowhere", "--format", "jsonl", str(file), "--home", str(home))
    assert "--list: no such list" in capsys.readouterr().err


def test_a_home_without_keys_says_what_to_do(tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("policy", "apply", str(policy), "--home", str(tmp_path))
    assert "token.key" in capsys.readouterr().err


def test_a_decision_is_shown_without_pseudonyms_and_the_look_is_recorded(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = "0123456789abcdef0123456789abcdef"
    record_decision(home, decision)

    assert 0 == portcullis("decision", "show", decision, "--home", str(home), "--purpose", "complaint 12")
    shown = capsys.readouterr().out
    assert 0 == portcullis("decision", "show", decision, "--home", str(home), "--json")
    document = json.loads(capsys.readouterr().out)
    with open_journal(Settings(home=home)) as journal:
        looks = journal.looks(decision)

    assert shown.startswith("RESTRICT  loan.apply\n")
    assert all(told in shown for told in ("lender", "lending", "order-1", "amount=5", "case 1", "Demonstration Court"))
    assert "abab" not in shown
    assert "tokens" not in document
    me = ProcessWiring().actor()
    assert [(me, "complaint 12"), (me, "operator inquiry")] == [(look.actor, look.purpose) for look in looks]


def test_an_unknown_decision_is_an_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == portcullis("decision", "show", "f" * 32, "--home", str(home))
    assert capsys.readouterr().err.startswith("portcullis: no ")


def test_no_journal_is_made_by_looking_for_a_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("decision", "show", "f" * 32, "--home", str(tmp_path))
    assert not list(tmp_path.iterdir())
    assert "journal.db is not there" in capsys.readouterr().err


def test_nothing_is_published_without_a_store(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("publish", "--home", str(home))
    assert "PORTCULLIS_REDIS_URL" in capsys.readouterr().err
