from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portcullis.cli.statistics import statistics
from portcullis.mains.wiring import ProcessWiring
from portcullis.ports import CaseCount, Refusals, Reported
from tests.support.single_commands import run_command

GOLDEN = Path(__file__).with_name("golden")


class Counts:
    """A journal that has counted this."""

    def __init__(self, *, empty: bool = False) -> None:
        self._empty = empty

    def refusals(self) -> list[Refusals]:
        def count(month: str, outcome: str, count: int) -> Refusals:
            return Refusals(month=month, list="court", action="loan.apply", partner="lender", outcome=outcome, count=count)

        return [] if self._empty else [count("2026-10", "RESTRICT", 12_345), count("2026-11", "REVIEW", 1)]

    def reported(self) -> list[Reported]:
        def count(kind: str, code: str, count: int) -> Reported:
            return Reported(month="2026-11", list="court", partner="lender", kind=kind, code=code, count=count)

        return [] if self._empty else [count("REVIEWED", "CLEARED", 3), count("SETTLED", "", 40)]

    def cases(self) -> list[CaseCount]:
        def count(end: str, count: int) -> CaseCount:
            return CaseCount(month="2026-11", list="court", kind="DISPUTE", end=end, count=count)

        return [] if self._empty else [count("LAPSED", 4), count("RELEASED", 5)]


class Wired(ProcessWiring):
    """The process's wiring, with a journal of counts."""

    def __init__(self, journal: Counts) -> None:
        super().__init__()
        self._counts = journal

    @contextmanager
    def journal(self, settings: Any) -> Iterator[Any]:
        yield self._counts

    def case_counts(self, settings: Any) -> list[CaseCount]:
        return self._counts.cases()


@pytest.mark.parametrize(("form", "options"), [("text", []), ("json", ["--json"]), ("csv", ["--csv"])])
def test_counts_are_shown_by_month_list_action_and_partner(
    capsys: pytest.CaptureFixture[str], form: str, options: list[str]
) -> None:
    assert 0 == run_command("statistics", statistics, options, Wired(Counts()))

    assert (GOLDEN / f"statistics.{form}.out").read_text(encoding="utf-8") == capsys.readouterr().out


def test_small_counts_are_shown_when_they_are_asked_for_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run_command("statistics", statistics, ["--exact", "--csv"], Wired(Counts()))

    assert (GOLDEN / "statistics.exact.csv.out").read_text(encoding="utf-8") == capsys.readouterr().out


def test_nothing_is_shown_as_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run_command("statistics", statistics, [], Wired(Counts(empty=True)))

    assert "refusals\nnone\n\nreported\nnone\n\ndisputes\nnone\n" == capsys.readouterr().out


def test_one_form_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run_command("statistics", statistics, ["--json", "--csv"], Wired(Counts()))
    assert "--csv" in capsys.readouterr().err
