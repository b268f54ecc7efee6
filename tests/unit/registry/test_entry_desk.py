"""The desk of entries: what operators are given out, and what is noted before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.domain.entry_rules import admit_entry
from portcullis.domain.errors import InvalidRequest, NotFound, RegistryUnavailable
from portcullis.domain.policies import Policy
from portcullis.ports import RegistryDesk
from portcullis.registry.entries import EntryDesk
from portcullis.registry.page_tokens import make_page_token
from tests.support.imports import TOKENISER, StillClock, a_draft, importer, registry
from tests.support.people import passport
from tests.support.policies import a_list

WHO = {"actor": "op", "purpose": "an audit"}


@pytest.fixture
def store() -> MemoryRegistry:
    return registry(a_list("court"), a_list("airlines"))


@pytest.fixture
def desk(store: MemoryRegistry) -> RegistryDesk:
    return EntryDesk(store, importer(store))


def put(store: MemoryRegistry, number: int = 1, **changes: Any) -> None:
    """Put an entry on the court's list."""
    admitted = admit_entry(a_draft(number, **changes), a_list("court"), index_tokens=TOKENISER.index_tokens)
    store.put_entry(admitted.entry, actor="op")


def test_an_entry_is_given_out_without_its_identifiers(store: MemoryRegistry, desk: RegistryDesk) -> None:
    put(store, names=("A. Nobody",))
    told = repr(desk.get_entry("court", "k1", **WHO))
    assert passport(1).value not in told
    assert "Nobody" not in told


class ForgetfulRegistry(MemoryRegistry):
    """A registry whose disk takes no look."""

    def note_looks(self, list_name: str, keys: Sequence[str], *, actor: str, purpose: str) -> None:
        raise RegistryUnavailable("the disk is full; make room")


def test_an_entry_is_not_given_when_the_look_at_it_can_not_be_noted() -> None:
    store = ForgetfulRegistry(tokeniser=TOKENISER, clock=StillClock())
    store.apply_policy(Policy(lists=(a_list("court"),)), actor="test")
    desk = EntryDesk(store, importer(store))
    put(store)
    for look in (
        lambda: desk.get_entry("court", "k1", **WHO),
        lambda: desk.list_entries("court", page_size=0, page_token="", **WHO),
    ):
        with pytest.raises(RegistryUnavailable):
            look()


@pytest.mark.parametrize(
    ("given", "noted"),
    [("", "operator inquiry"), ("  ", "operator inquiry"), (" audit 7 ", "audit 7"), ("é" * 128, "é" * 128)],
)
def test_a_look_is_noted_for_the_purpose_given(store: MemoryRegistry, desk: RegistryDesk, given: str, noted: str) -> None:
    put(store)
    desk.get_entry("court", "k1", actor="ann", purpose=given)
    desk.list_entries("court", page_size=0, page_token="", actor="bob", purpose=given)
    assert [("ann", noted), ("bob", noted)] == [(look.actor, look.purpose) for look in store.looks("court", "k1")]


@pytest.mark.parametrize("purpose", ["x" * 129, "two\nlines"])
def test_a_purpose_is_short_plain_text(store: MemoryRegistry, desk: RegistryDesk, purpose: str) -> None:
    put(store)
    for look in (
        lambda: desk.get_entry("court", "k1", actor="op", purpose=purpose),
        lambda: desk.list_entries("court", page_size=0, page_token="", actor="op", purpose=purpose),
    ):
        with pytest.raises(InvalidRequest, match="purpose"):
            look()
    assert [] == list(store.looks("court", "k1"))


def test_the_entry_after_a_page_is_not_looked_at(store: MemoryRegistry, desk: RegistryDesk) -> None:
    for number in range(2):
        put(store, number)
    desk.list_entries("court", page_size=1, page_token="", **WHO)
    assert [1, 0] == [len(store.looks("court", f"k{number}")) for number in range(2)]


def test_what_is_not_there_is_not_found(desk: RegistryDesk) -> None:
    for missing in (
        lambda: desk.get_entry("x", "k1", **WHO),
        lambda: desk.get_entry("court", "k1", **WHO),
        lambda: desk.list_entries("x", page_size=0, page_token="", **WHO),
        lambda: desk.get_list("x"),
    ):
        with pytest.raises(NotFound):
            missing()


@pytest.mark.parametrize(("size", "pages"), [(0, [7]), (3, [3, 3, 1]), (7, [7]), (1, [1] * 7)])
def test_pages_hold_every_entry_once_and_the_last_has_no_token(
    store: MemoryRegistry, desk: RegistryDesk, size: int, pages: list[int]
) -> None:
    for number in range(7):
        put(store, number)
    seen: list[list[str]] = []
    token = ""
    while True:
        page, token = desk.list_entries("court", page_size=size, page_token=token, **WHO)
        seen.append([entry.key for entry in page])
        if not token:
            break
    assert pages == [len(page) for page in seen]
    assert [f"k{number}" for number in range(7)] == [key for page in seen for key in page]


def test_a_page_token_is_of_its_list_alone(store: MemoryRegistry, desk: RegistryDesk) -> None:
    for number in range(2):
        put(store, number)
    _, token = desk.list_entries("court", page_size=1, page_token="", **WHO)
    with pytest.raises(InvalidRequest, match="page_token"):
        desk.list_entries("airlines", page_size=1, page_token=token, **WHO)


@pytest.mark.parametrize("token", ["x", "é", "AAAA", "A" * 16, "A" * 17, "A" * 400])
def test_a_made_up_page_token_is_refused(desk: RegistryDesk, token: str) -> None:
    with pytest.raises(InvalidRequest, match="page_token"):
        desk.list_entries("court", page_size=1, page_token=token, **WHO)


@pytest.mark.parametrize("last", ["x", "-1", "9" * 30, "1.0"])
def test_a_page_token_that_names_no_entry_is_refused(desk: RegistryDesk, last: str) -> None:
    with pytest.raises(InvalidRequest, match="page_token"):
        desk.list_entries("court", page_size=1, page_token=make_page_token("court", last), **WHO)


@pytest.mark.parametrize("size", [-1, 1001])
def test_a_page_has_at_most_a_thousand_entries(desk: RegistryDesk, size: int) -> None:
    with pytest.raises(InvalidRequest, match="page_size"):
        desk.list_entries("court", page_size=size, page_token="", **WHO)


def test_lists_come_in_the_order_of_their_names_with_what_is_in_force(store: MemoryRegistry, desk: RegistryDesk) -> None:
    put(store)
    assert [("airlines", 0), ("court", 1)] == [(each.list.name, each.in_force) for each in desk.list_lists()]


def test_a_stream_of_rows_takes_effect_at_its_end_and_names_bad_rows_by_place(desk: RegistryDesk) -> None:
    with desk.open_import("court", full=False, strict=False, actor="op") as stream:
        stream.feed([a_draft(1), a_draft(2)])
        stream.feed([a_draft(3, until=None), a_draft(4)])
        assert 0 == desk.get_list("court").in_force
        report = stream.finish()
    assert (3, [(3, "until")]) == (report.counts.added, [(fault.line, fault.field) for fault in report.faults])


def test_a_stream_that_breaks_off_takes_nothing(desk: RegistryDesk) -> None:
    def break_off() -> None:
        with desk.open_import("court", full=True, strict=False, actor="op") as stream:
            stream.feed([a_draft(1)])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert 0 == desk.get_list("court").in_force


def test_a_key_that_comes_again_in_a_stream_is_named_by_its_row(desk: RegistryDesk) -> None:
    with desk.open_import("court", full=False, strict=False, actor="op") as stream:
        stream.feed([a_draft(1), a_draft(1)])
        assert "row 1" in stream.finish().faults[0].reason
