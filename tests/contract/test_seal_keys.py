"""Another seal key in a registry, on SQLite and on PostgreSQL: what is sealed stays, and is wrapped anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import text, update

from portcullis.adapters.key_wrapping import FolderWrapper
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.registry.schema import entries
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import NotFound, RegistryUnavailable
from portcullis.domain.policies import Policy
from portcullis.mains.keys import read_key
from tests.support.databases import migrated_database
from tests.support.imports import StillClock
from tests.support.policies import a_list
from tests.support.registries import import_rows
from tests.support.registry_entries import SEAL_KEY, TOKENISER, an_entry, document

POLICY = Policy(lists=(a_list("court", guard_percent=5, guard_entries=0), a_list("carrier", four_eyes=True)))
PEOPLE = tuple(an_entry(f"k{number}", document(number)) for number in range(1, 8))


class World:
    """A registry whose seal keys lie in a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.key(1)
        self.registry = self.opened()
        self.registry.apply_policy(POLICY, actor="ann")
        import_rows(self.registry, PEOPLE)
        # A superseded version, an amendment and a held import, beside the entries.
        self.registry.put_entry(an_entry("k1", document(30)), actor="ann")
        self.registry.put(an_entry("k2", document(31)), note=StepNote(actor="ann"), four_eyes=True)
        import_rows(self.registry, [an_entry("c1", document(32), list="carrier")], list_name="carrier")

    def key(self, epoch: int, suffix: str = "") -> None:
        name = "seal.key" if epoch == 1 else f"seal.{epoch}.key{suffix}"
        (self.folder / name).write_text(bytes([epoch] * 32).hex())

    def opened(self, monotonic: Callable[[], float] | None = None) -> SqlRegistry:
        wrapper = FolderWrapper(self.folder, read_key, monotonic=monotonic or Ticks())
        return SqlRegistry(self.url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=StillClock(), keys=wrapper)

    def retire_first(self, registry: SqlRegistry | None = None) -> tuple[int, int]:
        """Retire the first key as the command does; gives how many rows stood in the way."""
        return tuple((registry or self.registry).retire_seal_key((self.folder / "seal.key").unlink))  # type: ignore[return-value]

    def identities(self) -> list[object]:
        return [
            *(self.registry.identity("court", f"k{number}") for number in range(1, 8)),
            self.registry.identity("court", "k2", proposed=True),
        ]


class Ticks:
    """Two seconds go by between any two looks."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        self.time += 2.0
        return self.time


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "keys"
    folder.mkdir()
    with migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as url:
        made = World(url, folder)
        with closing(made.registry):
            yield made


def test_everything_sealed_is_wrapped_anew_and_opens_without_the_former_key(world: World) -> None:
    before = world.identities()
    world.key(2)
    looked_at: list[int] = []
    # Seven entries, a version, an amendment and its entry's version, and a row of a held import.
    assert (11, 0) == world.registry.rewrap(dry_run=True)
    assert (11, 0) == world.registry.rewrap(progress=looked_at.append)
    assert 11 == sum(looked_at)
    assert (0, 0) == world.registry.rewrap()
    (world.folder / "seal.key").unlink()
    with closing(world.opened()) as other:
        world.registry, kept = other, world.registry
        assert before == world.identities()
        (held,) = other.held_imports()
        other.approve_import(held.import_id, actor="bob", purpose="minutes")
        assert document(32) == other.identity("carrier", "c1").identifiers[0]
        world.registry = kept


def test_a_process_that_runs_seals_under_the_new_key_and_opens_what_another_has_wrapped(world: World) -> None:
    world.registry.put_entry(an_entry("n1", document(40)), actor="ann")
    world.key(2)
    with closing(world.opened()) as other:
        assert 12 == other.rewrap().changed
    assert document(40) == world.registry.identity("court", "n1").identifiers[0]
    world.registry.put_entry(an_entry("n2", document(41)), actor="ann")
    assert (0, 0) == world.registry.rewrap(dry_run=True)


def test_a_key_that_is_next_opens_and_does_not_wrap(world: World) -> None:
    world.key(2, ".next")
    assert (0, 0) == world.registry.rewrap()
    world.registry.put_entry(an_entry("n1", document(40)), actor="ann")
    (world.folder / "seal.2.key.next").rename(world.folder / "seal.2.key")
    assert 12 == world.registry.rewrap().changed


def test_what_was_broken_off_goes_on_and_does_nothing_twice(world: World) -> None:
    class Killed(Exception):
        pass

    def kill(_: int) -> None:
        raise Killed

    world.key(2)
    with pytest.raises(Killed):
        world.registry.rewrap(progress=kill)
    assert 10 == world.registry.rewrap().changed


def test_what_can_not_be_opened_is_counted_and_left_as_it_is(world: World) -> None:
    world.key(2)
    with world.registry._database.writing() as connection:
        connection.execute(update(entries).where(entries.c.key == "k5").values(sealed=b"damaged"))
    assert (10, 1) == world.registry.rewrap()
    (world.folder / "seal.key").unlink()
    with closing(world.opened()) as other, pytest.raises(RegistryUnavailable, match=r"keys/seal\.2\.key"):
        other.identity("court", "k5")


def test_a_next_key_that_is_just_being_copied_holds_nothing_up(world: World) -> None:
    coming = world.folder / "seal.2.key.next"
    coming.write_text("02" * 7)
    world.registry.put_entry(an_entry("n1", document(40)), actor="ann")
    with closing(world.opened()) as other:
        assert document(40) == other.identity("court", "n1").identifiers[0]
        coming.write_text("02" * 32)
        other.put_entry(an_entry("n2", document(41)), actor="ann")
        with closing(world.opened()) as third:
            coming.rename(world.folder / "seal.2.key")
            third.put_entry(an_entry("n3", document(42)), actor="ann")
        # It was seen before it was in use.
        (world.folder / "seal.2.key").unlink()
        assert document(42) == other.identity("court", "n3").identifiers[0]


def test_an_import_under_way_while_the_key_that_it_was_made_ready_with_is_retired_is_refused_whole(world: World) -> None:
    with closing(world.opened()) as command, world.registry.begin_import("court", actor="ann") as session:
        session.stage([an_entry("n1", document(40))])
        world.key(2)
        command.rewrap()
        assert (0, 0) == world.retire_first(command)
        session.stage([an_entry("n2", document(41))])
        with pytest.raises(RegistryUnavailable, match=r"seal key was changed .* do it again"):
            session.commit(full=False)
    with pytest.raises(NotFound):
        world.registry.entry("court", "n1")
    import_rows(world.registry, [an_entry("n1", document(40))], full=False)
    with closing(world.opened()) as other:
        assert document(40) == other.identity("court", "n1").identifiers[0]


def test_an_import_to_be_held_is_refused_like_any_other_once_its_key_is_retired(world: World) -> None:
    with world.registry.begin_import("carrier", actor="ann") as session:
        session.stage([an_entry("c2", document(42), list="carrier")])
        world.key(2)
        world.registry.rewrap()
        assert (0, 0) == world.retire_first()
        with pytest.raises(RegistryUnavailable, match="do it again"):
            session.commit(full=False)
    assert [1] == [each.counts.added for each in world.registry.held_imports()]
    assert (0, 0) == world.registry.rewrap(dry_run=True)


@pytest.mark.parametrize("four_eyes", [False, True], ids=["put", "proposed"])
def test_a_put_that_was_sealed_before_its_key_was_retired_is_refused_and_goes_the_next_time(
    world: World, four_eyes: bool
) -> None:
    # It looks for another key once a second, and no second goes by.
    with closing(world.opened(lambda: 0.0)) as late:
        late.put_entry(an_entry("n0", document(39)), actor="ann")
        world.key(2)
        world.registry.rewrap()
        assert (0, 0) == world.retire_first()
        for number, key in enumerate(("k3", "n1")):
            amendment = an_entry(key, document(40 + number))
            if number == 0:
                with pytest.raises(RegistryUnavailable, match="do it again"):
                    late.put(amendment, note=StepNote(actor="ann"), four_eyes=four_eyes)
                assert (1, False) == (late.entry("court", "k3").version, late.entry("court", "k3").pending)
            late.put(amendment, note=StepNote(actor="ann"), four_eyes=four_eyes)
            assert document(40 + number) == late.identity("court", key, proposed=four_eyes).identifiers[0]
    assert (0, 0) == world.registry.rewrap(dry_run=True)


def test_an_import_under_way_whose_key_is_kept_goes_on_and_the_key_stays(world: World) -> None:
    with world.registry.begin_import("court", actor="ann") as session:
        session.stage([an_entry("n1", document(40))])
        world.key(2)
        world.registry.rewrap()
        session.commit(full=False)
    assert (1, 0) == world.retire_first()
    assert (world.folder / "seal.key").exists()
    assert document(40) == world.registry.identity("court", "n1").identifiers[0]
    world.registry.rewrap()
    assert (0, 0) == world.retire_first()


def test_whatever_is_written_after_all_was_counted_keeps_the_key_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        late = stack.enter_context(closing(world.opened(lambda: 0.0)))
        command = stack.enter_context(closing(world.opened()))
        late.put_entry(an_entry("n0", document(39)), actor="ann")
        court = stack.enter_context(world.registry.begin_import("court", actor="ann"))
        carrier = stack.enter_context(world.registry.begin_import("carrier", actor="ann"))
        court.stage([an_entry("n1", document(40)), an_entry("n2", document(41))])
        carrier.stage([an_entry("c2", document(42), list="carrier")])
        world.key(2)
        world.registry.rewrap()
        writing = command._database.writing

        def written_before_the_lock() -> object:
            # Two entries, one of which goes to the history at once, a row that is held, and an amendment.
            court.commit(full=False)
            carrier.commit(full=False)
            world.registry.put_entry(an_entry("n2", document(43)), actor="ann")
            late.put(an_entry("k4", document(44)), note=StepNote(actor="ann"), four_eyes=True)
            return writing()

        with monkeypatch.context() as patched:
            patched.setattr(command._database, "writing", written_before_the_lock)
            assert (4, 0) == world.retire_first(command)
        assert (world.folder / "seal.key").exists()
        assert (4, 0) == command.rewrap()
        assert (0, 0) == world.retire_first(command)
        assert document(44) == world.registry.identity("court", "k4", proposed=True).identifiers[0]


def test_wrapping_anew_waits_for_a_writer_of_the_same_rows_and_neither_is_broken_off(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "keys").mkdir()
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()")
    with ExitStack() as stack:
        made = migrated_database("postgresql", "registry", tmp_path, lambda: request.getfixturevalue("postgres"))
        world = World(stack.enter_context(made), tmp_path / "keys")
        stack.enter_context(closing(world.registry))
        command = stack.enter_context(closing(world.opened()))
        threads = stack.enter_context(ThreadPoolExecutor(1))
        world.key(2)
        deadline = time.monotonic() + 30
        with world.registry._database.writing() as connection:
            # In another order than that of their keys, as one statement over many rows may.
            connection.execute(update(entries).where(entries.c.key == "k7").values(barred=entries.c.barred))
            rewrapped = threads.submit(command.rewrap)
            while not connection.scalar(waits):
                assert not rewrapped.done()
                assert time.monotonic() < deadline
                threading.Event().wait(0.01)
            connection.execute(update(entries).where(entries.c.key == "k1").values(barred=entries.c.barred))
        assert (11, 0) == rewrapped.result(30)
        assert (0, 0) == command.rewrap(dry_run=True)
