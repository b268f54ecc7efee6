"""The examples of docs/how-to/import-a-list.md are imported as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.imports import BytesSource, importer, registry
from tests.support.policies import a_list

_PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "import-a-list.md"


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_every_row_of_an_example_is_good(name: str) -> None:
    (example,) = re.findall(rf"```{name}\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    store = registry(a_list(identifier_kinds=("cn.resident-id", "cn.uscc", "passport", "phone")))
    report = importer(store).run("court", name, [BytesSource(example)], actor="test", strict=True)
    assert (2, []) == (report.counts.added, report.faults)
