"""Imports that are held, as an operator meets them at the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from portcullis.config import Settings
from portcullis.mains.wiring import ProcessWiring
from tests.support.command_homes import COURT, make_home, portcullis, write_policy

ME = ProcessWiring().actor()
GUARD = "guard_percent = 10\nguard_entries = 1\n"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTCULLIS_API_KEY", raising=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guarded")
    policy = write_policy(folder / "policy", {"lists/court.toml": COURT.replace("[[measure]]", f"{GUARD}\n[[measure]]")})
    home = make_home(folder / "home")
    assert 0 == portcullis("policy", "apply", str(policy), "--home", str(home))
    return home


@pytest.fixture
def held(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[int]:
    """The number of an import that keeps one of five entries; given up afterwards."""
    assert 0 == import_rows(home, tmp_path, 5)
    capsys.readouterr()
    assert 3 == import_rows(home, tmp_path, 1, "--json")
    document = json.loads(capsys.readouterr().out)
    assert (True, False) == (document["held"], document["committed"])
    yield document["import_id"]
    import_rows(home, tmp_path, 5)
    capsys.readouterr()


def import_rows(home: Path, folder: Path, count: int, *options: str) -> int:
    file = folder / "list.jsonl"
    file.write_text("".join(row(number) for number in range(count)), encoding="utf-8")
    where = ("--list", "court", "--format", "jsonl", "--full", "--home", str(home))
    return portcullis("import", str(file), *where, *options)


def row(number: int) -> str:
    entry = {
        "key": f"case-{number}",
        "subject_type": "person",
        "identifiers": [{"kind": "passport", "value": f"N{number:08d}", "country": "XA"}],
        "case_reference": f"case {number}",
        "valid_from": "2026-01-01",
        "until": "2027-06-01",
    }
    return json.dumps(entry) + "\n"


def operators_key(home: Path, name: str, capsys: pytest.CaptureFixture[str], role: str = "operator") -> str:
    capsys.readouterr()
    assert 0 == portcullis("partner", "key", "new", name, "--role", role, "--home", str(home))
    return capsys.readouterr().out.strip()


def in_force(home: Path) -> int:
    wiring = ProcessWiring()
    with wiring.registry(Settings(home=home)) as registry:
        return registry.count_in_force("court")


def test_a_number_that_is_none_is_wrong_usage(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("x", "0", "9" * 19, "1.5"):
        assert 2 == portcullis("import", "approve", given, "--home", str(home))
        assert "'NUMBER': must be a number as `portcullis import held` shows it" in capsys.readouterr().err


def test_a_held_import_says_why_and_what_to_do(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == import_rows(home, tmp_path, 5)
    capsys.readouterr()

    assert 3 == import_rows(home, tmp_path, 1)

    told = capsys.readouterr()
    number = re.search(r"held as import (\d+)", told.out)
    assert number
    assert (
        "court  held as import N\n"
        "  rows                1\n"
        "  rejected            0\n"
        "  would be added      0\n"
        "  would be amended    0\n"
        "  would be unchanged  1\n"
        "  would be withdrawn  4\n"
        "  identifiers         passport 1\n"
    ) == told.out.replace(f"import {number[1]}", "import N")
    assert (
        "portcullis: nothing has changed: the import would take away 4 of 5 entries in force, and court gives up 1 at once\n"
        "portcullis: if the files are right, have another operator run `portcullis import approve N` with their key; "
        "if not, run `portcullis import reject N`, or import the right ones\n"
    ) == re.sub(rf"\b(approve|reject) {number[1]}\b", r"\1 N", told.err)
    assert 5 == in_force(home)


def test_held_imports_are_listed(home: Path, held: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis("import", "held", "--home", str(home))
    table = capsys.readouterr().out
    assert 0 == portcullis("import", "held", "--home", str(home), "--json")
    (document,) = json.loads(capsys.readouterr().out)

    head, one = (line.split() for line in table.splitlines())
    assert ["import", "list", "mode", "importer", "held", "added", "amended", "withdrawn", "lost", "of", "guard"] == head
    assert [str(held), "court", "full", ME] == one[:4]
    assert ["0", "0", "4", "4", "5", "1"] == one[-6:]
    assert (held, "court", True, ME, {"lost": 4, "in_force": 5, "guard": 1}) == (
        document["import_id"],
        document["list"],
        document["full"],
        document["importer"],
        document["shrinkage"],
    )


def test_whoever_imported_it_is_refused(home: Path, held: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == portcullis("import", "approve", str(held), "--home", str(home))
    assert (
        f"portcullis: {ME} has imported it, so another operator must approve it; have one do it, with a key of their own\n"
        == capsys.readouterr().err
    )
    key = operators_key(home, ME, capsys)
    assert 1 == portcullis("import", "approve", str(held), "--home", str(home), "--key", key)
    assert 5 == in_force(home)


def test_another_operator_approves_it_with_a_key(
    home: Path, held: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTCULLIS_API_KEY", operators_key(home, "olga", capsys))

    assert 0 == portcullis("import", "approve", str(held), "--home", str(home), "--purpose", "confirmed")

    assert (
        f"import {held}  in force, approved by olga\n  added      0\n  amended    0\n  unchanged  1\n  withdrawn  4\n"
        == capsys.readouterr().out
    )
    assert 1 == in_force(home)
    assert 1 == portcullis("import", "approve", str(held), "--home", str(home))
    assert f"portcullis: import {held} is not held any more: it is in force already\n" == capsys.readouterr().err


def test_an_approval_is_told_as_json(home: Path, held: int, capsys: pytest.CaptureFixture[str]) -> None:
    key = operators_key(home, "olga", capsys)
    assert 0 == portcullis("import", "approve", str(held), "--home", str(home), "--key", key, "--json")
    document = json.loads(capsys.readouterr().out)
    assert (held, "olga", 4, 0) == (
        document["import_id"],
        document["approver"],
        document["counts"]["withdrawn"],
        document["counts"]["superseded"],
    )


def test_anybody_rejects_it(home: Path, held: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis("import", "reject", str(held), "--home", str(home), "--purpose", "half a file")
    assert f"import {held}  rejected by {ME}; court stays as it is\n" == capsys.readouterr().out
    assert 0 == portcullis("import", "held", "--home", str(home))
    assert "held  none\n" == capsys.readouterr().out
    assert 5 == in_force(home)


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_key_that_is_no_operators_decides_nothing(
    home: Path, held: int, decision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    partners = operators_key(home, "lender", capsys, role="partner")
    for key in (partners, "nonsense"):
        assert 2 == portcullis("import", decision, str(held), "--home", str(home), "--key", key)
        told = capsys.readouterr().err
        assert "key: no key in force of the role" in told
        assert key not in told
    assert 5 == in_force(home)


@pytest.mark.parametrize("number", ["0", "x", "99999999999999999999"])
def test_what_is_no_number_of_an_import_is_wrong_usage(home: Path, number: str) -> None:
    assert 2 == portcullis("import", "approve", number, "--home", str(home))


def test_a_newer_import_says_that_the_held_one_is_void(
    home: Path, held: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == import_rows(home, tmp_path, 6)
    assert (
        f"portcullis: import {held} of this list was held, and is void now: this one is newer\n" == capsys.readouterr().err
    )
    assert 6 == in_force(home)


def test_the_help_of_import_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis("import", "--help")
    told = capsys.readouterr().out
    usage = "Usage: portcullis import [OPTIONS] {FILE}...\n       portcullis import COMMAND [ARGS]...\n\n"
    assert told.startswith(f"{usage}  Import a list's entries;")
    assert all(f"\n  {name}" in told for name in ("--full", "held", "approve", "reject"))


@pytest.mark.parametrize("name", ["held", "approve"])
def test_a_file_that_is_called_like_a_command_is_named_with_its_folder(
    home: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("".join(row(number) for number in range(5)), encoding="utf-8")
    where = ("--list", "court", "--format", "jsonl", "--home", str(home))
    assert 0 == portcullis("import", f"./{name}", *where)
    assert 0 == portcullis("import", *where, name)
