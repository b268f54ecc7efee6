"""How often codes may be tried in a minute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portcullis.domain.errors import Unauthenticated
from portcullis.registry.code_tries import MINUTE_S, WRONG_OF_ALL, WRONG_OF_ONE, CodeTries
from portcullis.registry.subject_codes import CODE_LENGTH, SubjectCodes
from tests.support.clocks import HandClock
from tests.support.people import passport
from tests.support.registry_entries import TOKENISER
from tests.support.rights_homes import RightsHome, rights_home

OWN = passport(1)
WRONG = "0" * CODE_LENGTH


def refusal(codes: SubjectCodes, proof: str, number: int = 1) -> str:
    with pytest.raises(Unauthenticated) as caught:
        codes.verify(passport(number), proof)
    return str(caught.value)


def codes_of(home: RightsHome) -> SubjectCodes:
    return SubjectCodes(home.rights, tokeniser=TOKENISER, clock=home.clock)


def test_so_many_of_one_holder_and_no_more_until_the_minute_is_over() -> None:
    clock = HandClock()
    tries = CodeTries(clock)
    assert [True] * WRONG_OF_ONE + [False] == [tries.take(b"one") for _ in range(WRONG_OF_ONE + 1)]
    assert tries.take(b"another")
    clock.advance(MINUTE_S)
    assert tries.take(b"one")


def test_so_many_of_all_holders_together() -> None:
    tries = CodeTries(HandClock())
    taken = [tries.take(number.to_bytes(2, "big")) for number in range(WRONG_OF_ALL + 1)]
    assert [True] * WRONG_OF_ALL + [False] == taken


def test_a_right_one_is_taken_back() -> None:
    tries = CodeTries(HandClock())
    for _ in range(5 * WRONG_OF_ALL):
        assert tries.take(b"one")
        tries.give_back(b"one")
    assert tries.take(b"one")


def test_one_taken_back_after_its_minute_does_not_count_for_the_next() -> None:
    clock = HandClock()
    tries = CodeTries(clock)
    tries.take(b"one")
    clock.advance(MINUTE_S)
    assert tries.take(b"another")
    tries.give_back(b"one")
    assert [True] * (WRONG_OF_ONE) + [False] == [tries.take(b"one") for _ in range(WRONG_OF_ONE + 1)]


def test_tries_at_once_do_not_pass_together() -> None:
    tries = CodeTries(HandClock())
    with ThreadPoolExecutor(8) as pool:
        assert WRONG_OF_ONE == sum(pool.map(tries.take, [b"one"] * 200))


def test_a_guesser_is_refused_unseen_with_the_same_answer_and_costs_the_code_nothing(tmp_path: Path) -> None:
    with rights_home(tmp_path) as home:
        codes = codes_of(home)
        wrong = {refusal(codes, WRONG) for _ in range(WRONG_OF_ONE)}
        code, _ = codes.issue(OWN, actor="otto")
        assert wrong == {refusal(codes, code)} == {refusal(codes, WRONG)}
        home.clock.advance(MINUTE_S)
        assert TOKENISER.index_tokens(OWN)[0] in codes.verify(OWN, code)


def test_a_flood_of_wrong_codes_for_others_stops_everyone_for_a_minute_and_spends_no_code(tmp_path: Path) -> None:
    with rights_home(tmp_path) as home:
        codes = codes_of(home)
        code, _ = codes.issue(OWN, actor="otto")
        for number in range(2, 2 + WRONG_OF_ALL // WRONG_OF_ONE):
            for _ in range(WRONG_OF_ONE):
                codes._tries.take(TOKENISER.index_tokens(passport(number))[0])
        assert "try once more in a minute" in refusal(codes, code)
        home.clock.advance(MINUTE_S)
        assert codes.verify(OWN, code)


def test_what_is_refused_unseen_takes_the_same_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rights_home(tmp_path) as home:
        codes = codes_of(home)
        asked: list[tuple[str, int]] = []
        real = home.rights.use_code

        def noted(digest: str, tokens: tuple[bytes, ...], *, now: float) -> bool:
            asked.append((digest, len(tokens)))
            return real(digest, tokens, now=now)

        monkeypatch.setattr(home.rights, "use_code", noted)
        for _ in range(WRONG_OF_ONE + 2):
            refusal(codes, WRONG)
        assert WRONG_OF_ONE + 2 == len(asked)
        assert 1 == len({(len(digest), tokens) for digest, tokens in asked})
