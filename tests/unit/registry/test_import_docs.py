"""The examples of docs/how-to/import-a-list.md are imported as they stand, into the demonstration's list that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.demo import lists
from portcullis.mains.demo import POLICY
from portcullis.registry.policy_files import load_policy
from tests.support.command_lines import parse
from tests.support.imports import BytesSource, importer, registry

_PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "import-a-list.md").read_text()
_LIST = "court-judgment-defaulters"
_FORMS = ["jsonl", "csv"]


def demonstration() -> MemoryRegistry:
    return registry(*load_policy(POLICY).lists)


def example(form: str) -> str:
    (found,) = re.findall(rf"```{form}\n(.*?)```", _PAGE, re.DOTALL)
    return found


def commands(name: str) -> list[list[str]]:
    lines = re.findall(rf"^    (?:\.venv/bin/)?portcullis ({name} .*)$", _PAGE, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("form", _FORMS)
def test_every_row_of_an_example_is_good(form: str) -> None:
    assert _LIST == commands("import")[0][2]
    report = importer(demonstration()).run(_LIST, form, [BytesSource(example(form))], actor="test", strict=True)
    assert (2, []) == (report.counts.added, report.faults)


def test_every_list_that_a_command_names_is_one_of_the_demonstration() -> None:
    named = {words[words.index("--list") + 1] for words in commands("import") if "--list" in words}
    assert named <= {each.name for each in demonstration().policy().lists}


def test_every_command_about_held_imports_can_be_given_as_it_stands() -> None:
    decisions = [words for words in commands("import") if "--list" not in words]
    assert ["held", "approve", "reject"] == [words[1] for words in decisions]
    for words in decisions:
        parse(words)


@pytest.mark.parametrize("form", _FORMS)
def test_nobody_of_an_example_is_on_a_list_of_the_demonstration(form: str) -> None:
    listed = {each["value"] for name in lists.list_files() for row in lists.rows(name) for each in row["identifiers"]}
    assert [] == [value for value in listed if value in example(form)]


@pytest.mark.parametrize("form", _FORMS)
def test_the_check_of_the_page_asks_about_somebody_of_each_example(form: str) -> None:
    (words,) = commands("check")
    parse(words)
    assert words[words.index("--id") + 1].rpartition(":")[2] in example(form)
