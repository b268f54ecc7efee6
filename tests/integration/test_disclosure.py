"""A small run of the comparison of sizes and times: sizes are exact in any run, times are judged in none so small."""

from __future__ import annotations

from pathlib import Path

from benchmarks import disclosure

PAIRS = 2_000
CLASS = (4096,)


def test_a_small_run_finds_one_size_and_compares_all_kinds_of_answers(tmp_path: Path) -> None:
    found = disclosure.measure(tmp_path, PAIRS, 2_000, (), quick=True)
    assert [CLASS] * 5 == [each.sizes for each in found.sized[:5]]
    batches = [each.sizes for each in found.sized[5:]]
    assert [batches[0]] * 4 + [(2 * batches[0][0],)] == batches
    assert [4, {PAIRS}] == [len(found.compared), {each.all.answers for each in found.compared}]
    data, page = disclosure.write(found, tmp_path / "results")
    assert data.exists()
    assert all(each.name in page.read_text() for each in found.compared)
