"""What every replica does, both sides, in memory and as LMDB files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.domain.errors import SnapshotInvalid
from portcullis.ports import Replica, ReplicaWriter
from tests.support.clocks import HandClock
from tests.support.distribution import contents, edition, records


class Sides(NamedTuple):
    clock: HandClock
    writer: ReplicaWriter
    reader: Callable[[], Replica]


@pytest.fixture(params=["memory", "lmdb"])
def sides(request: pytest.FixtureRequest, tmp_path) -> Iterator[Sides]:
    clock = HandClock()
    if request.param == "memory":
        memory = MemoryReplicaWriter(clock)
        yield Sides(clock, memory, lambda: MemoryReplica(memory, clock))
        return
    writer = LmdbReplicaWriter(tmp_path / "replica", clock)
    yield Sides(clock, writer, lambda: LmdbReplica(tmp_path / "replica", clock))
    writer.close()


def install(sides: Sides, version: int, numbers: range, mark: bytes = b"v") -> None:
    sides.writer.install(edition(version, len(numbers)), records(numbers, mark))


def test_before_the_first_version_nothing_is_held_and_the_age_is_infinite(sides):
    reader = sides.reader()
    assert reader.begin() is None
    assert math.inf == reader.vouched_age_s()
    assert sides.writer.held() is None
    assert not reader.refresh()


def test_an_installed_version_is_read_whole(sides):
    install(sides, 1, range(500))
    reader = sides.reader()
    transaction = reader.begin()
    assert 1 == transaction.edition.version
    assert dict(records(range(500))) == {key: transaction.get(key) for key, _ in records(range(500))}
    assert {} == contents(transaction, range(500, 600))
    transaction.close()
    reader.close()


def test_a_version_without_records_is_a_version(sides):
    sides.writer.install(edition(1, 0), [])
    transaction = sides.reader().begin()
    assert {} == contents(transaction, range(3))
    transaction.close()


def test_the_writer_holds_what_it_installed(sides):
    install(sides, 7, range(2))
    assert edition(7, 2) == sides.writer.held()


def test_a_reader_sees_another_version_after_a_refresh(sides):
    reader = sides.reader()
    install(sides, 1, range(2))
    assert reader.refresh()
    assert not reader.refresh()
    install(sides, 2, range(3))
    assert reader.refresh()
    transaction = reader.begin()
    assert (2, 3) == (transaction.edition.version, len(contents(transaction, range(5))))
    transaction.close()


def test_a_transaction_keeps_its_version_whatever_is_installed_meanwhile(sides):
    reader = sides.reader()
    install(sides, 1, range(3), b"one")
    reader.refresh()
    old = reader.begin()
    for version in range(2, 6):
        install(sides, version, range(2, 6), b"later")
        reader.refresh()
    new = reader.begin()
    assert (1, {0, 1, 2}) == (old.edition.version, contents(old, range(9)).keys())
    assert (5, {2, 3, 4, 5}) == (new.edition.version, contents(new, range(9)).keys())
    assert all(value.startswith(b"one") for value in contents(old, range(9)).values())
    new.close()
    old.close()


def test_many_transactions_may_be_open_and_close_in_any_order(sides):
    install(sides, 1, range(3))
    reader = sides.reader()
    for _ in range(3):
        transactions = [reader.begin() for _ in range(40)]
        assert 40 == sum(len(contents(each, range(1))) for each in transactions)
        for each in transactions[::2] + transactions[1::2]:
            each.close()


def test_the_edition_of_one_version_is_one_object(sides):
    install(sides, 1, range(3))
    reader = sides.reader()
    first, second = reader.begin(), reader.begin()
    assert first.edition is second.edition
    first.close()
    second.close()


def test_several_readers_read_the_same(sides):
    install(sides, 1, range(3))
    readers = [sides.reader() for _ in range(3)]
    transactions = [each.begin() for each in readers]
    assert 1 == len({tuple(contents(each, range(3)).items()) for each in transactions})
    for each in transactions:
        each.close()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(records(range(3))[::-1], id="out of order"),
        pytest.param(records(range(2)) + records(range(2))[-1:], id="doubled"),
        pytest.param(records(range(2)), id="too few"),
        pytest.param(records(range(4)), id="too many"),
    ],
)
def test_records_out_of_order_doubled_or_not_as_many_are_refused_whole(sides, wrong):
    install(sides, 1, range(2))
    reader = sides.reader()
    with pytest.raises(SnapshotInvalid) as caught:
        sides.writer.install(edition(2, 3), wrong)
    assert "records-malformed" == caught.value.refusal
    assert not reader.refresh()
    assert edition(1, 2) == sides.writer.held()
    install(sides, 3, range(1))
    assert reader.refresh()


def test_a_source_that_fails_leaves_the_present_version(sides):
    install(sides, 1, range(2))
    reader = sides.reader()

    def failing() -> Iterator[tuple[bytes, bytes]]:
        yield from records(range(2))
        raise SnapshotInvalid("a chunk is damaged")

    with pytest.raises(SnapshotInvalid):
        sides.writer.install(edition(2, 3), failing())
    assert not reader.refresh()
    assert 1 == sides.writer.held().version


def test_the_age_counts_from_the_last_vouching(sides):
    install(sides, 1, range(1))
    sides.clock.advance(100)
    sides.writer.vouch(1, 3.0)
    reader = sides.reader()
    sides.clock.advance(2)
    assert 5.0 == pytest.approx(reader.vouched_age_s())
    sides.writer.vouch(1, 0.5)
    reader.refresh()
    assert 0.5 == pytest.approx(reader.vouched_age_s())


def test_a_version_not_vouched_for_is_as_old_as_its_publication(sides):
    sides.clock.advance(60)
    install(sides, 1, range(1))
    assert 60.0 == pytest.approx(sides.reader().vouched_age_s())


def test_an_older_vouching_changes_nothing(sides):
    install(sides, 1, range(1))
    sides.writer.vouch(1, 1.0)
    sides.writer.vouch(1, 50.0)
    sides.writer.vouch(2, 0.0)
    assert 0.0 <= sides.reader().vouched_age_s() <= 1.0


def test_setting_the_wall_clock_changes_no_age(sides):
    install(sides, 1, range(1))
    sides.writer.vouch(1, 1.0)
    reader = sides.reader()
    before = reader.vouched_age_s()
    for jump in (7200, -14400):
        sides.clock.set_wall(jump)
        reader.refresh()
        assert before == reader.vouched_age_s()


def test_an_age_is_never_negative(sides):
    sides.writer.install(edition(1, 0, published_at=sides.clock.now() + 500), [])
    sides.writer.vouch(1, -9.0)
    assert sides.reader().vouched_age_s() >= 0.0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    index=st.dictionaries(st.binary(min_size=16, max_size=16), st.binary(min_size=1, max_size=3000), max_size=60),
    probes=st.lists(st.binary(min_size=16, max_size=16), max_size=10),
)
def test_a_version_is_the_dictionary_it_was_made_from(sides, index, probes):
    held = sides.writer.held()
    sides.writer.install(edition(held.version + 1 if held else 1, len(index)), sorted(index.items()))
    reader = sides.reader()
    transaction = reader.begin()
    assert [index.get(key) for key in [*index, *probes]] == [transaction.get(key) for key in [*index, *probes]]
    transaction.close()
    reader.close()
