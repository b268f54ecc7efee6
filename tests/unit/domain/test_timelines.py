"""The names that a log goes by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.changes import Cursor, read_cursor
from portcullis.domain.subjects import SubjectNames
from portcullis.domain.timelines import TIMELINE_BYTES, log_of_timeline

NAMES = SubjectNames(bytes(range(32)))
TIMELINES = st.binary(min_size=TIMELINE_BYTES, max_size=TIMELINE_BYTES).map(bytes.hex)


def test_a_log_that_was_never_restored_goes_by_its_origin() -> None:
    assert "portcullis/journal/5e1f" == log_of_timeline("portcullis/journal/5e1f", "")


@given(TIMELINES, TIMELINES, st.integers(0, 10**9))
def test_a_place_of_one_timeline_is_none_of_another(one: str, other: str, position: int) -> None:
    logs = [log_of_timeline("portcullis/journal/5e1f", each) for each in (one, other)]
    mark = NAMES.mark("court", logs[0], position)

    assert (position if one == other else None) == NAMES.position("court", logs[1], mark)
    assert NAMES.position("court", "portcullis/journal/5e1f", mark) is None


@given(TIMELINES, TIMELINES, st.integers(0, 10**9))
def test_a_cursor_can_not_be_carried_into_another_timeline_by_writing_its_name_in(
    one: str, other: str, position: int
) -> None:
    cursor = read_cursor(str(Cursor(one, NAMES.mark("lender", one, position))))

    assert cursor is not None
    assert one == cursor.feed
    assert (position if one == other else None) == NAMES.position("lender", other, cursor.mark)
