"""Who is over a rate, refused before anything is done for them: as the gate would have it, and no longer than it would."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import msgspec
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import PortcullisError, QuotaExceeded
from portcullis.domain.quotas import UNLIMITED
from portcullis.gateway.messages.statuses import to_status
from portcullis.gateway.quotas.gate import STUDIED_AT_ONCE, Gate
from portcullis.gateway.quotas.turned_away import TurnedAway
from tests.support.clocks import HandClock

Metadata = tuple[tuple[str, str], ...]

LENDER: Metadata = (("user-agent", "any"), ("authorization", "Bearer lender-key"))
SHOP: Metadata = (("authorization", "Bearer shop-key"),)


class Door:
    """A gate as the native transport comes to it: calls that arrive together are sifted, and what is left is handled."""

    def __init__(self, per_s: float, *, most: int = 10, **quotas: int) -> None:
        self.clock = HandClock()
        quota = msgspec.structs.replace(UNLIMITED, checks_per_s=per_s, **quotas)
        self.gate = Gate("lender", quota, self.clock.monotonic, self.clock.now)
        self.counted: list[PortcullisError] = []
        self.turned_away = TurnedAway(self._status, most)
        self.turned = 0

    def _status(self, fault: PortcullisError) -> grpc.Status:
        self.counted.append(fault)
        return rpc_status.to_status(to_status(fault))

    def arrive(self, calls: int, metadata: Metadata = LENDER) -> list[bool]:
        """Say of each call whether it was let through."""
        self.turned_away.begin()
        sifted = [self.turned_away.status(metadata) is None for _ in range(calls)]
        self.turned += sifted.count(False)
        return [inside and self.handle(metadata) for inside in sifted]

    def handle(self, metadata: Metadata = LENDER) -> bool:
        context: Any = SimpleNamespace(invocation_metadata=lambda: metadata)
        try:
            self.turned_away.take(self.gate, context)
        except QuotaExceeded:
            return False
        return True


def let_through(gate: Gate) -> bool:
    try:
        gate.take()
    except QuotaExceeded:
        return False
    return True


@given(
    per_s=st.sampled_from([1.0, 3.0, 40.0, 250.0, 5_000.0]),
    arrivals=st.lists(st.tuples(st.integers(0, 70), st.sampled_from([0.0, 0.001, 0.004, 0.1, 1.0])), max_size=25),
)
def test_as_many_are_let_through_as_by_the_gate_alone(per_s: float, arrivals: list[tuple[int, float]]) -> None:
    door, plain = Door(per_s), Door(per_s)
    for calls, then_s in arrivals:
        assert sum(door.arrive(calls)) == sum(let_through(plain.gate) for _ in range(calls))
        assert plain.gate.checks_asked == door.gate.checks_asked
        assert plain.gate.refused == door.gate.refused
        for each in (door, plain):
            each.clock.advance(then_s)


def test_nobody_is_asked_about_before_somebody_was_refused() -> None:
    door = Door(10.0)
    assert [True] * 5 == door.arrive(5)
    assert 0 == len(door.turned_away)


def test_who_was_refused_is_refused_before_anything_is_done_and_counted_each_time() -> None:
    door = Door(1.0)
    door.arrive(5)
    assert 0 == door.turned
    assert [False] * 60 == door.arrive(60)
    assert 60 == door.turned == len(door.counted)
    assert {"checks_per_s": 3 + 60} == door.gate.refused


def test_a_refusal_says_when_to_come_again_and_then_one_is_let_through() -> None:
    door = Door(4.0)
    door.arrive(20)
    door.arrive(1)
    refusal = door.counted[-1]
    assert isinstance(refusal, QuotaExceeded)
    assert {"quota": "checks_per_s"} == refusal.metadata
    door.clock.advance(refusal.retry_after_s)
    assert [True, False] == door.arrive(2)


def test_other_headers_are_not_turned_away() -> None:
    door = Door(1.0)
    door.arrive(5)
    others: list[Metadata] = [
        SHOP,
        (),
        (("x-forwarded-client-cert", "Bearer lender-key"),),
        (*LENDER, ("x-forwarded-client-cert", "Cert=abc")),
        (*LENDER, *SHOP),
    ]
    for metadata in others:
        assert door.turned_away.status(metadata) is None
    refused = door.turned_away.status((("x-request-id", "1"), *LENDER))
    assert refused is not None
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.code


def test_who_has_shown_no_key_is_not_remembered() -> None:
    door = Door(1.0)
    door.arrive(5, (("x-forwarded-client-cert", "Cert=abc"),))
    assert 0 == len(door.turned_away)


def test_what_was_asked_is_studied_as_soon_as_without() -> None:
    door = Door(5_000.0)
    while not door.turned:
        door.arrive(100)
    door.clock.advance(1.0)
    for number in range(STUDIED_AT_ONCE):
        door.gate.noted.append(("phone", f"+861380013{number:04}", number.to_bytes(16)))
    assert door.arrive(10).count(True)
    assert [] == door.gate.noted


def test_what_stops_a_partner_for_longer_is_told_inside() -> None:
    door = Door(1.0)
    door.arrive(5)
    door.gate._halt()
    assert door.turned_away.status(LENDER) is None


def test_all_are_forgotten_when_that_is_asked_and_when_there_are_too_many() -> None:
    door = Door(1.0, most=2)
    door.arrive(3)
    door.turned_away.forget()
    assert 0 == len(door.turned_away)
    for number in range(3):
        door.handle((("authorization", f"Bearer {number}"),))
    assert 1 == len(door.turned_away)


def test_another_quota_than_the_rate_is_not_remembered() -> None:
    door = Door(0.0, concurrent_calls=1)
    with door.gate.under_way():
        assert not door.handle()
    assert 0 == len(door.turned_away)


def test_where_nobody_asks_nobody_is_remembered() -> None:
    door = Door(1.0, most=0)
    door.arrive(5)
    assert 0 == len(door.turned_away)
