"""Codes and sessions of subjects, and what the registry keeps about one, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import NotFound
from portcullis.ports import Look, SubjectSession
from tests.support.policies import NOW
from tests.support.registry_entries import an_entry, document
from tests.support.rights import NOTE, Office, a_number, clearances, tokens

ENDS = NOW + 86_400.0


def keep_code(office: Office, digest: str = "d1", number: int = 1, *, tries: int = 5) -> None:
    """Keep a code for the holder of a passport."""
    office.rights.keep_code(digest, tokens(number), expires_at=ENDS, tries=tries, note=NOTE)


def use(office: Office, digest: str = "d1", number: int = 1, *, now: float = NOW) -> bool:
    return office.rights.use_code(digest, tokens(number), now=now)


def a_session(number: int = 1, handle: str = "h1") -> SubjectSession:
    return SubjectSession(handle=handle, tokens=tokens(number), expires_at=NOW + 3600.0)


# --- codes ------------------------------------------------------------


def test_a_code_can_be_used_once(office: Office) -> None:
    keep_code(office)
    assert use(office)
    assert not use(office)


def test_the_order_of_the_tokens_does_not_matter(office: Office) -> None:
    keep_code(office)
    assert office.rights.use_code("d1", tokens(1)[::-1], now=NOW)


def test_a_code_is_good_for_one_holder_alone(office: Office) -> None:
    keep_code(office)
    assert not use(office, number=2)
    assert not office.rights.use_code("d1", tokens(1)[:1], now=NOW)
    assert not office.rights.use_code("d1", (*tokens(1), *tokens(2)), now=NOW)
    assert use(office)


def test_a_code_ends_with_its_time(office: Office) -> None:
    keep_code(office)
    assert not use(office, now=ENDS)
    assert use(office, now=ENDS - 0.5)


def test_a_later_code_ends_the_earlier_one_and_its_tries(office: Office) -> None:
    keep_code(office, "d1", tries=1)
    assert not use(office, "wrong")
    keep_code(office, "d2", tries=1)
    keep_code(office, "d3", number=2)
    assert use(office, "d2")
    assert not use(office, "d1")
    assert use(office, "d3", number=2)


def test_the_last_try_counts_and_then_the_right_code_comes_too_late(office: Office) -> None:
    keep_code(office, tries=2)
    assert not use(office, "wrong")
    assert use(office)
    keep_code(office, tries=2)
    assert [False, False, False] == [use(office, digest) for digest in ("wrong", "wrong", "d1")]


def test_a_try_is_spent_even_if_nobody_lives_to_hear_of_it(office: Office) -> None:
    keep_code(office, tries=1)
    office.rights.use_code("wrong", tokens(1), now=NOW)
    assert office.scalars("SELECT tries FROM subject_codes") == [0]


def test_of_two_who_use_a_code_at_once_one_gets_in(office: Office) -> None:
    for _ in range(5):
        keep_code(office)
        start = Barrier(2)

        def enter(gate: Barrier) -> bool:
            gate.wait(10)
            return use(office)

        with ThreadPoolExecutor(2) as pool:
            assert sorted(each.result(30) for each in [pool.submit(enter, start) for _ in range(2)]) == [False, True]


def test_of_wrong_codes_at_once_none_is_tried_for_nothing(office: Office) -> None:
    keep_code(office, tries=4)
    with ThreadPoolExecutor(4) as pool:
        assert [False] * 4 == list(pool.map(lambda number: use(office, f"wrong{number}"), range(4)))
    assert not use(office)


def test_the_log_says_who_issued_a_code_and_not_for_whom(office: Office) -> None:
    keep_code(office)
    assert office.last_change() == ("subject-code", "rev", "subject", "as told", "D-1")


# --- sessions ------------------------------------------------------------


def test_a_session_is_given_until_it_ends(office: Office) -> None:
    office.rights.keep_session("s1", a_session())
    assert a_session() == office.rights.session("s1", now=NOW + 3599.5)
    assert office.rights.session("s1", now=NOW + 3600.0) is None
    assert office.rights.session("s2", now=NOW) is None


# --- what is kept about a subject ------------------------------------------------------------


def test_all_entries_of_a_subject_are_found_whatever_became_of_them(office: Office) -> None:
    office.put(an_entry("k3", document(1), document(3)))
    office.step(Step.RELEASE)
    office.step(Step.WITHDRAW, "k3")
    found = office.rights.entries_of(tokens(1))
    assert [office.entry(), office.entry("k1", "carrier"), office.entry("k3")] == list(found)
    assert [office.entry("k3")] == list(office.rights.entries_of(tokens(3)))
    assert list(office.rights.entries_of(tokens(9))) == []
    assert list(office.rights.entries_of(())) == []


def test_an_entry_is_no_more_found_by_a_number_that_it_has_lost(office: Office) -> None:
    office.put(an_entry("k1", document(4)))
    assert [office.entry("k1", "carrier")] == list(office.rights.entries_of(tokens(1)))
    assert [office.entry()] == list(office.rights.entries_of(tokens(4)))


def test_a_clearance_finds_nothing_and_is_no_token_of_the_subject(office: Office) -> None:
    office.rights.issue_number(a_number(), note=NOTE)
    assert list(office.rights.entries_of(clearances(1, 2))) == []
    assert office.entry() in office.rights.entries_of(tokens(1))
    assert tokens(1) == tuple(office.rights.tokens_of("court", "k1"))
    with pytest.raises(NotFound):
        office.rights.tokens_of("court", "k9")


def test_what_an_entry_was_ever_found_by_is_told_without_clearances(office: Office) -> None:
    office.rights.issue_number(a_number(), note=NOTE)
    office.put(an_entry("k1", document(4)))
    assert {*tokens(1), *tokens(4)} == set(office.rights.ever_tokens_of("court", "k1"))
    with pytest.raises(NotFound):
        office.rights.ever_tokens_of("court", "k9")


def test_the_looks_at_each_entry_are_given_in_their_order(office: Office) -> None:
    office.registry.note_looks("court", ["k1", "k2"], actor="ann", purpose="first")
    office.registry.note_looks("court", ["k1"], actor="bob", purpose="second")
    first, second, other = (office.entry(*name).entry_id for name in (("k1",), ("k2",), ("k1", "carrier")))
    ann = Look(actor="ann", at=float(NOW), purpose="first")
    bob = Look(actor="bob", at=float(NOW), purpose="second")
    assert {first: [ann, bob], second: [ann], other: []} == office.rights.looks_at([first, second, other])


# --- erasing ------------------------------------------------------------


def test_who_an_ended_entry_was_about_is_gone_and_the_entry_is_not(office: Office) -> None:
    office.put(an_entry("k1", document(1), purpose="another"))
    gone = office.step(Step.RELEASE)
    office.registry.note_looks("court", ["k1"], actor="ann", purpose="seen")
    history = office.registry.history("court", "k1")
    assert office.rights.erase_of(tokens(1), note=NOTE) == (1, 1)
    with pytest.raises(NotFound):
        office.registry.identity("court", "k1")
    assert gone == office.entry()
    assert history == office.registry.history("court", "k1")
    assert len(office.registry.looks("court", "k1")) == 1
    assert list(office.rights.tokens_of("court", "k1")) == []


def test_a_listed_entry_is_kept_whole(office: Office) -> None:
    before, index = office.entry(), office.indexed()
    assert office.rights.erase_of(tokens(1), note=NOTE) == (0, 2)
    assert (before, index) == (office.entry(), office.indexed())
    assert (document(1),) == office.registry.identity("court", "k1").identifiers
    office.step(Step.STAY)
    assert office.rights.erase_of(tokens(1), note=NOTE) == (0, 2)


def test_who_an_entry_was_about_that_has_ended_by_the_clock_is_gone_too(office: Office) -> None:
    office.clock.time = office.entry().effective_until - 1
    assert office.rights.erase_of(tokens(1), note=NOTE) == (0, 2)
    office.clock.time += 1
    assert office.rights.erase_of(tokens(1), note=NOTE) == (2, 0)
    assert list(office.rights.entries_of(tokens(1))) == []


def test_an_entry_that_may_still_be_approved_is_kept(office: Office) -> None:
    office.step(Step.WITHDRAW)
    proposed = office.put(an_entry("k1", document(1)), four_eyes=True)
    assert proposed.status == EntryStatus.PROPOSED
    office.rights.erase_of(tokens(1), note=NOTE)
    office.step(Step.APPROVE, actor="cat")
    assert set(tokens(1)) == set(office.indexed())


def test_an_erased_entry_is_found_no_more_and_erased_once(office: Office) -> None:
    office.step(Step.RELEASE)
    office.rights.erase_of(tokens(1), note=NOTE)
    assert [office.entry("k1", "carrier")] == list(office.rights.entries_of(tokens(1)))
    assert office.rights.erase_of(tokens(1), note=NOTE) == (0, 1)


def test_an_erased_entry_can_be_listed_again_with_its_subject(office: Office) -> None:
    office.step(Step.RELEASE)
    office.rights.erase_of(tokens(1), note=NOTE)
    again = office.put(an_entry("k1", document(1)))
    assert again.status == EntryStatus.IN_FORCE
    assert set(tokens(1)) == set(office.indexed())
    assert (document(1),) == office.registry.identity("court", "k1").identifiers


def test_codes_and_sessions_of_who_is_erased_end_with_them(office: Office) -> None:
    office.put(an_entry("k1", document(1), document(4)))
    office.step(Step.RELEASE)
    for number in (1, 2, 4):
        keep_code(office, f"d{number}", number)
        office.rights.keep_session(f"s{number}", a_session(number))
    office.rights.erase_of(tokens(1), note=NOTE)
    assert [False, True, False] == [use(office, f"d{number}", number) for number in (1, 2, 4)]
    assert [None, a_session(2), None] == [office.rights.session(f"s{number}", now=NOW) for number in (1, 2, 4)]


def test_the_clearances_of_an_erased_entry_are_gone(office: Office) -> None:
    office.rights.issue_number(a_number(), note=NOTE)
    office.step(Step.RELEASE)
    office.rights.erase_of(tokens(1), note=NOTE)
    assert [()] == [each.clearances for each in office.rights.numbers("court", "k1")]
    office.put(an_entry("k1", document(1)))
    assert set(tokens(1)) == set(office.indexed())


def test_a_publisher_that_stood_still_learns_what_was_erased_meanwhile(office: Office) -> None:
    office.put(an_entry("k1", document(1), document(4)))
    seen = office.registry.head()
    office.put(an_entry("k1", document(5)))
    office.step(Step.RELEASE)
    office.rights.erase_of(tokens(5), note=NOTE)
    with office.registry.view() as view:
        touched = {(token, name): entries for token, name, entries in view.touched(seen, NOW)}
    expected = {(token, "court"): () for number in (1, 4, 5) for token in tokens(number)}
    assert expected == touched


def test_the_log_says_who_erased_an_entry_and_why(office: Office) -> None:
    office.step(Step.RELEASE)
    office.rights.erase_of(tokens(1), note=StepNote(actor="op", why="asked for"))
    assert office.last_change() == ("erase", "op", "court/k1", "asked for", "")
