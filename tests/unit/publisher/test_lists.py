"""Policies that change, and lists that can't be brought up to date: no list stops another."""

from __future__ import annotations

import msgspec
import pytest

from portcullis.domain.errors import SetupFault
from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.records import decode_body
from portcullis.publisher.revising import FULL_AGAIN_S
from tests.support.distribution import entry, token
from tests.support.policies import a_list, measure
from tests.support.publishers import POLICY

COURT, BIKES = POLICY.lists


def policy_of(*lists):
    return Policy(lists=lists)


@pytest.fixture
def listed(world):
    """A world with one entry on each list, published."""
    world.registry.put(1)
    world.registry.put(2, entry(2, "bikes"))
    world.look()
    return world


def test_a_list_that_is_new_begins_with_a_base_of_its_own(listed):
    before = listed.snapshot()
    listed.registry.apply(policy_of(COURT, BIKES, a_list("carriers")))
    listed.registry.put(3, entry(3, "carriers"))
    listed.look()
    found = listed.snapshot()
    assert {token(3)} == found.bodies("carriers").keys()
    assert found.version == found.manifests["carriers"].base.version
    assert before.manifests == {name: found.manifests[name] for name in ("court", "bikes")}
    assert ("court", "bikes", "carriers") == tuple(each.name for each in found.head.lists)


def test_a_list_that_is_removed_leaves_the_head_and_comes_back_with_a_base(listed):
    listed.registry.apply(policy_of(COURT))
    listed.look()
    found = listed.snapshot()
    assert ["court"] == list(found.manifests)
    assert not any(name.startswith("lists/bikes/") for name in found.targets())
    listed.registry.apply(POLICY)
    listed.registry.put(3, entry(3, "bikes"))
    listed.look()
    again = listed.snapshot()
    assert {token(2), token(3)} == again.bodies("bikes").keys()
    assert 2 == again.manifests["bikes"].number


def test_a_list_that_becomes_authority_only_leaves_and_one_that_is_none_any_more_begins(listed):
    secret = msgspec.structs.replace(COURT, disclosure=Disclosure.AUTHORITY_ONLY, measures=())
    listed.registry.apply(policy_of(secret, BIKES))
    listed.look()
    assert ["bikes"] == list(listed.snapshot().manifests)
    listed.registry.put(3)
    listed.look()
    assert ["bikes"] == list(listed.snapshot().manifests)
    listed.registry.apply(POLICY)
    listed.look()
    assert {token(1), token(3)} == listed.snapshot().bodies("court").keys()


def test_a_definition_that_changes_is_new_terms_and_no_more(listed):
    before = listed.snapshot()
    listed.registry.apply(policy_of(a_list("court", measure("golf"), title="Another title"), BIKES))
    listed.look()
    found = listed.snapshot()
    assert "Another title" == found.terms["court"].definition.title
    assert ("trains", "loans", "hotels", "golf") == found.terms["court"].measures
    same = msgspec.structs.replace(found.manifests["court"], terms=before.manifests["court"].terms)
    assert before.manifests["court"] == same
    assert before.manifests["bikes"] == found.manifests["bikes"]


def test_the_order_of_the_head_is_that_of_the_policy(listed):
    listed.registry.apply(policy_of(BIKES, COURT))
    listed.look()
    found = listed.snapshot()
    assert ["bikes", "court"] == [each.name for each in found.head.lists]
    assert ["bikes", "court"] == [each.name for each in found.edition().policy.lists]


def test_a_list_that_can_not_be_signed_stays_as_it_is_and_is_marked_while_the_others_go_on(listed):
    before = listed.snapshot()
    listed.unsignable = {"bikes"}
    listed.clock.advance(10)
    since = listed.clock.now()
    for number in (3, 4):
        listed.registry.put(number, entry(number, "bikes"))
        listed.registry.put(number, entry(number + 10))
        listed.tick(0 if number == 3 else 20)
    found = listed.snapshot()
    assert {token(1), token(3), token(4)} == found.bodies("court").keys()
    assert before.manifests["bikes"] == found.manifests["bikes"]
    assert {"court": None, "bikes": since} == {each.name: each.stalled_at for each in found.head.lists}
    assert {"bikes"} == listed.tally.stalled_lists


def test_a_list_that_can_be_signed_again_catches_up_with_one_delta(listed):
    listed.unsignable = {"bikes"}
    for number in (3, 4, 5):
        listed.registry.put(number, entry(number, "bikes"))
        listed.tick(0.1)
    listed.registry.withdraw(2)
    listed.tick(0.1)
    listed.unsignable = set()
    for _ in range(8):
        listed.tick(1)
    found = listed.snapshot()
    assert {token(3), token(4), token(5)} == found.bodies("bikes").keys()
    (delta,) = found.manifests["bikes"].deltas
    assert 4 == delta.changes
    assert found.head.lists[1].stalled_at is None
    assert set() == listed.tally.stalled_lists


def test_a_list_whose_key_comes_back_is_tried_at_once_however_long_it_was_away(listed, logs):
    listed.unsignable = {"bikes"}
    listed.registry.put(3, entry(3, "bikes"))
    for _ in range(100):
        listed.tick(1)
    listed.unsignable = set()
    listed.tick(0.001)
    assert {token(2), token(3)} == listed.snapshot().bodies("bikes").keys()
    assert ["its key is not here"] == [each["fault"] for each in logs if "can't be brought up" in each["event"]]
    assert listed.tally.failures["keys"] > 1


def test_a_list_without_its_key_is_up_to_date_as_long_as_nothing_of_it_changes(listed):
    listed.unsignable = {"bikes"}
    listed.registry.put(3)
    listed.tick(0.1)
    assert set() == listed.tally.stalled_lists
    assert all(each.stalled_at is None for each in listed.snapshot().head.lists)


def test_a_list_that_was_behind_when_the_publisher_was_restarted_begins_with_a_base(listed):
    listed.unsignable = {"bikes"}
    listed.registry.put(3, entry(3, "bikes"))
    listed.tick(0.1)
    stalled_at = listed.snapshot().head.lists[1].stalled_at
    listed.crash()
    listed.tick(1)
    assert stalled_at == listed.snapshot().head.lists[1].stalled_at
    listed.unsignable = set()
    for _ in range(8):
        listed.tick(1)
    found = listed.snapshot()
    assert ({token(2), token(3)}, ()) == (found.bodies("bikes").keys(), found.manifests["bikes"].deltas)
    assert found.head.lists[1].stalled_at is None


def test_a_stalled_list_is_tried_ever_more_seldom_and_publishes_nothing_meanwhile(listed):
    listed.unsignable = {"bikes"}
    listed.registry.put(3, entry(3, "bikes"))
    listed.tick(0.1)
    versions = list(listed.tally.versions)
    tries = []
    view = listed.registry.view
    listed.registry.view = lambda: (tries.append(listed.clock.now()), view())[1]
    for _ in range(600):
        listed.tick(1)
    assert versions == listed.tally.versions
    assert 8 <= len(tries) <= 16


def test_a_new_list_that_can_not_be_signed_is_left_out_and_counted_until_it_can(listed):
    listed.unsignable = {"carriers"}
    listed.registry.apply(policy_of(COURT, a_list("carriers"), BIKES))
    listed.registry.put(3, entry(3, "carriers"))
    listed.registry.put(4)
    listed.look()
    assert ["court", "bikes"] == list(listed.snapshot().manifests)
    assert {token(1), token(4)} == listed.snapshot().bodies("court").keys()
    assert {"carriers"} == listed.tally.stalled_lists
    listed.unsignable = set()
    for _ in range(8):
        listed.tick(1)
    assert ["court", "carriers", "bikes"] == list(listed.snapshot().manifests)
    assert {token(3)} == listed.snapshot().bodies("carriers").keys()


def test_a_list_whose_key_fails_at_signing_is_passed_over_the_next_time(listed):
    listed.registry.put(3, entry(3, "bikes"))
    listed.registry.put(3, entry(13))
    listed.repository.before["sign"] = SetupFault("the key can't sign", metadata={"list": "bikes"})
    assert not listed.look()
    assert listed.look()
    assert {token(1), token(3)} == listed.snapshot().bodies("court").keys()
    assert {token(2)} == listed.snapshot().bodies("bikes").keys()
    for _ in range(8):
        listed.tick(1)
    assert {token(2), token(3)} == listed.snapshot().bodies("bikes").keys()


def test_a_list_with_an_entry_that_breaks_compiling_stalls_alone_and_recovers(listed, logs):
    listed.registry.put(3, entry(3, "bikes", case_reference="\ud800"))
    listed.registry.put(4)
    assert listed.tick(0.1)
    found = listed.snapshot()
    assert ({token(1), token(4)}, {token(2)}) == (found.bodies("court").keys(), found.bodies("bikes").keys())
    assert {"bikes"} == listed.tally.stalled_lists
    assert not any("\ud800" in repr(each) for each in logs)
    assert ["it can't be compiled (UnicodeEncodeError)"] == [
        each["fault"] for each in logs if "can't be brought up" in each["event"]
    ]
    assert 1 == listed.tally.failures["other"]
    listed.registry.withdraw(3)
    listed.registry.put(5, entry(5, "bikes"))
    for _ in range(8):
        listed.tick(1)
    assert {token(2), token(5)} == listed.snapshot().bodies("bikes").keys()
    assert set() == listed.tally.stalled_lists


def test_a_list_that_can_not_be_compiled_at_first_is_left_out(world):
    world.registry.put(1, entry(1, case_reference="\ud800"))
    world.registry.put(2, entry(2, "bikes"))
    world.look()
    assert ["bikes"] == list(world.snapshot().manifests)


def test_a_list_whose_terms_are_full_is_compiled_anew_and_gives_back_what_nothing_uses(listed):
    for number in range(40):
        listed.registry.put(50, entry(50, measures=(f"m{number}",)))
        listed.look()
    found = listed.snapshot()
    assert {token(1), token(50)} == found.bodies("court").keys()
    assert len(found.terms["court"].measures) < 32
    record = next(iter(decode_body(1, found.bodies("court")[token(50)])))
    assert "m39" == found.terms["court"].measures[record.measures.bit_length() - 1]
    assert {} == listed.tally.faults
    assert 1 < len({each.base.version for each in found.manifests.values()})


def test_a_list_with_more_legal_bases_than_fit_leaves_entries_out_and_is_compiled_anew_once_a_day(listed, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.terms.MAX_LEGAL_ROWS", 4)
    for number in range(10, 20):
        listed.registry.put(number, entry(number, legal_basis=f"section {number}"))
    listed.look()
    first = listed.snapshot()
    assert (4, 4) == (first.manifests["court"].records, len(first.terms["court"].legal))
    assert 0 < listed.tally.faults["court"]
    listed.registry.put(30, entry(30, legal_basis="section 30"))
    listed.look()
    assert first.manifests["court"].base == listed.snapshot().manifests["court"].base
    for number in (1, *range(10, 17)):
        listed.registry.withdraw(number)
    listed.tick(FULL_AGAIN_S)
    found = listed.snapshot()
    assert first.manifests["court"].base != found.manifests["court"].base
    assert {token(number) for number in (17, 18, 19, 30)} == found.bodies("court").keys()


def test_many_lists_are_compiled_in_several_passes(world, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.passes.LISTS_A_PASS", 3)
    names = [f"list-{number}" for number in range(8)]
    world.registry.apply(policy_of(*map(a_list, names)))
    for number, name in enumerate(names):
        world.registry.put(number, entry(number, name))
    world.look()
    assert {name: {token(number): {number}} for number, name in enumerate(names)} == world.snapshot().entries()
