"""What every replica does, both sides, in memory and as LMDB files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import Change, join_segments
from portcullis.ports import ReadTransaction, Replica, ReplicaWriter
from tests.support.clocks import HandClock
from tests.support.distribution import BANK, CARRIERS, COURT, body, contents, edition, list_edition, records, token
from tests.support.policies import NOW


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


def install(sides: Sides, version: int, numbers: Iterable[int], mark: str = "v") -> None:
    bodies = records(numbers, mark)
    sides.writer.install(edition(version, bodies), bodies)


def put(*numbers: int, mark: str = "new", on: int = COURT) -> list[Change]:
    """Changes that put bodies in place."""
    return records(numbers, mark, on=on)


def gone(*numbers: int, on: int = COURT) -> list[Change]:
    """Changes that take bodies out."""
    return [(token(number), on, b"") for number in numbers]


def after(bodies: Iterable[Change], *changes: Change) -> list[Change]:
    """The bodies that changes lead to."""
    model = {each[:2]: each[2] for each in [*bodies, *changes]}
    return sorted((*key, value) for key, value in model.items() if value)


def values(bodies: Iterable[Change]) -> dict[bytes, bytes]:
    """What a replica that holds exactly these bodies answers, by token."""
    by_token: dict[bytes, list[tuple[int, bytes]]] = {}
    for key, number, each in bodies:
        by_token.setdefault(key, []).append((number, each))
    return {key: join_segments(sorted(found)) for key, found in by_token.items()}


def assert_holds(transaction: ReadTransaction, bodies: Iterable[Change], numbers: Iterable[int] = range(20)) -> None:
    """See that a version is exactly these bodies, as far as tokens of these numbers go."""
    expected = values(bodies)
    probes = {token(number) for number in numbers} | expected.keys()
    assert expected == {key: value for key in probes if (value := transaction.get(key)) is not None}


def assert_unchanged(sides: Sides, reader: Replica, of: Edition, bodies: list[Change]) -> None:
    """See that neither side shows anything of a version that was refused, and that the next one is taken."""
    assert not reader.refresh()
    assert of == sides.writer.held()
    assert bodies == list(sides.writer.records())
    assert_holds(reader.begin(), bodies)
    following = after(bodies, *put(19))
    sides.writer.apply(edition(of.version + 9, following, of=[each.number for each in of.lists]), put(19))
    assert reader.refresh()
    assert_holds(reader.begin(), following)


def test_before_the_first_version_nothing_is_held_and_the_age_is_infinite(sides):
    reader = sides.reader()
    assert reader.begin() is None
    assert math.inf == reader.vouched_age_s()
    assert sides.writer.held() is None
    assert b"" == sides.writer.body(token(1), COURT)
    assert [] == list(sides.writer.records())
    assert sides.writer.space() is None
    assert not reader.refresh()


# --- installs -----------------------------------------------------------------------------------------------------------


def test_an_installed_version_is_read_whole(sides):
    install(sides, 1, range(500))
    reader = sides.reader()
    transaction = reader.begin()
    assert 1 == transaction.edition.version
    assert_holds(transaction, records(range(500)), range(600))
    transaction.close()
    reader.close()


def test_a_version_without_records_is_a_version(sides):
    sides.writer.install(edition(1), [])
    transaction = sides.reader().begin()
    assert {} == contents(transaction, range(3))
    transaction.close()


def test_the_writer_holds_what_it_installed(sides):
    install(sides, 7, range(2))
    assert edition(7, records(range(2))) == sides.writer.held()


def test_a_token_on_several_lists_has_the_bodies_of_all_in_one_value(sides):
    bodies = sorted(records(range(9)) + records(range(3, 12), "c", on=CARRIERS) + records(range(5, 7), "b", on=BANK))
    sides.writer.install(edition(1, bodies, of=(COURT, CARRIERS, BANK)), bodies)
    assert_holds(sides.reader().begin(), bodies)
    assert body(4, "c") == sides.writer.body(token(4), CARRIERS)


def test_changes_lead_an_install_on_and_the_last_of_them_wins(sides):
    base = records(range(6))
    changes = [*put(9, 2), *gone(9, 3), *put(4, mark="first"), *put(4, mark="last"), *gone(11)]
    expected = after(base, *changes)
    sides.writer.install(edition(1, expected), base, iter(changes))
    assert_holds(sides.reader().begin(), expected)
    assert body(4, "last") == sides.writer.body(token(4), COURT)


def test_batches_of_records_are_cut_between_tokens(sides, monkeypatch):
    monkeypatch.setattr("portcullis.adapters.proving._BATCH", 2)
    bodies = sorted(records(range(5)) + records(range(5), on=CARRIERS) + records(range(5), on=BANK))
    sides.writer.install(edition(1, bodies, of=(COURT, CARRIERS, BANK)), bodies)
    assert bodies == list(sides.writer.records())
    assert_holds(sides.reader().begin(), bodies)


WRONG_ORDER = {
    "out of order": records(range(3))[::-1],
    "doubled": records(range(3)) + records(range(3))[-1:],
    "lists out of order": [(token(1), CARRIERS, body(1)), (token(1), COURT, body(1))],
    "a token cut short": [(token(1)[:15], COURT, body(1))],
    "no token": [(b"", COURT, body(1))],
}
MALFORMED = {
    "a token cut short": (token(1)[:15], COURT, body(1)),
    "a list of no edition": (token(1), BANK, body(1)),
    "nothing of a list of no edition": (token(1), BANK, b""),
    "bytes that are no body": (token(1), COURT, b"rubbish"),
    "a body cut short": (token(1), COURT, body(1)[:-1]),
    "a body with more after it": (token(1), COURT, body(1) + b"\x00"),
    "a legal row that is not there": (token(1), COURT, encode_body([Record(0, 1, NOW, 1, "XA-1")])),
}


@pytest.mark.parametrize("wrong", WRONG_ORDER.values(), ids=WRONG_ORDER.keys())
def test_records_that_do_not_ascend_are_refused_whole(sides, wrong):
    install(sides, 1, range(2))
    reader = sides.reader()
    with pytest.raises(SnapshotInvalid) as caught:
        sides.writer.install(edition(2, wrong, of=(COURT, CARRIERS)), wrong)
    assert Refusal.RECORDS_MALFORMED == caught.value.refusal
    assert_unchanged(sides, reader, edition(1, records(range(2))), records(range(2)))


@pytest.mark.parametrize("wrong", [range(2), range(4), range(1, 4)], ids=["too few", "too many", "others"])
def test_records_that_are_not_those_of_the_edition_are_refused_whole(sides, wrong):
    install(sides, 1, range(2))
    reader = sides.reader()
    with pytest.raises(SnapshotInvalid, match="court") as caught:
        sides.writer.install(edition(2, records(range(3))), records(wrong))
    assert Refusal.DIGEST_MISMATCH == caught.value.refusal
    assert_unchanged(sides, reader, edition(1, records(range(2))), records(range(2)))


@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("way", ["records", "changes"])
def test_a_malformed_record_is_refused_whole(sides, wrong, way):
    install(sides, 1, range(2))
    reader = sides.reader()
    with pytest.raises(SnapshotInvalid) as caught:
        sides.writer.install(edition(2, [wrong]), **({"records": []} | {way: [wrong]}))
    assert Refusal.RECORDS_MALFORMED == caught.value.refusal
    assert token(1).hex() not in str(caught.value)
    assert_unchanged(sides, reader, edition(1, records(range(2))), records(range(2)))


def test_a_record_without_a_body_is_refused(sides):
    with pytest.raises(SnapshotInvalid) as caught:
        sides.writer.install(edition(1), gone(1))
    assert Refusal.RECORDS_MALFORMED == caught.value.refusal


@pytest.mark.parametrize("way", ["install", "changes of an install", "apply"])
def test_a_source_that_fails_leaves_the_present_version(sides, way):
    install(sides, 1, range(2))
    reader = sides.reader()

    def failing() -> Iterator[Change]:
        yield from records(range(2, 4))
        raise SnapshotInvalid("a chunk is damaged")

    of = edition(2, records(range(4)))
    with pytest.raises(SnapshotInvalid, match="a chunk is damaged"):
        {
            "install": lambda: sides.writer.install(of, failing()),
            "changes of an install": lambda: sides.writer.install(of, records(range(2)), failing()),
            "apply": lambda: sides.writer.apply(of, failing()),
        }[way]()
    assert_unchanged(sides, reader, edition(1, records(range(2))), records(range(2)))


# --- applies ------------------------------------------------------------------------------------------------------------


def test_an_apply_puts_bodies_in_place_and_takes_others_out(sides):
    install(sides, 1, range(9))
    reader = sides.reader()
    changes = [*put(2, 15, 16), *gone(5, 17), *put(6, mark="first"), *gone(6), *put(6, mark="last")]
    expected = after(records(range(9)), *changes)
    sides.writer.apply(edition(2, expected), iter(changes))
    assert edition(2, expected) == sides.writer.held()
    assert reader.refresh()
    assert not reader.refresh()
    assert_holds(reader.begin(), expected)
    assert edition(2, expected) == reader.begin().edition
    assert expected == list(sides.writer.records())


def test_an_apply_of_one_list_leaves_the_bodies_of_the_others(sides):
    bodies = sorted(records(range(6)) + records(range(6), on=CARRIERS))
    both = (COURT, CARRIERS)
    sides.writer.install(edition(1, bodies, of=both), bodies)
    changes = [*gone(1, 2, on=CARRIERS), *put(3, on=CARRIERS)]
    expected = after(bodies, *changes)
    sides.writer.apply(edition(2, expected, of=both), changes)
    assert_holds(sides.reader().begin(), expected)
    everything_gone = [(key, number, b"") for key, number, _ in expected]
    sides.writer.apply(edition(3, of=both), everything_gone)
    assert_holds(sides.reader().begin(), [])


def test_an_apply_without_changes_is_another_version(sides):
    install(sides, 1, range(3))
    reader = sides.reader()
    sides.writer.apply(edition(2, records(range(3)), published_at=NOW + 60.0), [])
    assert reader.refresh()
    assert (2, NOW + 60.0) == (reader.begin().edition.version, reader.begin().edition.published_at)


def test_changes_that_are_there_already_change_nothing(sides):
    install(sides, 1, range(3))
    sides.writer.apply(edition(2, records(range(3))), [*records(range(3)), *gone(8)])
    assert records(range(3)) == list(sides.writer.records())


def test_without_a_version_there_is_nothing_to_lead_on(sides):
    with pytest.raises(SnapshotInvalid, match="nothing is installed"):
        sides.writer.apply(edition(1), [])
    assert sides.writer.held() is None


@pytest.mark.parametrize(
    "wrong", [put(3), put(3, 4, 5), put(3, 5), [*put(3, 4), *gone(1)]], ids=["too few", "too many", "others", "one gone"]
)
def test_an_apply_that_does_not_lead_to_the_edition_is_refused_whole(sides, wrong):
    install(sides, 1, range(2))
    reader = sides.reader()
    with pytest.raises(SnapshotInvalid, match="court") as caught:
        sides.writer.apply(edition(2, after(records(range(2)), *put(3, 4))), wrong)
    assert Refusal.DIGEST_MISMATCH == caught.value.refusal
    assert_unchanged(sides, reader, edition(1, records(range(2))), records(range(2)))


def test_an_apply_onto_another_version_than_the_changes_begin_with_is_refused(sides):
    install(sides, 1, [0, 2])
    with pytest.raises(SnapshotInvalid) as caught:
        sides.writer.apply(edition(2, after(records(range(2)), *put(3))), put(3))
    assert Refusal.DIGEST_MISMATCH == caught.value.refusal


@pytest.mark.parametrize("wrong", MALFORMED.values(), ids=MALFORMED.keys())
def test_an_apply_of_a_malformed_change_is_refused_whole(sides, wrong):
    install(sides, 1, range(2))
    reader = sides.reader()
    changes = [*put(5), wrong]
    with pytest.raises(SnapshotInvalid) as caught:
        sides.writer.apply(edition(2, after(records(range(2)), *changes)), changes)
    assert Refusal.RECORDS_MALFORMED == caught.value.refusal
    assert_unchanged(sides, reader, edition(1, records(range(2))), records(range(2)))


def test_a_list_may_come_and_may_leave_once_it_has_no_records(sides):
    install(sides, 1, range(3))
    both = after(records(range(3)), *put(1, 7, on=CARRIERS))
    sides.writer.apply(edition(2, both, of=(COURT, CARRIERS)), put(1, 7, on=CARRIERS))
    assert_holds(sides.reader().begin(), both)
    sides.writer.apply(edition(3, records(range(3)), of=(COURT, CARRIERS)), gone(1, 7, on=CARRIERS))
    sides.writer.apply(edition(4, records(range(3))), [])
    assert edition(4, records(range(3))) == sides.writer.held() == sides.reader().begin().edition


def test_a_list_that_left_with_records_needs_an_install(sides):
    bodies = sorted(records(range(3)) + records(range(2), on=CARRIERS))
    both = (COURT, CARRIERS)
    sides.writer.install(edition(1, bodies, of=both), bodies)
    reader = sides.reader()
    for changes in ([], gone(0, 1, on=CARRIERS)):
        with pytest.raises(SnapshotInvalid):
            sides.writer.apply(edition(2, records(range(3))), changes)
    assert_unchanged(sides, reader, edition(1, bodies, of=both), bodies)
    sides.writer.install(edition(22, records(range(3))), records(range(3)))
    assert records(range(3)) == list(sides.writer.records())


def test_legal_rows_that_records_refer_to_may_not_leave(sides):
    install(sides, 1, range(3))
    reader = sides.reader()
    bare = edition(2, records(range(3)))
    bare = msgspec.structs.replace(bare, lists=(msgspec.structs.replace(bare.lists[0], legal=()),))
    with pytest.raises(SnapshotInvalid) as caught:
        sides.writer.apply(bare, [])
    assert Refusal.TERMS_MALFORMED == caught.value.refusal
    assert_unchanged(sides, reader, edition(1, records(range(3))), records(range(3)))


def test_what_a_list_means_may_change_without_its_records(sides):
    install(sides, 1, range(3))
    reader = sides.reader()
    bodies = records(range(3))
    changed = edition(2, bodies, lists=(list_edition(COURT, 2, bodies, measures=("loans", "later"), stalled_at=NOW + 0.5),))
    sides.writer.apply(changed, [])
    reader.refresh()
    assert changed == reader.begin().edition == sides.writer.held()


@pytest.mark.parametrize("length", [1, 254, 255, 256, 2000, 5000, 70_000])
def test_bodies_of_any_length_go_in_and_come_out(sides, length):
    def sized(mark: str) -> bytes:
        data = encode_body(Record(0, 0, NOW, number, mark * 200) for number in range(1 + length // 212))
        assert len(data) >= min(length, 212)
        return data

    base = [(token(1), COURT, sized("a"))]
    sides.writer.install(edition(1, base), base)
    changed = sorted([(token(1), COURT, sized("b")), (token(2), COURT, sized("c"))])
    sides.writer.apply(edition(2, changed), changed)
    assert changed == list(sides.writer.records())
    assert_holds(sides.reader().begin(), changed)


# --- readers ------------------------------------------------------------------------------------------------------------


def test_a_reader_sees_another_version_after_a_refresh(sides):
    reader = sides.reader()
    install(sides, 1, range(2))
    assert reader.begin() is None
    assert reader.refresh()
    assert not reader.refresh()
    install(sides, 2, range(3))
    assert 1 == reader.begin().edition.version
    assert reader.refresh()
    sides.writer.apply(edition(3, records(range(4))), put(3, mark="v"))
    assert_holds(reader.begin(), records(range(3)))
    assert reader.refresh()
    transaction = reader.begin()
    assert (3, 4) == (transaction.edition.version, len(contents(transaction, range(5))))
    transaction.close()


def test_a_transaction_keeps_its_version_whatever_is_installed_and_applied_meanwhile(sides):
    reader = sides.reader()
    install(sides, 1, range(3), "one")
    reader.refresh()
    kept = [(reader.begin(), 1, records(range(3), "one"))]
    for version in range(2, 12):
        bodies = records(range(version % 4, version + 2), f"v{version}")
        if version % 5 == 0:
            sides.writer.install(edition(version, bodies), bodies)
        else:
            sides.writer.apply(edition(version, bodies), [*gone(*range(20)), *bodies])
        reader.refresh()
        kept.append((reader.begin(), version, bodies))
    for transaction, version, bodies in kept:
        assert version == transaction.edition.version
        assert_holds(transaction, bodies)
        transaction.close()


def test_many_transactions_may_be_open_and_close_in_any_order(sides):
    install(sides, 1, range(3))
    reader = sides.reader()
    for version in range(2, 5):
        transactions = [reader.begin() for _ in range(40)]
        sides.writer.apply(edition(version, records(range(3))), [])
        reader.refresh()
        transactions += [reader.begin() for _ in range(40)]
        assert 80 == sum(len(contents(each, range(1))) for each in transactions)
        for each in transactions[::2] + transactions[1::2]:
            each.close()


def test_the_edition_of_one_version_is_one_object(sides):
    install(sides, 1, range(3))
    reader = sides.reader()
    first = reader.begin()
    sides.writer.vouch(1, 0.0)
    reader.refresh()
    second = reader.begin()
    assert first.edition is second.edition
    first.close()
    second.close()


def test_several_readers_read_the_same(sides):
    install(sides, 1, range(3))
    sides.writer.apply(edition(2, records(range(4))), put(3, mark="v"))
    readers = [sides.reader() for _ in range(3)]
    transactions = [each.begin() for each in readers]
    assert 1 == len({tuple(contents(each, range(5)).items()) for each in transactions})
    for each in transactions:
        each.close()


def test_the_bodies_of_a_version_are_read_in_steps_while_newer_ones_come(sides):
    bodies = records(range(50))
    sides.writer.install(edition(1, bodies), bodies)
    begun, unread = sides.writer.records(), sides.writer.records()
    first = [next(begun) for _ in range(10)]
    sides.writer.apply(edition(2, records(range(10))), gone(*range(10, 50)))
    after_apply = sides.writer.records()
    sides.writer.install(edition(3), [])
    assert bodies == first + list(begun)
    assert bodies == list(unread)
    assert records(range(10)) == list(after_apply)
    assert [] == list(sides.writer.records())


def test_a_version_may_be_built_anew_from_its_own_bodies(sides):
    install(sides, 1, range(30))
    expected = after(records(range(30)), *put(3, 40), *gone(5))
    sides.writer.install(edition(2, expected), sides.writer.records(), [*put(3, 40), *gone(5)])
    assert expected == list(sides.writer.records())
    assert_holds(sides.reader().begin(), expected)


# --- ages ---------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("way", ["install", "apply"])
def test_a_version_not_vouched_for_is_as_old_as_its_publication(sides, way):
    if way == "apply":
        install(sides, 1, range(1))
        sides.writer.vouch(1, 0.0)
    sides.clock.advance(60)
    getattr(sides.writer, way)(edition(2, records(range(1))), records(range(1)))
    reader = sides.reader()
    assert 60.0 == pytest.approx(reader.vouched_age_s())
    sides.writer.vouch(2, 1.0)
    reader.refresh()
    assert 1.0 == pytest.approx(reader.vouched_age_s())


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
    sides.writer.install(edition(1, published_at=sides.clock.now() + 500), [])
    sides.writer.vouch(1, -9.0)
    assert sides.reader().vouched_age_s() >= 0.0


keys = st.tuples(st.binary(min_size=16, max_size=16), st.sampled_from([COURT, CARRIERS, BANK]))
bodies_of_any_kind = st.lists(
    st.builds(
        Record,
        st.just(0),
        st.just(0),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.text(max_size=60),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
).map(encode_body)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=st.dictionaries(keys, bodies_of_any_kind, max_size=40), probes=st.lists(keys, max_size=10))
def test_a_version_is_the_dictionary_it_was_made_from(sides, index, probes):
    held = sides.writer.held()
    bodies = sorted((*key, each) for key, each in index.items())
    sides.writer.install(edition(held.version + 1 if held else 1, bodies, of=(COURT, CARRIERS, BANK)), bodies)
    reader = sides.reader()
    transaction = reader.begin()
    expected = values(bodies)
    tokens = [key for key, _ in [*index, *probes]]
    assert [expected.get(key) for key in tokens] == [transaction.get(key) for key in tokens]
    assert [index.get(key, b"") for key in probes] == [sides.writer.body(*key) for key in probes]
    transaction.close()
    reader.close()
