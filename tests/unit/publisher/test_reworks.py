"""Folding and compacting, beside the publishing of changes."""

from __future__ import annotations

import json

import pytest

from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.manifests import steps_from
from portcullis.publisher import compaction, folding
from portcullis.publisher.folding import FOLD_AT
from portcullis.publisher.reworks import STEP_S
from tests.support.distribution import entry, token
from tests.support.policies import NOW, YEAR_S
from tests.support.publishers import Killed


def change(world, number, seconds=0.1):
    """Publish one change: even numbers are listed, odd ones take the one before away again."""
    if number % 2:
        world.registry.withdraw(number - 1)
    else:
        world.registry.put(number)
    assert world.tick(seconds), world.tally.failures


@pytest.fixture
def running(world):
    for number in range(100, 120):
        world.registry.put(number)
    world.registry.put(9, entry(9, "bikes"))
    world.look()
    return world


@pytest.fixture
def small_folds(monkeypatch):
    monkeypatch.setattr("portcullis.publisher.reworks.FOLD_AT", 4)
    monkeypatch.setattr("portcullis.publisher.compaction.COMPACT_AT_FOLDED", 4)


def expected(*numbers):
    return {token(number) for number in (*range(100, 120), *numbers)}


def test_64_single_deltas_become_one_that_leads_on_from_any_version_in_its_span(running):
    states = {running.snapshot().version: running.snapshot().bodies("court")}
    for number in range(FOLD_AT + 3):
        change(running, number)
        found = running.snapshot()
        states[found.version] = found.bodies("court")
    manifest = found.manifests["court"]
    folded = manifest.deltas[0]
    assert (FOLD_AT, 3, FOLD_AT // 2) == (folded.steps, len(manifest.deltas) - 1, folded.changes)
    assert FOLD_AT == running.tally.folded
    for version, bodies in states.items():
        assert steps_from(manifest, version) is not None
        assert found.bodies("court") == found.bodies("court", since=(version, bodies))


def test_a_fold_is_put_in_force_by_itself_when_there_is_no_change_within_a_second(running, small_folds):
    for number in range(4):
        change(running, number)
    assert 4 == len(running.snapshot().manifests["court"].deltas)
    running.tick(0.1)
    assert 4 == len(running.snapshot().manifests["court"].deltas)
    running.tick(1)
    assert 1 == len(running.snapshot().manifests["court"].deltas)
    assert expected(*[]) == running.snapshot().bodies("court").keys()


def test_each_list_is_folded_for_itself(running, small_folds):
    for number in range(200, 212):
        running.registry.put(number, entry(number, "bikes" if number % 2 else "court"))
        running.tick(0.1)
    running.tick(1)
    manifests = running.snapshot().manifests
    assert all(max(delta.steps for delta in each.deltas) >= 4 for each in manifests.values())
    assert 6 == len(running.snapshot().bodies("bikes")) - 1


def test_a_base_is_compacted_when_enough_folded_deltas_lead_on_from_it(running, small_folds):
    first = running.snapshot().manifests["court"].base
    for number in range(30):
        change(running, number)
    running.tick(1)
    manifest = running.snapshot().manifests["court"]
    assert first.version < manifest.base.version
    assert expected() == running.snapshot().bodies("court").keys()
    assert 1 <= running.tally.compacted
    assert first.target not in running.snapshot().targets()


def test_a_follower_that_missed_a_compaction_still_goes_on_by_deltas_and_after_another_by_the_base(running, small_folds):
    before = running.snapshot()
    was = (before.version, before.bodies("court"))
    compactions = 0
    number = 0
    while compactions < 1:
        change(running, number)
        number += 1
        compactions = running.tally.compacted
    found = running.snapshot()
    assert steps_from(found.manifests["court"], was[0]) is not None
    assert found.bodies("court") == found.bodies("court", since=was)
    while running.tally.compacted < 2:
        change(running, number)
        number += 1
    assert steps_from(running.snapshot().manifests["court"], was[0]) is None


def test_a_base_is_compacted_when_the_deltas_are_long_beside_it(running, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.compaction.COMPACT_AT_LEAST_BYTES", 300)
    first = running.snapshot().manifests["court"].base
    for number in range(0, 20, 2):
        change(running, number)
    running.tick(1)
    manifest = running.snapshot().manifests["court"]
    assert first.version < manifest.base.version
    assert sum(each.length for each in manifest.deltas if each.version > manifest.base.version) <= 350
    assert expected(*range(0, 20, 2)) == running.snapshot().bodies("court").keys()


def test_changes_go_on_while_a_base_is_compacted_in_small_steps(running, small_folds, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.compaction.FRAMES_A_STEP", 1)
    ticking = running.clock.monotonic
    # Every look at the clock takes a third of a step.
    running.clock.monotonic = lambda: (running.clock.advance(STEP_S / 3), ticking())[1]
    first = running.snapshot().manifests["court"].base
    numbers = 0
    while running.snapshot().manifests["court"].base == first:
        change(running, numbers)
        numbers += 1
    manifest = running.snapshot().manifests["court"]
    later = [each for each in manifest.deltas if each.version > manifest.base.version]
    assert 2 <= len(later), "the base is of an earlier version, and deltas lead on from it"
    assert expected(*([numbers - 1] if numbers % 2 else [])) == running.snapshot().bodies("court").keys()


def test_large_reworks_are_sent_in_steps_before_they_are_put_in_force(running, small_folds, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.reworks.SMALL_BYTES", 10)
    monkeypatch.setattr("portcullis.publisher.sending.SMALL_BYTES", 10)
    uploads = []
    upload = running.transport.upload
    running.store.instead["upload"] = lambda name, chunks: (uploads.append(name), upload(name, chunks))[1]
    for number in range(30):
        change(running, number)
    running.tick(1)
    assert 1 <= running.tally.compacted
    assert len(uploads) == len(set(uploads))
    assert expected() == running.snapshot().bodies("court").keys()


def test_a_store_that_is_away_while_a_rework_is_sent_loses_nothing(running, small_folds, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.reworks.SMALL_BYTES", 10)
    monkeypatch.setattr("portcullis.publisher.sending.SMALL_BYTES", 1 << 20)
    running.store.before["upload"] = StoreUnavailable("not now")
    for number in range(12):
        change(running, number)
    running.tick(1)
    assert {1, 4} >= {each.steps for each in running.snapshot().manifests["court"].deltas}
    assert 4 <= running.tally.folded
    assert expected() == running.snapshot().bodies("court").keys()


def test_a_crash_loses_the_work_and_nothing_else(running, small_folds):
    for number in range(4):
        change(running, number)
    running.registry.put(300)
    running.repository.before["sign"] = Killed()
    with pytest.raises(Killed):
        running.tick(0.1)
    running.crash()
    for _ in range(3):
        running.tick()
    assert expected(300) == running.snapshot().bodies("court").keys()
    assert 4 == max(each.steps for each in running.snapshot().manifests["court"].deltas)


def test_a_rework_of_a_list_that_left_is_given_up(running, small_folds):
    policy = running.registry.policy
    for number in range(4):
        change(running, number)
    running.registry.apply(type(policy)(lists=policy.lists[1:]))
    running.tick(0.1)
    running.registry.apply(policy)
    running.tick(0.1)
    running.tick(1)
    found = running.snapshot()
    assert (expected(), ()) == (found.bodies("court").keys(), found.manifests["court"].deltas)


def test_a_delta_that_is_broken_on_the_disk_sends_its_list_back_to_the_registry(running, small_folds, logs):
    for number in range(3):
        change(running, number)
    path = running.repository.path(running.snapshot().manifests["court"].deltas[0].target)
    path.write_bytes(path.read_bytes()[:-1])
    for number in range(3, 8):
        change(running, number)
    assert "a rework failed; it begins again" in [each["event"] for each in logs]
    found = running.snapshot()
    assert expected() == found.bodies("court").keys()
    assert found.manifests["bikes"].base.version < found.manifests["court"].base.version


def test_a_base_that_was_changed_on_the_disk_is_never_made_the_next_one(running, small_folds, logs):
    base = running.snapshot().manifests["court"].base
    path = running.repository.path(base.target)
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(bytes(data))
    for number in range(40):
        change(running, number)
    assert "a compacted base is not the state it stands for" in [each.get("fault") for each in logs]
    found = running.snapshot()
    assert expected() == found.bodies("court").keys()
    assert base.version < found.manifests["court"].base.version


def test_a_full_disk_puts_reworks_off_and_stops_no_change(running, small_folds):
    create = running.repository.part.create

    def full(name):
        if name.startswith("lists/court/delta-") and len(set(name.rpartition("/")[2].split("-"))) == 3:
            since, version = map(int, name.rpartition("/")[2].split("-")[1:])
            if version - since > 150:
                raise OSError(28, "No space left on device")
        return create(name)

    running.repository.instead["create"] = full
    for number in range(10):
        change(running, number)
    assert {1} == {each.steps for each in running.snapshot().manifests["court"].deltas}
    running.repository.instead.pop("create")
    running.tick(31)
    running.tick(1)
    running.tick(1)
    assert 4 <= running.tally.folded
    assert expected() == running.snapshot().bodies("court").keys()


def test_reworks_are_in_the_log(running, small_folds):
    for number in range(30):
        change(running, number)
    lines = (running.folder / "publisher" / "log.jsonl").read_text().splitlines()
    notes = [changed for line in lines for changed in json.loads(line)["lists"]]
    assert running.tally.folded == sum(each.get("folded", 0) for each in notes)
    assert running.tally.compacted == sum(each.get("compacted", False) for each in notes)
    assert 1 <= running.tally.compacted


def test_withdrawn_tokens_are_in_a_folded_delta_but_not_in_a_compacted_base(running, small_folds):
    for number in range(100, 104):
        running.registry.withdraw(number)
        running.tick(0.1)
    running.tick(1)
    (folded,) = running.snapshot().manifests["court"].deltas
    assert 4 == folded.changes
    for number in range(40):
        change(running, number)
    found = running.snapshot().manifests["court"]
    assert folded.version < found.base.version
    assert found.base.records in {16, 17}
    assert 16 == len(running.snapshot().bodies("court"))


def test_the_numbers_are_those_that_the_design_names():
    assert (64, 64, 4, 4 << 20) == (
        folding.FOLD_AT,
        compaction.COMPACT_AT_FOLDED,
        compaction.COMPACT_AT_SHARE,
        compaction.COMPACT_AT_LEAST_BYTES,
    )


def test_a_body_that_becomes_another_wins_over_the_earlier_one_in_a_fold(running, small_folds):
    for number in range(4):
        running.registry.put(100, entry(100, until=NOW + YEAR_S - number))
        running.tick(0.1)
    bodies = running.snapshot().bodies("court")
    running.tick(1)
    assert bodies == running.snapshot().bodies("court")
    assert 1 == running.snapshot().manifests["court"].deltas[0].changes
