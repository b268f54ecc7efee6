"""docs/how-to/relay-events.md names every event that a receiver may get."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from portcullis.domain.security_events import CHANGE_TYPES, REPORT_TYPES

_PAGE = (Path(__file__).resolve().parents[4] / "docs" / "how-to" / "relay-events.md").read_text()


@pytest.mark.parametrize("types", [list(CHANGE_TYPES.values()), list(REPORT_TYPES.values())], ids=["changes", "reports"])
def test_the_page_for_receivers_names_each_type_of_event_and_no_other(types: Sequence[str]) -> None:
    prefix = types[0].rpartition(":")[0] + ":"

    (row,) = re.findall(rf"^\| `{prefix}` ([^|]*) \|", _PAGE, re.MULTILINE)

    assert sorted(types) == sorted(prefix + kind for kind in re.findall(r"`([^`]+)`", row))
