"""Another token key in a registry, on SQLite and on PostgreSQL: entries come over, and nothing else of them changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.registry.schema import entries, entry_amendments, former_tokens, held_rows
from portcullis.adapters.sql.rights.rights import SqlRights
from portcullis.domain.entries import Entry
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import KeyChangeRefused, NotFound, RegistryUnavailable, SetupFault
from portcullis.domain.policies import Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import BEGINNING, RedressNumber, RegistryView, SubjectSession
from portcullis.ports.token_keys import KeyState, WaitingPlace
from portcullis.registry.token_renewal import TokenRenewer
from tests.support.databases import migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW, a_list
from tests.support.registries import import_rows
from tests.support.registry_entries import SEAL_KEY, an_entry, document
from tests.support.token_rings import FIRST, SECOND, THIRD, Ring, named

NOTE = StepNote(actor="ann", why="a year has passed")
POLICY = Policy(lists=(a_list("court", guard_percent=5, guard_entries=0), a_list("carrier", four_eyes=True)))
PEOPLE = tuple(an_entry(f"k{number}", document(number)) for number in range(1, 8))


class _Counts:
    def __init__(self) -> None:
        self.came = self.lost = self.failures = 0

    def renewed(self, entries: int) -> None:
        self.came += entries

    def unreadable(self, entries: int) -> None:
        self.lost = entries

    def renewal_failed(self) -> None:
        self.failures += 1


class World:
    """A registry with seven people on a list, and whoever follows its index by what is touched."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = StillClock()
        self.ring = Ring(FIRST, SECOND)
        self.registry = self.opened()
        self.rights = SqlRights(url, clock=self.clock)
        self.registry.check_token_keys()
        self.registry.apply_policy(POLICY, actor="ann")
        import_rows(self.registry, PEOPLE)
        self.seen = 0
        self.mirror: dict[bytes, list[int]] = {}
        self.counts = _Counts()
        self.follow()

    def opened(self, *keys: Tokeniser) -> SqlRegistry:
        return SqlRegistry(self.url, seal_key=SEAL_KEY, tokeniser=Ring(*keys) if keys else self.ring, clock=self.clock)

    def renewer(self, batch: int = 3) -> TokenRenewer:
        return TokenRenewer(self.registry, clock=self.clock, counts=self.counts, batch=batch)

    def turn(self) -> None:
        assert self.renewer().turn(threading.Event())
        self.follow()

    def follow(self) -> None:
        """Go on by what was touched, as a publisher does, and see that it leads to the index."""
        with self.registry.view() as view:
            for token, _, here in view.touched(self.seen, NOW):
                self.mirror.pop(token, None)
                if here:
                    self.mirror[token] = [each.entry_id for each in here]
            self.seen = view.seq
            assert _index(view) == self.mirror

    def found(self, entry: Entry, *tokenisers: Tokeniser) -> set[int]:
        """The numbers of the entries that a check with an entry's identifiers finds under these keys."""
        tokens = {token for key in tokenisers for each in entry.identifiers for token in key.index_tokens(each)}
        return {entry_id for token in tokens for entry_id in self.mirror.get(token, ())}

    def states(self) -> list[tuple[int, KeyState]]:
        return [(key.epoch, key.state) for key in self.registry.token_keys()]

    def rows(self, statement: Any) -> list[Any]:
        with self.registry._database.reading() as connection:
            return list(connection.execute(statement))

    def close(self) -> None:
        self.registry.close()
        self.rights.close()


def _index(view: RegistryView) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for token, entry in view.index(["court", "carrier"]):
        found.setdefault(token, []).append(entry.entry_id)
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with (
        migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as url,
        closing(World(url)) as made,
    ):
        yield made


def test_every_entry_is_found_under_one_of_the_two_keys_after_each_batch(world: World) -> None:
    world.registry.switch_token_key(2, note=NOTE)
    world.follow()
    after = 0
    while (done := world.registry.renew_tokens(after, 2)).last is not None:
        after = done.last
        world.follow()
        for number, each in enumerate(PEOPLE, 1):
            assert {number} == world.found(each, FIRST, SECOND)
            assert world.found(each, FIRST) == ({number} if number > after else set())
    assert world.registry.finish_renewal(world.seen)
    assert [(2, KeyState.IN_USE), (1, KeyState.LEFT)] == world.states()


def test_a_snapshot_names_both_keys_until_the_last_entry_has_come_over(world: World) -> None:
    def keys() -> tuple[Any, ...]:
        with world.registry.view() as view:
            return view.token_keys

    assert keys() == (named(FIRST),)
    world.registry.switch_token_key(2, note=NOTE)
    assert keys() == (named(SECOND), named(FIRST))
    world.registry.renew_tokens(0, 3)
    assert keys() == (named(SECOND), named(FIRST))
    world.turn()
    assert keys() == (named(SECOND),)


def test_a_registry_that_was_killed_amid_a_renewal_goes_on_where_its_entries_are(world: World) -> None:
    world.registry.switch_token_key(2, note=NOTE)
    world.registry.renew_tokens(0, 3)
    world.registry.close()
    world.registry = world.opened()
    world.turn()
    assert 4 == world.counts.came
    assert [(2, KeyState.IN_USE), (1, KeyState.LEFT)] == world.states()


def test_nothing_of_an_entry_changes_but_its_tokens(world: World) -> None:
    def told() -> Any:
        with world.registry.changes(BEGINNING, NOW) as read:
            changes = [change for change, _ in read.changes]
        return (
            world.registry.entry("court", "k1"),
            world.registry.history("court", "k1"),
            world.registry.identity("court", "k1"),
            changes,
            world.registry.as_of(world.seen, [1]),
        )

    before, world.seen = told(), world.seen
    world.registry.switch_token_key(2, note=NOTE)
    assert world.renewer().turn(threading.Event())
    assert before == told()


def test_the_same_rows_imported_again_change_nothing_and_are_not_held_before_amid_and_after_a_renewal(world: World) -> None:
    world.registry.switch_token_key(2, note=NOTE)
    assert 7 == import_rows(world.registry, PEOPLE).counts.unchanged
    world.registry.renew_tokens(0, 3)
    assert 7 == import_rows(world.registry, PEOPLE).counts.unchanged
    amended = [msgspec.structs.replace(each, case_reference=f"amended {each.key}") for each in PEOPLE]
    outcome = import_rows(world.registry, amended)
    assert (7, None) == (outcome.counts.amended, outcome.held)
    world.turn()
    assert 7 == import_rows(world.registry, amended).counts.unchanged
    assert [(2, KeyState.IN_USE), (1, KeyState.LEFT)] == world.states()


def test_an_import_that_began_with_the_former_key_is_not_taken_for_a_loss_and_comes_over_later(world: World) -> None:
    with world.registry.begin_import("court", actor="ann") as session:
        session.stage([msgspec.structs.replace(each, case_reference="amended") for each in PEOPLE])
        world.registry.switch_token_key(2, note=NOTE)
        world.registry.renew_tokens(0, 4)
        outcome = session.commit(full=True)
    assert (7, None) == (outcome.counts.amended, outcome.held)
    world.follow()
    assert {1} == world.found(PEOPLE[0], FIRST)
    world.turn()
    assert {1} == world.found(PEOPLE[0], SECOND)
    assert [(2, KeyState.IN_USE), (1, KeyState.LEFT)] == world.states()


def test_what_was_made_ready_under_a_key_that_has_left_is_refused_whole(world: World) -> None:
    with world.registry.begin_import("court", actor="ann") as session:
        session.stage([an_entry("late", document(50))])
        world.registry.switch_token_key(2, note=NOTE)
        world.turn()
        with pytest.raises(RegistryUnavailable, match="do it again"):
            session.commit(full=False)
    world.follow()
    with pytest.raises(NotFound):
        world.registry.entry("court", "late")


def test_a_key_has_not_left_while_something_that_changed_meanwhile_stands_under_it(world: World) -> None:
    late = world.opened(FIRST, SECOND)
    since = world.registry.head()
    with closing(late), late.begin_import("court", actor="ann") as session:
        session.stage([an_entry("late", document(50))])
        world.registry.switch_token_key(2, note=NOTE)
        while world.registry.renew_tokens(0, 10).last is not None:
            pass
        session.commit(full=False)
    assert not world.registry.finish_renewal(since)
    world.turn()
    assert {8} == world.found(an_entry("late", document(50)), SECOND)
    assert [(2, KeyState.IN_USE), (1, KeyState.LEFT)] == world.states()


def test_what_waits_for_a_second_person_comes_over_too(world: World) -> None:
    two_eyes = an_entry("w1", document(60), list="carrier")
    import_rows(world.registry, [two_eyes], list_name="carrier")
    world.registry.put(an_entry("k1", document(70)), note=NOTE, four_eyes=True)
    world.registry.switch_token_key(2, note=NOTE)
    world.turn()
    assert [2] == [row.token_epoch for row in world.rows(select(held_rows.c.token_epoch))]
    world.registry.step("court", "k1", Step.APPROVE, note=StepNote(actor="bob"))
    (held,) = world.registry.held_imports()
    world.registry.approve_import(held.import_id, actor="bob", purpose="minutes")
    world.follow()
    assert {1} == world.found(an_entry("k1", document(70)), SECOND)
    assert {8} == world.found(two_eyes, SECOND)
    assert [(2,)] == [tuple(row) for row in world.rows(select(entries.c.token_epoch).distinct())]


def _two_that_wait(world: World) -> None:
    """A held import of nine rows, and three amendments."""
    rows = [an_entry(f"w{number}", document(100 + number), list="carrier") for number in range(9)]
    import_rows(world.registry, rows, list_name="carrier")
    for number in range(1, 4):
        world.registry.put(an_entry(f"k{number}", document(120 + number)), note=NOTE, four_eyes=True)


def test_what_waits_and_can_not_be_opened_is_told_once_and_holds_up_nothing_behind_it(world: World) -> None:
    _two_that_wait(world)
    # As many as a batch holds, and the first of all.
    with world.registry._database.writing() as connection:
        connection.execute(held_rows.update().where(held_rows.c.row_no < 3).values(sealed=b"damaged"))
        connection.execute(entry_amendments.update().where(entry_amendments.c.entry_id == 1).values(sealed=b"damaged"))
    world.registry.switch_token_key(2, note=NOTE)
    with capture_logs() as logs:
        assert world.renewer(batch=3).turn(threading.Event())
    assert [4] == [line["entries"] for line in logs if line["log_level"] == "error"]
    assert (4, 7 + 6 + 2) == (world.counts.lost, world.counts.came)
    left = select(held_rows.c.row_no).where(held_rows.c.token_epoch == 1).order_by(held_rows.c.row_no)
    assert [0, 1, 2] == [row.row_no for row in world.rows(left)]
    assert [1] == [row.entry_id for row in world.rows(select(entry_amendments).where(entry_amendments.c.token_epoch == 1))]
    assert [(2, KeyState.IN_USE), (1, KeyState.LEAVING)] == world.states()


def test_what_waits_is_gone_through_in_the_order_of_its_places_a_batch_at_a_time(world: World) -> None:
    _two_that_wait(world)
    world.registry.switch_token_key(2, note=NOTE)
    place, seen = WaitingPlace(), []
    while (done := world.registry.renew_waiting(place, 2)).last is not None:
        place = done.last
        seen.append((place, done.renewed))
    import_id = world.registry.held_imports()[0].import_id
    assert [
        (WaitingPlace(2, import_id, 1), 4),
        (WaitingPlace(3, import_id, 3), 3),
        (WaitingPlace(3, import_id, 5), 2),
        (WaitingPlace(3, import_id, 7), 2),
        (WaitingPlace(3, import_id, 8), 1),
    ] == seen


def test_a_put_and_a_step_go_on_amid_a_renewal(world: World) -> None:
    world.registry.switch_token_key(2, note=NOTE)
    world.registry.renew_tokens(0, 3)
    world.registry.put_entry(an_entry("new", document(80)), actor="ann")
    world.registry.withdraw_entry("court", "k6", reason="paid", actor="ann")
    world.registry.put_entry(an_entry("k7", document(81)), actor="ann")
    world.turn()
    assert ({8}, set(), {7}) == (
        world.found(an_entry("new", document(80)), SECOND),
        world.found(PEOPLE[5], FIRST, SECOND),
        world.found(an_entry("k7", document(81)), SECOND),
    )


def test_a_redress_number_counts_on_under_the_key_it_was_issued_under(world: World) -> None:
    clearance = FIRST.clearance("0123456789ABCDEF", b"o" * 16, b"m" * 16)
    number = RedressNumber(
        number_id="n1", list="court", key="k2", issued_by="rev", issued_at=NOW, case_id="", clearances=(clearance,)
    )
    world.rights.issue_number(number, note=NOTE)
    world.follow()
    world.registry.switch_token_key(2, note=NOTE)
    world.turn()
    assert [2] == world.mirror[clearance]
    with world.registry.view() as view:
        assert (named(SECOND), named(FIRST, records=False)) == view.token_keys
    with pytest.raises(KeyChangeRefused, match="1 redress numbers"):
        world.registry.retire_token_key(1, note=NOTE)
    world.rights.revoke_number("n1", note=NOTE)
    with world.registry.view() as view:
        assert (named(SECOND),) == view.token_keys


def test_a_number_issued_with_the_next_key_at_hand_needs_the_former_one_no_longer(world: World) -> None:
    made = tuple(key.clearance("0123456789ABCDEF", b"o" * 16, b"m" * 16) for key in (FIRST, SECOND))
    number = RedressNumber(
        number_id="n1", list="court", key="k2", issued_by="rev", issued_at=NOW, case_id="", clearances=made, token_epoch=2
    )
    world.rights.issue_number(number, note=NOTE)
    with world.registry.view() as view:
        assert (named(FIRST),) == view.token_keys
    world.registry.switch_token_key(2, note=NOTE)
    world.follow()
    world.turn()
    with world.registry.view() as view:
        assert (named(SECOND),) == view.token_keys
    world.registry.retire_token_key(1, note=NOTE)


def test_what_an_entry_stood_under_is_known_until_the_key_is_retired(world: World) -> None:
    world.registry.switch_token_key(2, note=NOTE)
    world.turn()
    both = {*FIRST.index_tokens(document(3)), *SECOND.index_tokens(document(3))}
    assert both == set(world.rights.ever_tokens_of("court", "k3"))
    world.registry.retire_token_key(1, note=NOTE)
    assert set(SECOND.index_tokens(document(3))) == set(world.rights.ever_tokens_of("court", "k3"))
    assert [(2, KeyState.IN_USE)] == world.states()


def test_an_entry_erased_after_it_came_over_is_erased_under_both_keys(world: World) -> None:
    seen, mirror = world.seen, dict(world.mirror)
    world.registry.switch_token_key(2, note=NOTE)
    world.registry.withdraw_entry("court", "k3", reason="paid", actor="ann")
    world.turn()
    assert (1, 0) == world.rights.erase_of(SECOND.index_tokens(document(3)), note=NOTE)
    assert 0 == world.rows(select(func.count()).where(former_tokens.c.entry_id == 3))[0][0]
    # Who stood still since before the switch still learns of all of it.
    world.seen, world.mirror = seen, mirror
    world.follow()
    assert set() == world.found(PEOPLE[2], FIRST, SECOND)


def test_keys_follow_one_another_and_only_one_change_is_under_way(world: World) -> None:
    world.ring.keys[3] = THIRD
    with pytest.raises(KeyChangeRefused, match="the next one is 2"):
        world.registry.switch_token_key(3, note=NOTE)
    world.registry.switch_token_key(2, note=NOTE)
    with pytest.raises(KeyChangeRefused, match="still come over"):
        world.registry.switch_token_key(3, note=NOTE)
    with pytest.raises(KeyChangeRefused, match="entries stand under"):
        world.registry.retire_token_key(1, note=NOTE)
    with pytest.raises(NotFound):
        world.registry.retire_token_key(9, note=NOTE)
    world.turn()
    world.registry.switch_token_key(3, note=NOTE)
    world.turn()
    assert [(3, KeyState.IN_USE), (2, KeyState.LEFT), (1, KeyState.LEFT)] == world.states()
    assert {1} == world.found(PEOPLE[0], THIRD)


def test_a_registry_opens_with_the_keys_that_its_entries_stand_under_and_with_no_others(world: World) -> None:
    world.registry.switch_token_key(2, note=NOTE)
    for ring, wrong in (((FIRST,), "token.2.key"), ((FIRST, Tokeniser(bytes(32), 2)), "token.2.key is another")):
        with closing(world.opened(*ring)) as other, pytest.raises(SetupFault, match=wrong):
            other.check_token_keys()
        with closing(world.opened(*ring)) as other, pytest.raises(SetupFault, match=wrong):
            other.put_entry(an_entry("new", document(90)), actor="ann")
    world.turn()
    with closing(world.opened(SECOND)) as other:
        other.check_token_keys()


def test_an_entry_that_can_not_be_opened_keeps_the_former_key_in_the_snapshot(world: World) -> None:
    with world.registry._database.writing() as connection:
        connection.execute(entries.update().where(entries.c.entry_id == 4).values(sealed=b"damaged"))
    world.registry.switch_token_key(2, note=NOTE)
    renewer = world.renewer()
    with capture_logs() as logs:
        assert [True, True] == [renewer.turn(threading.Event()) for _ in range(2)]
    world.follow()
    assert 1 == len([line for line in logs if line["log_level"] == "error"])
    assert 1 == world.counts.lost
    assert [(2, KeyState.IN_USE), (1, KeyState.LEAVING)] == world.states()
    assert {4} == world.found(PEOPLE[3], FIRST, SECOND)


def test_a_registry_that_is_down_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        raise RegistryUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(world.registry, "token_keys", down)
        assert not world.renewer().turn(threading.Event())
    assert 1 == world.counts.failures
    world.turn()


def test_a_look_that_began_before_another_switch_lets_no_key_leave(world: World) -> None:
    """Two processes renew: one is done, the key is switched again, and the other ends its look of before."""
    world.ring.keys[3] = THIRD
    world.registry.switch_token_key(2, note=NOTE)
    since = world.registry.head()
    world.turn()
    world.registry.switch_token_key(3, note=NOTE)
    assert not world.registry.finish_renewal(since)
    assert [(3, KeyState.IN_USE), (2, KeyState.LEAVING), (1, KeyState.LEFT)] == world.states()
    world.follow()
    assert {1} == world.found(PEOPLE[0], SECOND)
    world.turn()
    assert [(3, KeyState.IN_USE), (2, KeyState.LEFT), (1, KeyState.LEFT)] == world.states()


def test_whoever_missed_a_renewal_is_told_once_its_notes_are_forgotten(world: World) -> None:
    before = world.seen

    def forgot(after: int) -> bool:
        with world.registry.view() as view:
            return view.forgot_renewals(after)

    world.registry.switch_token_key(2, note=NOTE)
    amid = world.registry.head()
    world.turn()
    after = world.seen
    assert not forgot(before)
    world.registry.retire_token_key(1, note=NOTE)
    assert [True, True, False] == [forgot(seq) for seq in (before, amid, after)]


def test_an_import_to_be_held_that_was_made_ready_under_a_key_that_has_left_is_refused(world: World) -> None:
    with world.registry.begin_import("carrier", actor="ann") as session:
        session.stage([an_entry("w1", document(60), list="carrier")])
        world.registry.switch_token_key(2, note=NOTE)
        world.turn()
        with pytest.raises(RegistryUnavailable, match="do it again"):
            session.commit(full=False)
    assert [] == list(world.registry.held_imports())
    import_rows(world.registry, [an_entry("w1", document(60), list="carrier")], list_name="carrier")
    (held,) = world.registry.held_imports()
    world.registry.approve_import(held.import_id, actor="bob", purpose="minutes")
    world.follow()
    assert {8} == world.found(an_entry("w1", document(60)), SECOND)


def test_a_session_that_knows_its_holder_by_the_former_key_ends_with_the_switch(world: World) -> None:
    session = SubjectSession(handle="s1", tokens=FIRST.index_tokens(document(1))[:1], expires_at=NOW + 3600.0)
    world.rights.keep_session("digest", session)
    assert world.rights.session("digest", now=NOW) is not None
    world.registry.switch_token_key(2, note=NOTE)
    assert world.rights.session("digest", now=NOW) is None


def test_a_number_that_its_entry_was_erased_from_needs_no_key(world: World) -> None:
    clearance = FIRST.clearance("0123456789ABCDEF", b"o" * 16, b"m" * 16)
    number = RedressNumber(
        number_id="n1", list="court", key="k2", issued_by="rev", issued_at=NOW, case_id="", clearances=(clearance,)
    )
    world.rights.issue_number(number, note=NOTE)
    world.registry.withdraw_entry("court", "k2", reason="paid", actor="ann")
    world.registry.switch_token_key(2, note=NOTE)
    world.turn()
    world.rights.erase_of(SECOND.index_tokens(document(2)), note=NOTE)
    world.registry.retire_token_key(1, note=NOTE)
    assert [(2, KeyState.IN_USE)] == world.states()
