"""The rights of made-up people in a real registry, for the suites of their store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, text

from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.registry.schema import registry_metadata
from portcullis.adapters.sql.rights.rights import SqlRights
from portcullis.domain.disputes import (
    Case,
    CaseKind,
    CaseState,
    CaseStep,
    CaseStepKind,
    DisputeGround,
    EntryEffect,
    Resolution,
)
from portcullis.domain.entries import Entry
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.tokens import TOKEN_BYTES
from portcullis.ports import IndexedEntry, RedressNumber, StoredEntry
from tests.support.databases import PostgresServer, migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry, document

DAY_S = 86_400
DECIDE_BY = NOW + 30 * DAY_S
NOTE = StepNote(actor="rev", why="as told", document="D-1")


class Office:
    """A registry with three entries on two lists, and the store of rights on its database, opened once more."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = StillClock()
        self.registry = SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=self.clock)
        self.rights = SqlRights(url, clock=self.clock)

    def stock(self) -> None:
        """Begin anew, at NOW; what was there before is gone."""
        with self.rights._database.writing() as connection:
            for table in reversed(registry_metadata.sorted_tables):
                connection.execute(delete(table))
        self.clock.time = NOW
        self.registry.apply_policy(POLICY, actor="ann")
        for entry in (
            an_entry("k1", document(1)),
            an_entry("k2", document(2)),
            an_entry("k1", document(1), list="carrier"),
        ):
            self.put(entry)

    def put(self, entry: Entry, *, four_eyes: bool = False) -> StoredEntry:
        """Put an entry, as Ann does."""
        return self.registry.put(entry, note=StepNote(actor="ann"), four_eyes=four_eyes).entry

    def step(self, step: Step, key: str = "k1", *, actor: str = "bob") -> StoredEntry:
        """Take a step on an entry of the court's list."""
        return self.registry.step("court", key, step, note=StepNote(actor=actor))

    def entry(self, key: str = "k1", list_name: str = "court") -> StoredEntry:
        """Give an entry."""
        return self.registry.entry(list_name, key)

    def steps(self, key: str = "k1") -> list[str]:
        """Give the steps that an entry of the court's list has been through."""
        return [each.step for each in self.registry.history("court", key)]

    def indexed(self, key: str = "k1") -> dict[bytes, IndexedEntry]:
        """Give what a publisher sees of an entry of the court's list, by its tokens."""
        entry_id = self.entry(key).entry_id
        with self.registry.view() as view:
            return {token: each for token, each in view.index(["court"]) if each.entry_id == entry_id}

    def scalars(self, statement: str) -> list[Any]:
        """Ask the database for a column."""
        with self.rights._database.reading() as connection:
            return list(connection.scalars(text(statement)))

    def last_change(self) -> tuple[str, str, str, str, str]:
        """Give what the log says last: the change, who made it, of what, why and with which document."""
        columns = "change, actor, subject, detail, document"
        with self.rights._database.reading() as connection:
            return tuple(connection.execute(text(f"SELECT {columns} FROM change_log ORDER BY seq DESC LIMIT 1")).one())

    def open(self, case: Case, *steps: Step) -> Case:
        """Open a case."""
        effect = EntryEffect(steps=steps, decide_by=case.decide_by)
        return self.rights.open_case(case, effect, note=NOTE)

    def close(self) -> None:
        """Give up the connections."""
        self.rights.close()
        self.registry.close()


@contextmanager
def opened_office(kind: str, folder: Path, server: Callable[[], PostgresServer]) -> Iterator[Office]:
    """Open an office without anything in it, on SQLite or PostgreSQL."""
    with migrated_database(kind, "registry", folder, server) as url, closing(Office(url)) as office:
        yield office


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """One office a database for all tests: what SQLAlchemy has compiled for it is what takes long."""
    folder = tmp_path_factory.mktemp("office")
    with opened_office(request.param, folder, lambda: request.getfixturevalue("postgres")) as opened:
        yield opened


@pytest.fixture
def office(shared_office: Office) -> Office:
    """A stocked office, on each database."""
    shared_office.stock()
    return shared_office


def a_case(entry: StoredEntry, case_id: str = "c1", **changes: Any) -> Case:
    """An open dispute about an entry, opened NOW."""
    values: dict[str, Any] = {
        "kind": CaseKind.DISPUTE,
        "ground": DisputeGround.NOT_ME,
        "opened_at": float(NOW),
        "tell_source_by": NOW + 7.0 * DAY_S,
        "decide_by": DECIDE_BY,
        "steps": (CaseStep(step=CaseStepKind.OPEN, at=float(NOW), actor="subject"),),
    }
    return Case(case_id=case_id, list=entry.list, entry_id=entry.entry_id, **(values | changes))


def mismatch(entry: StoredEntry, case_id: str = "c2", **changes: Any) -> Case:
    """An open case that partners' reports of a wrong identity have led to."""
    return a_case(entry, case_id, kind=CaseKind.IDENTITY_MISMATCH, ground=None, decide_by=0, **changes)


def next_version(case: Case, step: CaseStepKind, **changes: Any) -> Case:
    """A case after one step more."""
    taken = CaseStep(step=step, at=float(NOW), actor="rev", why="as told", document="D-1")
    return msgspec.structs.replace(case, steps=(*case.steps, taken), version=case.version + 1, **changes)


def resolved(case: Case, resolution: Resolution = Resolution.UPHELD, *, closed_at: float = NOW) -> Case:
    """A case that was decided."""
    closed = {"state": CaseState.RESOLVED, "resolution": resolution, "stayed": False, "closed_at": float(closed_at)}
    return next_version(case, CaseStepKind.RESOLVE, **closed)


def clearances(number: int, count: int = 1) -> tuple[bytes, ...]:
    """The clearance tokens of a redress number."""
    return tuple(bytes([number, place]) * (TOKEN_BYTES // 2) for place in range(count))


def a_number(number: int = 1, key: str = "k1", **changes: Any) -> RedressNumber:
    """A redress number for who is mistaken for the subject of an entry of the court's list."""
    values: dict[str, Any] = {"issued_by": "rev", "issued_at": float(NOW + number), "case_id": ""}
    return RedressNumber(
        number_id=f"n{number}", list="court", key=key, clearances=clearances(number, 2), **(values | changes)
    )


def tokens(number: int) -> tuple[bytes, ...]:
    """The tokens of the passport of `document`."""
    return TOKENISER.index_tokens(document(number))
