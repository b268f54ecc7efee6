"""The commands of the how-tos about keeping lists and about objections can be given as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from portcullis.demo import lists
from portcullis.mains.demo import PEOPLE, POLICY
from portcullis.registry.policy_files import load_policy
from tests.support.command_lines import REPOSITORY, parse, shell_lines
from tests.support.imports import BytesSource, importer, registry

HOW_TO = REPOSITORY / "docs" / "how-to"
PAGES = [HOW_TO / "keep-a-list.md", HOW_TO / "rights.md"]
LIST = "carrier-misconduct"
(ENTRY,) = re.findall(r"^```json\n(.*?)^```", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Give what follows ``portcullis`` in each shell line of the pages, up to where its output goes."""
    found = []
    for page in PAGES:
        for words in shell_lines(page):
            if "portcullis" in words:
                rest = words[words.index("portcullis") + 1 :]
                found.append(rest[: rest.index(">")] if ">" in rest else rest)
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_can_be_given_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTCULLIS_SUBJECT_CODE", "CODE")
    (tmp_path / "entry.json").write_text(ENTRY, encoding="utf-8")
    (tmp_path / "certificate.txt").touch()
    (tmp_path / ".portcullis" / "my-policy").mkdir(parents=True)
    parse(words)


def test_every_person_that_a_command_acts_as_is_one_of_the_demonstration() -> None:
    named = {words[words.index("--as") + 1] for words in commands() if "--as" in words}
    assert named <= {*PEOPLE, "operator"}


def test_the_entry_of_the_page_is_a_good_row_about_nobody_of_the_demonstration() -> None:
    row = json.dumps(json.loads(ENTRY)) + "\n"
    report = importer(registry(*load_policy(POLICY).lists)).run(LIST, "jsonl", [BytesSource(row)], actor="test", strict=True)
    assert (1, []) == (report.counts.added, report.faults)
    listed = {each["value"] for name in lists.list_files() for one in lists.rows(name) for each in one["identifiers"]}
    assert [] == [each["value"] for each in json.loads(ENTRY)["identifiers"] if each["value"] in listed]


def test_the_pages_speak_of_one_entry_and_of_the_list_by_its_name_or_title() -> None:
    (on,) = (each for each in load_policy(POLICY).lists if each.name == LIST)
    row = json.loads(ENTRY)
    told = [word for words in commands() for word in words if LIST in word or "FM-" in word]
    assert {*told} <= {LIST, f"{LIST}/{row['key']}", row["case_reference"]}
    assert {words[words.index("--list") + 1] for words in commands() if "--list" in words} <= {on.name, on.title}
