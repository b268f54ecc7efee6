from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.differences import Difference, Span, compare, joined, latest, spans, steps_between, version_at
from portcullis.domain.editions import FORMAT
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.manifests import Base, Delta, Manifest, base_target, delta_target, terms_target
from portcullis.domain.multisets import EMPTY
from portcullis.domain.records import Record, encode_body

State = dict[bytes, bytes]


def token(number: int) -> bytes:
    return number.to_bytes(16, "big")


def body(*entries: int, until: int = 9) -> bytes:
    return encode_body(Record(1, 0, until, entry, f"case {entry}") for entry in entries)


def delta(since: int, version: int, steps: int = 1) -> Delta:
    return Delta(target=delta_target("x", since, version), since=since, version=version, changes=1, length=1, steps=steps)


def manifest(base: int, *deltas: Delta) -> Manifest:
    return Manifest(
        format=FORMAT,
        list="x",
        number=1,
        version=max([base, *(each.version for each in deltas)]),
        records=0,
        digest=EMPTY,
        terms=terms_target("x", base),
        base=Base(target=base_target("x", base), version=base, records=0, length=4),
        deltas=deltas,
    )


def test_the_example_holds() -> None:
    known = spans(manifest(100, delta(100, 140, steps=40), delta(140, 150), delta(150, 151)), 160)

    assert [Span(100, 100, 100), Span(140, 149, 140), Span(150, 150, 150), Span(151, 160, 151)] == known
    assert [(100, 100), (140, 160)] == joined(known)
    assert [100, None, 140, 140, 151, None] == [version_at(known, each) for each in (100, 120, 140, 149, 155, 161)]


def test_what_lies_before_the_base_is_not_known() -> None:
    known = spans(manifest(100, delta(80, 90), delta(90, 100), delta(100, 110)), 110)

    assert [(100, 110)] == joined(known)


def test_a_delta_beside_a_folded_one_still_tells_of_the_versions_in_it() -> None:
    known = spans(manifest(100, delta(100, 140, steps=3), delta(100, 110), delta(110, 140, steps=2)), 140)

    assert [Span(100, 109, 100), Span(110, 110, 110), Span(140, 140, 140)] == known


def test_tokens_and_entries_are_told_apart() -> None:
    before = {token(1): body(1), token(2): body(2, 3), token(3): body(4), token(4): body(5)}
    after = {token(0): body(9), token(2): body(3, 4), token(3): b"", token(4): body(5, until=10), token(5): b""}

    found = compare(iter(sorted(before.items())), iter(sorted(after.items())))

    assert (1, 1, 2) == (found.added, found.removed, found.changed)
    assert ({9, 4}, {2, 4}, {5}) == (found.entries_gained, found.entries_lost, found.entries_changed)


def test_what_changed_and_changed_back_is_no_change() -> None:
    assert Difference() == compare(iter([(token(1), body(1))]), iter([(token(1), body(1))]))


def test_a_malformed_body_is_refused_without_its_bytes() -> None:
    with pytest.raises(SnapshotInvalid, match="a body is malformed") as caught:
        compare(iter([(token(1), body(1))]), iter([(token(1), body(1)[:-1])]))
    assert caught.value.__cause__ is None


def test_a_file_out_of_order_is_refused() -> None:
    with pytest.raises(SnapshotInvalid, match="out of order"):
        list(latest([iter([(token(2), b"2"), (token(1), b"1")])]))
    with pytest.raises(SnapshotInvalid, match="out of order"):
        list(latest([iter([(token(1), b"2"), (token(1), b"1")])]))


BODIES = st.one_of(
    st.just(b""), st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True).map(lambda ids: body(*ids))
)
CHANGES = st.dictionaries(st.integers(0, 6).map(token), BODIES, min_size=1, max_size=4)


class History:
    """A list's states, one after the other, and the files that its publisher may keep of them."""

    def __init__(self, draw: Any) -> None:
        self.versions = sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=8)))
        self.present = self.versions[-1] + draw(st.integers(0, 3))
        self.states: list[State] = []
        state: State = {}
        for _ in self.versions:
            state = {**state, **draw(CHANGES)}
            self.states.append({each: content for each, content in state.items() if content})
        self.base = draw(st.integers(0, len(self.versions) - 1))
        self.files: dict[tuple[int, int], State] = {}
        self.manifest = manifest(self.versions[self.base], *self._deltas(draw))

    def _deltas(self, draw: Any) -> Iterator[Delta]:
        """Every single step from the base on, some of them folded away, and perhaps some from before."""
        place = draw(st.integers(0, self.base))
        while place < len(self.versions) - 1:
            # The base must be reached: nothing is folded across it.
            last = self.base if place < self.base else len(self.versions) - 1
            until = draw(st.integers(place + 1, last))
            yield self._delta(place, until)
            if until > place + 1 and draw(st.booleans()):
                yield from (self._delta(each, each + 1) for each in range(place, until))
            place = until

    def _delta(self, place: int, until: int) -> Delta:
        before, after = self.states[place], self.states[until]
        touched = {each for state in self.states[place : until + 1] for each in state}
        self.files[self.versions[place], self.versions[until]] = {
            each: after.get(each, b"") for each in touched | before.keys() | after.keys()
        }
        return delta(self.versions[place], self.versions[until], steps=until - place)

    def state_at(self, version: int) -> State | None:
        """The state in a snapshot; None before the first."""
        past = [state for known, state in zip(self.versions, self.states, strict=True) if known <= version]
        return past[-1] if past else None

    def bodies(self, version: int) -> Iterator[tuple[bytes, bytes]]:
        base = self.manifest.base.version
        steps = steps_between(self.manifest, base, version)
        assert steps is not None
        return latest([iter(sorted(self.states[self.base].items())), *self.changes(steps)])

    def changes(self, steps: tuple[Delta, ...]) -> list[Iterator[tuple[bytes, bytes]]]:
        return [iter(sorted(self.files[each.since, each.version].items())) for each in steps]


@given(st.data())
def test_a_difference_is_that_of_the_states_or_is_not_known(data: st.DataObject) -> None:
    history = History(data.draw)
    known = spans(history.manifest, history.present)
    earlier = data.draw(st.integers(1, history.present), label="earlier")
    later = data.draw(st.integers(earlier, history.present), label="later")
    first, last = version_at(known, earlier), version_at(known, later)

    assert version_at(known, history.present) == history.manifest.version
    if first is None or last is None:
        return
    before, after = history.state_at(earlier), history.state_at(later)
    assert before is not None
    assert after is not None
    assert {each: content for each, content in history.bodies(first) if content} == before
    steps = steps_between(history.manifest, first, last)
    assert steps is not None
    expected = Difference()
    for each in before.keys() | after.keys():
        expected.note(before.get(each, b""), after.get(each, b""))
    assert expected == compare(history.bodies(first), latest(history.changes(steps)))


@given(st.data())
def test_a_version_that_is_said_to_be_known_in_a_snapshot_was_the_last_one_by_then(data: st.DataObject) -> None:
    history = History(data.draw)
    known = spans(history.manifest, history.present)

    for version in range(1, history.present + 1):
        found = version_at(known, version)
        assert found is None or found == max(each for each in history.versions if each <= version)
