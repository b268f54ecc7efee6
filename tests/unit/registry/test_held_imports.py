"""The desk of held imports: what is asked of the store, and what may be said about a decision."""

from __future__ import annotations

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.domain.errors import InvalidRequest, SecondOperatorRequired
from portcullis.ports import HeldImportDesk
from portcullis.registry.held_imports import HeldImports
from tests.support.imports import registry
from tests.support.policies import a_list
from tests.support.registries import import_rows
from tests.support.registry_entries import an_entry, document


@pytest.fixture
def store() -> MemoryRegistry:
    store = registry(a_list(guard_percent=0, guard_entries=0))
    import_rows(store, [an_entry(f"k{number}", document(number)) for number in range(3)])
    assert import_rows(store, [an_entry("k0", document(0))]).held
    return store


@pytest.fixture
def desk(store: MemoryRegistry) -> HeldImportDesk:
    return HeldImports(store)


def test_a_held_import_is_approved_by_another(store: MemoryRegistry, desk: HeldImportDesk) -> None:
    (held,) = desk.held()
    with pytest.raises(SecondOperatorRequired):
        desk.approve(held.import_id, actor="ann", purpose="")
    assert 2 == desk.approve(held.import_id, actor="bob", purpose="  confirmed ").counts.withdrawn
    assert "import 2 of ann: confirmed" == store._ledger.log[-1].note.why
    assert [] == desk.held()


def test_a_held_import_is_rejected_by_anybody(store: MemoryRegistry, desk: HeldImportDesk) -> None:
    (held,) = desk.held()
    assert held == desk.reject(held.import_id, actor="ann", purpose="")
    assert "import 2 of ann" == store._ledger.log[-1].note.why
    assert 3 == store.count_in_force("court")


@pytest.mark.parametrize("purpose", ["x" * 129, "two\nlines", "\x1b[31m"])
def test_a_purpose_that_can_not_be_kept_decides_nothing(desk: HeldImportDesk, purpose: str) -> None:
    (held,) = desk.held()
    for decide in (desk.approve, desk.reject):
        with pytest.raises(InvalidRequest, match="purpose"):
            decide(held.import_id, actor="bob", purpose=purpose)
    assert [held] == desk.held()
