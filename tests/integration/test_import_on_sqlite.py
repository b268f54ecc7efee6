"""Imports into the real registry database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portcullis.adapters.sql.migrating import migrate_registry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.entries import EntryStatus
from portcullis.domain.policies import Policy
from portcullis.registry.imports import Importer
from tests.support.imports import TOKENISER, BytesSource, StillClock, line
from tests.support.people import passport
from tests.support.policies import a_list


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlRegistry]:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    migrate_registry(url)
    store = SqlRegistry(url, seal_key=bytes(32), tokeniser=TOKENISER, clock=StillClock())
    store.apply_policy(Policy(lists=(a_list(),)), actor="test")
    yield store
    store.close()


def test_an_entry_whose_row_is_merely_bad_outlives_a_full_import(store: SqlRegistry) -> None:
    importer = Importer(store, index_tokens=TOKENISER.index_tokens, clock=StillClock())

    def load(text: str) -> tuple[int, int, int, int]:
        counts = importer.run("court", "jsonl", [BytesSource(text)], actor="test", full=True).counts
        return counts.added, counts.amended, counts.unchanged, counts.withdrawn

    good = [line(number, passport(number)) for number in range(4)]
    bad = line(1, passport(1), until="2099-01-01")
    assert (4, 0, 0, 0) == load("".join(good))
    assert (0, 0, 2, 1) == load(good[0] + bad + good[2])
    found = store.entries("court", after_id=0, limit=10)
    assert {"k0", "k1", "k2"} == {each.key for each in found if each.status is EntryStatus.IN_FORCE}


def test_an_import_that_breaks_off_leaves_the_list_as_it_was(store: SqlRegistry) -> None:
    importer = Importer(store, index_tokens=TOKENISER.index_tokens, clock=StillClock())

    def stop(_read: int, _total: int) -> None:
        raise KeyboardInterrupt

    many = "".join(line(number, passport(number)) for number in range(4500))
    with pytest.raises(KeyboardInterrupt):
        importer.run("court", "jsonl", [BytesSource(many)], actor="test", progress=stop)
    assert 0 == store.count_in_force("court")
    assert 4500 == importer.run("court", "jsonl", [BytesSource(many)], actor="test").counts.added
