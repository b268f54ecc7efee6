"""Importing a list: all at once, the same again without effect, bad rows told and the others taken."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import InvalidRequest, NotFound
from portcullis.ports import ImportCounts, ImportOutcome, ImportReport, Shrinkage
from portcullis.registry.imports import BATCH_ROWS, MAX_FAULTS, ImportRun
from portcullis.registry.readers.jsonl import read_jsonl
from portcullis.registry.readers.sources import Meter
from portcullis.registry.seen_keys import SeenKeys
from tests.support.imports import TOKENISER, BytesSource, StillClock, importer, line, registry
from tests.support.people import passport
from tests.support.policies import NOW, a_list

DAY_S = 86_400


def good(*numbers: int, **changes: Any) -> str:
    return "".join(line(number, passport(number), **changes) for number in numbers)


def bad(number: int, **changes: Any) -> str:
    return line(number, passport(number), **({"until": "2099-01-01"} | changes))


def load(store: MemoryRegistry, text: str | bytes, **options: Any) -> ImportReport:
    return importer(store).run("court", "jsonl", [BytesSource(text)], actor="test", **options)


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    each = report.counts
    return each.added, each.amended, each.unchanged, each.withdrawn


def in_force(store: MemoryRegistry) -> set[str]:
    return {each.key for each in store.entries("court", after_id=0, limit=1000) if each.status is EntryStatus.IN_FORCE}


def test_good_rows_are_added_and_counted_by_kind() -> None:
    report = load(registry(), good(1, 2, 3))
    assert ((3, 0, 0, 0), 3, 0, {"passport": 3}) == (counts(report), report.rows, report.rejected, report.identifiers)


def test_the_same_file_again_changes_nothing() -> None:
    store = registry()
    load(store, good(1, 2, 3))
    head = store.head()
    assert (0, 0, 3, 0) == counts(load(store, good(1, 2, 3)))
    assert head == store.head()


def test_an_additive_import_leaves_what_the_file_does_not_have() -> None:
    store = registry()
    load(store, good(1, 2))
    assert (1, 1, 0, 0) == counts(load(store, good(2, redress="tel:1") + good(3)))
    assert {"k1", "k2", "k3"} == in_force(store)


def test_a_full_import_withdraws_what_the_file_no_longer_has() -> None:
    store = registry()
    load(store, good(1, 2))
    assert (1, 0, 1, 1) == counts(load(store, good(2, 3), full=True))
    assert {"k2", "k3"} == in_force(store)


def test_on_a_list_whose_entries_lapse_the_same_file_renews_once_the_grid_has_moved() -> None:
    store, clock = registry(a_list(lapse_s=10 * DAY_S)), StillClock()
    run = importer(store, clock).run
    first = run("court", "jsonl", [BytesSource(good(1))], actor="test")
    soon, until = store.entry("court", "k1").lapses_at, store.entry("court", "k1").until
    assert NOW + 10 * DAY_S < soon <= NOW + 11 * DAY_S
    again = run("court", "jsonl", [BytesSource(good(1))], actor="test")
    clock.time += DAY_S
    later = run("court", "jsonl", [BytesSource(good(1))], actor="test")
    assert [(1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0)] == [counts(each) for each in (first, again, later)]
    renewed = store.entry("court", "k1")
    assert (soon + DAY_S, soon + DAY_S, until) == (renewed.lapses_at, renewed.effective_until, renewed.until)


def test_what_a_person_took_off_the_list_is_left_alone_and_counted() -> None:
    store = registry()
    load(store, good(1, 2))
    store.step("court", "k1", Step.RELEASE, note=StepNote(actor="ann", why="paid", ground=ReleaseGround.PAID))
    report = load(store, good(1, 2), full=True)
    assert (ImportCounts(unchanged=1, superseded=1), {"k2"}) == (report.counts, in_force(store))


def test_an_import_on_a_list_of_four_eyes_is_held_unless_it_only_withdraws() -> None:
    store = registry(a_list(four_eyes=True))
    held = load(store, good(1, 2))
    assert (True, False, set()) == (held.held, held.committed, in_force(store))
    store.approve_import(held.import_id or 0, actor="ann", purpose="")
    assert ({"k1", "k2"}, False) == (in_force(store), load(store, good(1), full=True).held)
    assert {"k1"} == in_force(store)


def test_a_bad_row_is_reported_by_file_line_and_field_and_the_others_go_in() -> None:
    store = registry()
    report = load(store, good(1) + bad(2) + good(3))
    (fault,) = report.faults
    assert ("list.jsonl", 2, "until", 1) == (fault.file, fault.line, fault.field, report.rejected)
    assert passport(2).value not in repr(report)
    assert {"k1", "k3"} == in_force(store)


def test_a_row_with_several_faults_tells_them_all() -> None:
    (fault,) = load(registry(), bad(1, case_reference="")).faults
    assert "case_reference" == fault.field
    assert "; until: " in fault.reason


def test_a_strict_import_with_a_bad_row_takes_none_and_reports_every_bad_row() -> None:
    store = registry()
    report = load(store, good(1) + bad(2) + good(3) + bad(4), strict=True)
    assert (False, 2, (0, 0, 0, 0)) == (report.committed, report.rejected, counts(report))
    assert set() == in_force(store)


def test_a_strict_import_without_a_bad_row_takes_all() -> None:
    report = load(registry(), good(1, 2), strict=True)
    assert (True, (2, 0, 0, 0)) == (report.committed, counts(report))


def test_a_full_import_does_not_withdraw_an_entry_whose_row_is_merely_bad() -> None:
    store = registry()
    load(store, good(1, 2, 3))
    report = load(store, good(1) + bad(2), full=True)
    assert (False, (0, 0, 1, 1)) == (report.withheld, counts(report))
    assert {"k1", "k2"} == in_force(store)


@pytest.mark.parametrize("row", ["{\n", "[]\n", '{"key": "' + "x" * 200 + '"}\n'])
def test_a_full_import_withdraws_nothing_when_a_bad_row_does_not_say_whose_it_was(row: str) -> None:
    store = registry()
    load(store, good(1, 2))
    report = load(store, good(1, 3) + row, full=True)
    assert (True, (1, 0, 1, 0)) == (report.withheld, counts(report))
    assert {"k1", "k2", "k3"} == in_force(store)


def test_a_full_import_without_a_good_row_withdraws_nothing() -> None:
    store = registry()
    load(store, good(1, 2))
    assert load(store, bad(1), full=True).withheld
    assert {"k1", "k2"} == in_force(store)


def test_a_full_import_of_an_empty_file_is_refused() -> None:
    store = registry()
    load(store, good(1))
    with pytest.raises(InvalidRequest, match="no rows"):
        load(store, "\n", full=True)
    assert {"k1"} == in_force(store)


def test_an_additive_import_of_an_empty_file_changes_nothing() -> None:
    assert (0, 0, 0, 0) == counts(load(registry(), ""))


def test_a_key_that_comes_again_is_a_fault_that_names_the_first_row() -> None:
    report = load(registry(), good(1) + good(2) + line(1, passport(9)))
    (fault,) = report.faults
    assert (3, "key") == (fault.line, fault.field)
    assert "list.jsonl, line 1" in fault.reason
    assert 2 == report.counts.added


def test_a_key_that_comes_again_many_rows_later_is_a_fault_too() -> None:
    rows = BATCH_ROWS + 10
    report = load(registry(), good(*range(rows)) + good(3))
    assert [(rows + 1, "key")] == [(fault.line, fault.field) for fault in report.faults]
    assert rows == report.counts.added


def test_a_report_describes_the_first_faults_and_counts_all() -> None:
    report = load(registry(), "".join(bad(number) for number in range(MAX_FAULTS + 50)))
    assert (MAX_FAULTS, MAX_FAULTS + 50) == (len(report.faults), report.rejected)


def test_rows_without_keys_import_the_same_way_again() -> None:
    store = registry()
    assert (2, 0, 0, 0) == counts(load(store, good(1, 2, key=None)))
    assert (0, 0, 2, 0) == counts(load(store, good(1, 2, key=None)))


def test_a_list_that_no_policy_declares_cant_be_imported() -> None:
    with pytest.raises(NotFound):
        importer(registry()).run("unheard-of", "jsonl", [BytesSource(good(1))], actor="test")


def test_files_that_cant_be_understood_leave_everything_as_it_was() -> None:
    store = registry()
    with pytest.raises(InvalidRequest):
        importer(store).run("court", "csv", [BytesSource("what\n1\n")], actor="test")
    assert set() == in_force(store)


def test_progress_grows_to_the_whole_of_all_files() -> None:
    told: list[tuple[int, int]] = []
    files = [BytesSource(good(*range(BATCH_ROWS))), BytesSource(good(*range(BATCH_ROWS, 2 * BATCH_ROWS)), "other")]
    importer(registry()).run("court", "jsonl", files, actor="test", progress=lambda *now: told.append(now))
    total = sum(file.size for file in files)
    assert [total, total, total] == [of for _, of in told]
    assert sorted(told) == told
    assert (files[0].size, total) == (told[0][0], told[-1][0])


def guarded() -> MemoryRegistry:
    store = registry(a_list(guard_percent=5, guard_entries=1))
    load(store, good(1, 2, 3, 4))
    return store


def test_an_import_that_takes_away_more_than_the_guard_is_held_and_says_so() -> None:
    store = guarded()
    report = load(store, good(1, 5), full=True)
    assert (False, True, 2) == (report.committed, report.held, report.import_id)
    assert ((1, 0, 1, 3), Shrinkage(lost=3, in_force=4, guard=1)) == (counts(report), report.shrinkage)
    assert {"k1", "k2", "k3", "k4"} == in_force(store)


def test_an_import_within_the_guard_is_not_held() -> None:
    report = load(guarded(), good(1, 2, 3), full=True)
    assert (False, None, 2, (0, 0, 3, 1)) == (report.held, report.shrinkage, report.import_id, counts(report))


def test_a_newer_import_says_which_held_one_it_made_void() -> None:
    store = guarded()
    held = load(store, good(1), full=True)
    assert held.import_id == load(store, good(1, 2, 3, 4), full=True).voided


def test_an_import_that_was_not_committed_makes_nothing_void() -> None:
    store = guarded()
    load(store, good(1), full=True)
    strict = load(store, good(1) + bad(2), full=True, strict=True)
    assert (None, False, None) == (strict.import_id, strict.held, strict.voided)
    assert 1 == len(store.held_imports())


def test_a_row_that_is_merely_bad_is_no_loss() -> None:
    store = guarded()
    report = load(store, good(1) + bad(2) + bad(3) + bad(4), full=True)
    assert (False, 3, (0, 0, 1, 0)) == (report.held, report.rejected, counts(report))


class Rows:
    """A file of many rows that is never whole in memory."""

    name = "many.jsonl"
    size = 0

    def __init__(self, count: int) -> None:
        self._count = count

    def open(self) -> BinaryIO:
        return _Stream(line(number, passport(number)).encode() for number in range(self._count))  # type: ignore[return-value]


class _Stream:
    def __init__(self, rows: Iterable[bytes]) -> None:
        self._rows = iter(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def readline(self, _limit: int) -> bytes:
        return next(self._rows, b"")


class Forgetful:
    """A session that counts what it is given and keeps none of it."""

    def __init__(self) -> None:
        self.rows = 0

    def stage(self, entries: Sequence[Entry]) -> None:
        self.rows += len(entries)

    def keep(self, keys: Sequence[str]) -> None:
        raise AssertionError(keys)

    def commit(self, *, full: bool) -> ImportOutcome:
        return ImportOutcome(import_id=1, counts=ImportCounts(added=self.rows))


def test_memory_does_not_grow_with_the_rows() -> None:
    session = Forgetful()
    with SeenKeys() as seen:
        run = ImportRun(session, a_list(), seen, index_tokens=TOKENISER.index_tokens, now=NOW, full=True, strict=False)
        tracemalloc.start()
        try:
            peaks = []
            for count, row in enumerate(read_jsonl([Rows(5 * BATCH_ROWS)], Meter()), start=1):
                run.take(row)
                if count % BATCH_ROWS == 0:
                    peaks.append(tracemalloc.get_traced_memory()[1])
                    tracemalloc.reset_peak()
        finally:
            tracemalloc.stop()
        assert 5 * BATCH_ROWS == run.finish().counts.added
    assert peaks[-1] < peaks[0] + 256 * 1024


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.dictionaries(st.integers(0, 6), st.sampled_from(["good", "other", "bad"]), min_size=1)),
        max_size=4,
    )
)
def test_imports_do_to_the_list_what_they_would_do_to_a_dict(files: list[tuple[bool, dict[int, str]]]) -> None:
    store, model = registry(), dict[str, str]()
    for full, rows in files:
        text = "".join(
            bad(number) if what == "bad" else good(number, redress=f"https://{what}.example")
            for number, what in rows.items()
        )
        report = load(store, text, full=full)
        taken = {f"k{number}": f"https://{what}.example" for number, what in rows.items() if what != "bad"}
        if full and taken:
            model = {key: held for key, held in model.items() if key in {f"k{number}" for number in rows}}
        model |= taken
        assert len(rows) - len(taken) == report.rejected
    found = store.entries("court", after_id=0, limit=100)
    assert model == {each.key: each.redress for each in found if each.status is EntryStatus.IN_FORCE}
