"""Turns among strangers: by address, then by connection, then in order."""

from __future__ import annotations

import pytest

from portcullis.gateway import by_turns
from portcullis.gateway.by_turns import ByTurns, address_of


def all_of(turns: ByTurns[str]) -> list[str]:
    """Take all that waits."""
    return [turns.take(0.0) for _ in range(len(turns))]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:50051", "ipv4:192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:50051", "2001:db8::/64"),
        ("ipv6:[2001:db8::1]:50051", "2001:db8::/64"),
        ("ipv6:[2001:db8:0:1:ffff::1]:50051", "2001:db8:0:1::/64"),
        ("[2001:db8::1]:50051", "2001:db8::/64"),
        ("ipv6:[fe80::1%25eth0]:50051", "fe80::/64"),
        ("ipv6:[::ffff:192.0.2.1]:50051", "ipv4:192.0.2.1"),
        ("unix:", "unix"),
        ("unix:/run/a:b", "unix"),
    ],
)
def test_an_address_is_a_peer_without_its_port_and_a_socket_or_a_network_of_ipv6_is_one(peer: str, address: str) -> None:
    assert address == address_of(peer)


def test_turns_go_by_address_then_by_connection_then_in_order() -> None:
    turns = ByTurns[str]()
    for peer in ("one:1", "one:2", "two:1"):
        for number in range(2):
            turns.add(peer, f"{peer} {number}", 0.0)

    assert ["one:1 0", "two:1 0", "one:2 0", "two:1 1", "one:1 1", "one:2 1"] == all_of(turns)
    assert 0 == len(turns)


def test_what_is_given_up_has_no_turn_and_leaves_nothing() -> None:
    turns = ByTurns[str]()
    turns.add("one:1", "a", 0.0)
    turns.add("one:2", "b", 0.0)
    for _ in range(2):
        turns.discard("one:1", "a")

    assert ["b"] == all_of(turns)
    assert not turns._waiting


def test_an_address_waits_since_it_came_or_had_its_last_turn() -> None:
    turns = ByTurns[str]()
    turns.add("one:1", "a", 1.0)
    turns.add("one:2", "b", 2.0)
    turns.add("two:1", "c", 3.0)
    seen = [turns.first_since()]
    for now in (5.0, 6.0):
        turns.take(now)
        seen.append(turns.first_since())

    assert [1.0, 3.0, 5.0] == seen


def test_beyond_the_bound_a_connection_has_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_turns, "WAITING_AT_MOST", 2)
    turns = ByTurns[str]()
    turns.add("one:1", "a", 0.0)
    assert turns.has_room("one:1")
    turns.add("one:1", "b", 0.0)

    assert [False, True, True] == [turns.has_room(peer) for peer in ("one:1", "one:2", "two:1")]
