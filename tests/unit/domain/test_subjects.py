from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.subjects import SUBJECT_LENGTH, SubjectNames

NAMES = SubjectNames(bytes(range(32)))
LOG = "0011aabb"
POSITIONS = st.integers(0, 10**18)


@given(POSITIONS)
def test_a_mark_names_its_place_for_its_holder(position: int) -> None:
    mark = NAMES.mark("lender", LOG, position)

    assert SUBJECT_LENGTH == len(mark)
    assert position == NAMES.position("lender", LOG, mark)


@given(POSITIONS, POSITIONS)
def test_a_mark_is_nothing_to_another_holder_nor_in_another_log_nor_under_another_key(one: int, other: int) -> None:
    mark = NAMES.mark("lender", LOG, one)

    assert mark != NAMES.mark("shop", LOG, one)
    assert None is NAMES.position("shop", LOG, mark)
    assert None is NAMES.position("lender", "ffffffff", mark)
    assert None is SubjectNames(bytes(32)).position("lender", LOG, mark)
    assert (one == other) == (mark == NAMES.mark("lender", LOG, other))


@given(st.text("0123456789abcdefABCDEF_+ \n-", max_size=33))
def test_a_mark_that_was_made_up_names_no_place(text: str) -> None:
    assert None is NAMES.position("lender", LOG, text)
    assert None is NAMES.position("lender", LOG, NAMES.mark("lender", LOG, 7).upper())


@given(POSITIONS, st.integers(1, 5), st.integers(1, 5))
def test_with_another_epoch_of_its_key_every_name_and_mark_of_a_holder_is_another(one: int, epoch: int, other: int) -> None:
    mark = NAMES.mark("lender", LOG, one, epoch)

    assert one == NAMES.position("lender", LOG, mark, epoch)
    assert (epoch == other) == (one == NAMES.position("lender", LOG, mark, other))
    assert (epoch == other) == (NAMES.name("lender", 1, 7, epoch) == NAMES.name("lender", 1, 7, other))
    assert NAMES.name("lender", 1, 7, epoch) != NAMES.name("shop", 1, 7, epoch)
