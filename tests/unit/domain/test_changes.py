"""What a change is to a partner, and cursors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.changes import ChangeKind, Cursor, Standing, kind_of, read_cursor

ABSENT, IN_FORCE, STAYED, RELEASED, WITHDRAWN, IN_ERROR, ENDED = Standing


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (ABSENT, IN_FORCE, ChangeKind.ENTRY_ADDED),
        (WITHDRAWN, IN_FORCE, ChangeKind.ENTRY_ADDED),
        (ENDED, IN_FORCE, ChangeKind.ENTRY_ADDED),
        (IN_FORCE, IN_FORCE, ChangeKind.AMENDED),
        (STAYED, STAYED, ChangeKind.AMENDED),
        (IN_FORCE, STAYED, ChangeKind.STAYED),
        (ABSENT, STAYED, ChangeKind.STAYED),
        (RELEASED, IN_FORCE, ChangeKind.ENTRY_ADDED),
        (IN_ERROR, IN_FORCE, ChangeKind.ENTRY_ADDED),
        (STAYED, IN_FORCE, ChangeKind.REINSTATED),
        (IN_FORCE, RELEASED, ChangeKind.RELEASED),
        (STAYED, RELEASED, ChangeKind.RELEASED),
        (RELEASED, IN_ERROR, ChangeKind.RELEASED_IN_ERROR),
        (WITHDRAWN, IN_ERROR, ChangeKind.RELEASED_IN_ERROR),
        (IN_FORCE, ABSENT, ChangeKind.WITHDRAWN),
        (ABSENT, ABSENT, None),
        (ABSENT, IN_ERROR, None),
        (IN_ERROR, IN_ERROR, None),
        (RELEASED, ABSENT, None),
        (ENDED, RELEASED, None),
        (IN_FORCE, WITHDRAWN, ChangeKind.WITHDRAWN),
        (STAYED, WITHDRAWN, ChangeKind.WITHDRAWN),
        (IN_FORCE, ENDED, ChangeKind.EXPIRED),
        (STAYED, ENDED, ChangeKind.EXPIRED),
        (ABSENT, ENDED, None),
        (ENDED, WITHDRAWN, None),
        (WITHDRAWN, ENDED, None),
        (ENDED, ENDED, None),
    ],
)
def test_a_change_is_told_by_what_it_is_to_whoever_acted_on_the_version_before(
    before: Standing, after: Standing, kind: ChangeKind | None
) -> None:
    assert kind == kind_of(before, after)


@given(st.sampled_from(Standing), st.sampled_from(Standing))
def test_what_binds_again_and_what_binds_no_more_is_never_kept_back(before: Standing, after: Standing) -> None:
    binding = {IN_FORCE, STAYED}
    if (before in binding) != (after in binding):
        assert kind_of(before, after) is not None


@given(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.from_regex(r"[0-9a-f]{32}", fullmatch=True))
def test_a_cursor_is_read_as_it_was_written(feed: str, mark: str) -> None:
    cursor = Cursor(feed, mark)

    assert cursor == read_cursor(str(cursor))


@pytest.mark.parametrize(
    "text",
    ["", "oldest", "0123456-1", f"01234567-{33 * '0'}", "01234567--1", "01234567-1\n", "0123456A-1", "01234567-\u0661"],
)
def test_what_is_no_cursor_is_not_read(text: str) -> None:
    assert None is read_cursor(text)
