"""The table of threats: every row names a test, and the test is there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COLUMNS = ["asset", "adversary", "attack", "control", "test"]


def rows() -> list[list[str]]:
    lines = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


ROWS = rows()


@cache
def names_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_table_has_the_five_columns_of_a_threat() -> None:
    assert COLUMNS == ROWS[0]
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS[2:], ids=lambda row: row[2])
def test_every_threat_names_its_control_and_a_test_that_is_there(row: list[str]) -> None:
    assert len(COLUMNS) == len(row)
    assert all(row)
    path, _, name = row[4].strip("`").partition("::")
    assert (ROOT / path).is_file()
    assert name.startswith("test_")
    assert name in names_in(ROOT / path)
