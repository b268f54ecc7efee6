"""The incremental digest of a list."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portcullis.domain.multisets import DIGEST_BYTES, EMPTY, MultisetDigest
from portcullis.domain.segments import TOKEN_BYTES

tokens = st.integers(0, 9).map(lambda number: bytes([number]) * TOKEN_BYTES)
some_bodies = st.binary(min_size=1, max_size=4)
states = st.dictionaries(tokens, some_bodies, max_size=8)


def digest_of(state: dict[bytes, bytes]) -> MultisetDigest:
    digest = MultisetDigest()
    digest.add_all(state.items())
    return digest


@given(states, st.randoms())
def test_the_order_plays_no_part(state: dict[bytes, bytes], random: object) -> None:
    pairs = list(state.items())
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert digest_of(state).hex() == digest_of(dict(pairs)).hex()


@given(states, states)
def test_a_change_leads_from_one_state_to_the_other(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> None:
    digest = digest_of(before)
    for token in before.keys() | after.keys():
        digest.replace(token, before.get(token, b""), after.get(token, b""))
    assert (digest_of(after).hex(), len(after)) == (digest.hex(), digest.count)


@given(states, states)
def test_different_states_have_different_digests(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> None:
    assert (one == other) == (digest_of(one).hex() == digest_of(other).hex())


@given(states)
def test_a_digest_goes_on_from_its_text(state: dict[bytes, bytes]) -> None:
    digest = MultisetDigest(digest_of(state).hex(), len(state))
    digest.replace(b"n" * TOKEN_BYTES, b"", b"new")
    assert (digest_of(state | {b"n" * TOKEN_BYTES: b"new"}).hex(), len(state) + 1) == (digest.hex(), digest.count)


def test_an_element_counts_as_often_as_it_is_there() -> None:
    twice = MultisetDigest()
    twice.add_all([(bytes(TOKEN_BYTES), b"body")] * 2)
    assert digest_of({bytes(TOKEN_BYTES): b"body"}).hex() != twice.hex()
    assert 2 == twice.count


def test_it_is_the_sum_of_the_elements_hashes() -> None:
    pairs = [(b"a" * TOKEN_BYTES, b"1"), (b"b" * TOKEN_BYTES, b"2")]
    total = sum(int.from_bytes(blake2b(token + body).digest(), "little") for token, body in pairs) % (1 << 512)
    assert total.to_bytes(DIGEST_BYTES, "little").hex() == digest_of(dict(pairs)).hex()


def test_nothing_has_the_empty_digest() -> None:
    assert (EMPTY, 0) == (MultisetDigest().hex(), MultisetDigest().count)
    digest = digest_of({bytes(TOKEN_BYTES): b"body"})
    digest.replace(bytes(TOKEN_BYTES), b"body", b"")
    assert (EMPTY, 0) == (digest.hex(), digest.count)


def test_nothing_in_the_place_of_nothing_changes_nothing() -> None:
    digest = MultisetDigest()
    digest.replace(bytes(TOKEN_BYTES), b"", b"")
    assert (EMPTY, 0) == (digest.hex(), digest.count)


@pytest.mark.parametrize("text", ["", "00", EMPTY + "00", "zz" * DIGEST_BYTES])
def test_a_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"digest|hexadecimal"):
        MultisetDigest(text)


class DigestMachine(RuleBasedStateMachine):
    """Kept up to date for long, the digest is that of the state, as if it were made anew."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[bytes, bytes] = {}
        self.digest = MultisetDigest()

    @rule(token=tokens, body=st.one_of(st.just(b""), some_bodies))
    def replace(self, token: bytes, body: bytes) -> None:
        self.digest.replace(token, self.state.pop(token, b""), body)
        if body:
            self.state[token] = body

    @rule()
    def go_on_from_the_text(self) -> None:
        self.digest = MultisetDigest(self.digest.hex(), self.digest.count)

    @invariant()
    def it_is_that_of_the_state(self) -> None:
        assert (digest_of(self.state).hex(), len(self.state)) == (self.digest.hex(), self.digest.count)


TestDigestMachine = DigestMachine.TestCase
