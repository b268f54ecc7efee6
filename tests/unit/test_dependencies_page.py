"""docs/dependencies.md tells of every dependency, and of no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", each)[0] for each in requirements}


def rows() -> list[str]:
    page = (REPOSITORY / "docs" / "dependencies.md").read_text()
    return re.findall(r"^\| `([\w.-]+)", page, re.MULTILINE)


def declared() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    requirements = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        requirements += extra
    return names(requirements) | names(project["dependency-groups"]["dev"])


def test_the_page_tells_of_each_dependency_once() -> None:
    assert len(set(rows())) == len(rows())


def test_the_page_tells_of_every_dependency_and_of_no_other() -> None:
    assert declared() == set(rows())


def test_the_line_that_takes_the_native_transport_out_is_there() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

    assert ["native"] == [name for name in project["project"]["optional-dependencies"] if name == "native"]
    assert "`native = []`" in (REPOSITORY / "docs" / "dependencies.md").read_text()
