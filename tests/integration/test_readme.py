"""What the pages for newcomers say is there, is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from portcullis.mains.trials import trials
from tests.support.command_lines import REPOSITORY, make_targets, parse, shell_lines

README = REPOSITORY / "README.md"
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md")
    for page in REPOSITORY.glob(pattern)
    if page.name != "template.md"
)
COMMAND = ".venv/bin/portcullis"


def test_the_readme_names_only_targets_that_make_knows() -> None:
    named = {words[1] for words in shell_lines(README) if words[0] == "make"}
    named |= set(re.findall(r"`make ([a-z-]+)`", README.read_text()))

    assert named
    assert set() == named - make_targets()


def test_the_readme_shows_how_to_run_and_to_test() -> None:
    assert {"run", "test"} <= {words[1] for words in shell_lines(README) if words[0] == "make"}


@pytest.mark.parametrize("words", [each for each in shell_lines(README) if each[0] == COMMAND], ids=" ".join)
def test_a_command_of_the_readme_parses(words: list[str]) -> None:
    parse(words[1:])


def test_the_readme_shows_the_commands_that_a_first_start_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    printed = [shlex.split(trial.command)[1:] for trial in trials(Path(".portcullis").absolute(), "127.0.0.1:50051")]

    assert printed == [words[1:] for words in shell_lines(README) if words[0] == COMMAND]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text())

    assert [] == [link for link in links if not (page.parent / link).exists()]
