"""The desk of subjects over a registry in SQLite: codes, sessions, redress numbers, erasure."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from portcullis.domain.entries import EntryStatus, GivenIdentifier
from portcullis.domain.errors import InvalidRequest, NotFound, StepNotAllowed, Unauthenticated
from portcullis.domain.identifiers import Identifier
from portcullis.domain.redress_numbers import read_number
from portcullis.domain.roles import SESSION_PREFIX
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import SubjectErasure, SubjectRecord
from portcullis.registry.subject_codes import CODE_LENGTH, CODE_S, TRIES, SubjectCodes
from portcullis.registry.subjects import SESSION_S, Subjects
from tests.support.decision_records import a_record
from tests.support.policies import NOW, a_list
from tests.support.registry_entries import TOKENISER, document
from tests.support.rights_homes import RightsHome, rights_home
from tests.support.token_rings import FIRST, SECOND, Ring

OWN, MISTAKEN, OTHER = document(1), Identifier("phone", "+447700900001"), document(2)


def given(identifier: Identifier, **changes: str) -> GivenIdentifier:
    values = {"kind": identifier.kind, "value": identifier.value, "country": identifier.country}
    return GivenIdentifier(**(values | changes))


class Records:
    """Tells who asked for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[Collection[bytes], str, str]] = []

    def record(self, tokens: Collection[bytes], *, locale: str, actor: str) -> SubjectRecord:
        self.asked.append((tokens, locale, actor))
        return SubjectRecord(record={}, text="", locale=locale)


class Place:
    """A home with the desk on it."""

    def __init__(self, home: RightsHome) -> None:
        self.home = home
        self.records = Records()
        self.codes = SubjectCodes(home.rights, tokeniser=TOKENISER, clock=home.clock)
        self.desk = Subjects(
            home.registry,
            home.rights,
            home.journal,
            tokeniser=TOKENISER,
            codes=self.codes,
            verifier=self.codes,
            records=self.records,
            names=home.names,
            clock=home.clock,
        )

    def code(self, identifier: Identifier = OWN) -> str:
        return self.desk.issue_code(given(identifier), actor="otto")[0]

    def number(self, **changes: Any) -> tuple[str, str]:
        values: dict[str, Any] = {
            "mistaken": given(MISTAKEN),
            "own": given(OWN),
            "case_id": "",
            "why": "the number was reassigned",
            "actor": "rita",
        }
        return self.desk.issue_number("court", "k1", **(values | changes))

    def indexed(self, key: str = "k1") -> set[bytes]:
        """The tokens that gateways find an entry under."""
        entry_id = self.home.registry.entry("court", key).entry_id
        with self.home.registry.view() as view:
            return {token for token, each in view.index(["court"]) if each.entry_id == entry_id}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with rights_home(tmp_path, a_list("court"), a_list("carrier")) as home:
        home.put("k1", MISTAKEN, OTHER)
        yield Place(home)


def strong(identifier: Identifier) -> bytes:
    return TOKENISER.index_tokens(identifier)[0]


def test_a_code_is_exchanged_for_a_session_that_sees_what_names_its_holder(place: Place) -> None:
    code, ends = place.desk.issue_code(given(OWN), actor="otto")
    credential, session_ends = place.desk.begin_session(given(OWN), code)
    session = place.desk.session(credential)

    assert (CODE_LENGTH, NOW + CODE_S, NOW + SESSION_S) == (len(code), ends, session_ends)
    assert credential.startswith(SESSION_PREFIX)
    assert (strong(OWN),) == session.tokens
    assert session.handle not in credential
    place.desk.record(session, locale="zh")
    assert [((strong(OWN),), "zh", "subject")] == place.records.asked


def test_a_code_is_read_however_it_is_written(place: Place) -> None:
    for write in (str.lower, lambda code: f"{code[:4]}-{code[4:8]} {code[8:]}", lambda code: code.replace("0", "o")):
        place.desk.begin_session(given(OWN), write(place.code()))


def test_a_code_is_good_once(place: Place) -> None:
    code = place.code()
    place.desk.begin_session(given(OWN), code)
    with pytest.raises(Unauthenticated):
        place.desk.begin_session(given(OWN), code)


def test_a_code_is_good_for_its_identifier_alone(place: Place) -> None:
    code = place.code()
    for other in (OTHER, MISTAKEN, document(1, "XB")):
        with pytest.raises(Unauthenticated):
            place.desk.begin_session(given(other), code)
    place.desk.begin_session(given(OWN), code)


def test_the_fifth_wrong_code_ends_the_right_one(place: Place) -> None:
    code = place.code()
    for _ in range(TRIES - 1):
        with pytest.raises(Unauthenticated):
            place.desk.begin_session(given(OWN), "0" * CODE_LENGTH)
    place.desk.begin_session(given(OWN), code)

    code = place.code()
    for _ in range(TRIES):
        with pytest.raises(Unauthenticated):
            place.desk.begin_session(given(OWN), "0" * CODE_LENGTH)
    with pytest.raises(Unauthenticated):
        place.desk.begin_session(given(OWN), code)


def test_a_code_ends_with_its_day_and_with_the_next_one(place: Place) -> None:
    first, second = place.code(), place.code()
    with pytest.raises(Unauthenticated):
        place.desk.begin_session(given(OWN), first)
    place.home.clock.advance(CODE_S)
    with pytest.raises(Unauthenticated):
        place.desk.begin_session(given(OWN), second)


def test_a_session_ends_after_its_hour(place: Place) -> None:
    credential, _ = place.desk.begin_session(given(OWN), place.code())
    place.home.clock.advance(SESSION_S - 1)
    place.desk.session(credential)
    place.home.clock.advance(1)
    with pytest.raises(Unauthenticated):
        place.desk.session(credential)


@pytest.mark.parametrize("credential", ["", "pcs_", "pcs_x", "pcl_key", "\ud800"])
def test_no_other_text_is_a_session(place: Place, credential: str) -> None:
    with pytest.raises(Unauthenticated):
        place.desk.session(credential)


def test_an_identifier_that_is_not_certain_proves_nobody(place: Place) -> None:
    with pytest.raises(InvalidRequest, match=r"identifier\.country: is needed"):
        place.desk.issue_code(given(OWN, country=""), actor="otto")
    with pytest.raises(InvalidRequest, match=r"identifier\.country: is needed"):
        place.desk.begin_session(given(OWN, country=""), "0" * CODE_LENGTH)
    with pytest.raises(InvalidRequest, match=r"identifier\.value") as caught:
        place.desk.issue_code(given(MISTAKEN, value="12"), actor="otto")
    assert "12" not in str(caught.value).replace("E.164", "")


def test_a_redress_number_indexes_what_a_check_with_it_asks_for(place: Place) -> None:
    before = place.indexed()
    text, number_id = place.number()

    clearance = TOKENISER.clearance(read_number(text), strong(OWN), strong(MISTAKEN))
    assert before | {clearance} == place.indexed()
    assert [(number_id, (clearance,))] == [
        (each.number_id, each.clearances) for each in place.home.rights.numbers("court", "k1")
    ]
    assert [strong(OWN)] != list(place.home.rights.tokens_of("court", "k1"))


def test_a_number_counts_for_each_way_in_which_the_mistaken_document_finds_the_entry(place: Place) -> None:
    text, _ = place.number(mistaken=given(OTHER), own=given(document(2, "XB")))

    number, own = read_number(text), strong(document(2, "XB"))
    expected = {TOKENISER.clearance(number, own, token) for token in TOKENISER.index_tokens(OTHER)}
    assert 2 == len(expected)
    assert expected == place.indexed() & expected


def test_the_mistaken_identifier_must_find_the_entry_and_the_own_one_must_not(place: Place) -> None:
    with pytest.raises(InvalidRequest, match="mistaken: does not find"):
        place.number(mistaken=given(Identifier("phone", "+447700900002")))
    with pytest.raises(InvalidRequest, match="mistaken: does not find"):
        place.number(mistaken=given(document(3)))
    with pytest.raises(InvalidRequest, match="own: finds this entry"):
        place.number(own=given(OTHER))
    with pytest.raises(InvalidRequest, match=r"own\.country"):
        place.number(own=given(OWN, country=""))
    with pytest.raises(InvalidRequest, match="why"):
        place.number(why=" ")
    with pytest.raises(InvalidRequest, match="case_id"):
        place.number(case_id="x" * 16)
    with pytest.raises(NotFound):
        place.desk.issue_number("court", "k9", mistaken=given(MISTAKEN), own=given(OWN), case_id="", why="x", actor="rita")
    assert [] == list(place.home.rights.numbers("court", "k1"))


def test_no_number_is_issued_for_an_entry_that_has_left_its_list(place: Place) -> None:
    place.home.registry.withdraw_entry("court", "k1", reason="an error", actor="ann")
    with pytest.raises(StepNotAllowed):
        place.number()


def test_a_revoked_number_counts_no_more_and_others_do(place: Place) -> None:
    before = place.indexed()
    (_, first), (_, second) = place.number(), place.number(own=given(document(7)))
    kept = next(each for each in place.home.rights.numbers("court", "k1") if each.number_id == second)

    for _ in range(2):
        place.desk.revoke_number(first, why="was lent", actor="rita")

    assert before | set(kept.clearances) == place.indexed()
    with pytest.raises(NotFound):
        place.desk.revoke_number("absent", why="x", actor="rita")


def test_a_cleared_person_does_not_see_the_entry_as_theirs(place: Place) -> None:
    place.number()
    assert [] == list(place.home.rights.entries_of([strong(OWN)]))


def test_erasing_leaves_what_is_listed_and_the_records_of_it(place: Place) -> None:
    place.home.put("k2", OTHER)
    place.home.registry.withdraw_entry("court", "k2", reason="an error", actor="ann")
    place.home.journal.record_decisions([a_record("d1", tokens=(strong(OTHER).hex(),))])

    assert SubjectErasure(1, 0, 1, 0) == place.desk.erase(given(OTHER), why="asked for", actor="otto")

    with pytest.raises(NotFound):
        place.home.registry.identity("court", "k2")
    assert place.home.journal.decision("d1", actor="otto", purpose="test").record is not None


def test_erasing_who_is_not_listed_destroys_the_keys_of_the_records_too(place: Place) -> None:
    place.home.registry.withdraw_entry("court", "k1", reason="an error", actor="ann")
    place.home.journal.record_decisions([a_record("d1", tokens=(strong(OTHER).hex(),))])

    assert SubjectErasure(1, 1, 0, 0) == place.desk.erase(given(OTHER), why="asked for", actor="otto")
    assert SubjectErasure(0, 0, 0, 0) == place.desk.erase(given(OTHER), why="asked for", actor="otto")

    assert EntryStatus.WITHDRAWN == place.home.registry.entry("court", "k1").status
    assert place.home.journal.decision("d1", actor="otto", purpose="test").record is None


def test_codes_numbers_and_credentials_are_made_of_what_nobody_can_predict(place: Place) -> None:
    made = [place.code(document(number)) for number in range(10, 14)]
    made += [place.desk.begin_session(given(document(place_ + 10)), code)[0] for place_, code in enumerate(made)]
    made += list(itertools.chain(place.number(), place.number(own=given(document(7)))))
    assert len(made) == len(set(made))


# --- token keys that follow one another -------------------------------------------------------------------------------


def test_a_code_of_before_another_token_key_came_is_good_until_the_next_is_issued(place: Place) -> None:
    ring = Ring(FIRST)
    codes = SubjectCodes(place.home.rights, tokeniser=ring, clock=place.home.clock)
    first, _ = codes.issue(OWN, actor="otto")
    ring.keys[2] = SECOND
    assert 2 == len(codes.verify(OWN, first))
    ring.keys.pop(2)
    second, _ = codes.issue(OWN, actor="otto")
    ring.keys[2] = SECOND
    third, _ = codes.issue(OWN, actor="otto")
    with pytest.raises(Unauthenticated):
        codes.verify(OWN, second)
    assert 2 == len(codes.verify(OWN, third))


def test_a_number_issued_while_two_keys_are_here_counts_under_both_wherever_the_entry_stands(place: Place) -> None:
    desk = Subjects(
        place.home.registry,
        place.home.rights,
        place.home.journal,
        tokeniser=Ring(FIRST, SECOND),
        codes=place.codes,
        verifier=place.codes,
        records=place.records,
        names=place.home.names,
        clock=place.home.clock,
    )
    text, _ = desk.issue_number(
        "court", "k1", mistaken=given(MISTAKEN), own=given(OWN), case_id="", why="reassigned", actor="rita"
    )
    number = read_number(text)
    expected = {
        key.clearance(number, own, by)
        for key in (FIRST, SECOND)
        for own in _strong(key)
        for by in key.index_tokens(MISTAKEN)
    }
    assert expected
    assert expected <= place.indexed()


def _strong(key: Tokeniser) -> list[bytes]:
    probes: list[tuple[bytes, bool]] = []
    key.probes(OWN.kind, OWN.value, OWN.country, probes)
    return [token for token, weak in probes if not weak]
