"""Registry, rights and journal in SQLite and in memory, for the suites of disputes and subjects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.sql.migrating import migrate_registry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.rights.rights import SqlRights
from portcullis.domain.entries import Entry
from portcullis.domain.entry_life import StepNote
from portcullis.domain.identifiers import Identifier
from portcullis.domain.policies import Policy, RestrictedList
from portcullis.domain.roles import Role
from portcullis.domain.subjects import SubjectNames
from portcullis.ports import ApiKey, Journal, StoredEntry, SubjectSession
from portcullis.registry.reported_names import ReportedNames
from tests.support.clocks import HandClock
from tests.support.databases import sqlite_url
from tests.support.policies import a_list
from tests.support.registry_entries import SEAL_KEY, TOKENISER, an_entry

SESSION_S = 3600.0
SUBJECTS = SubjectNames(bytes(range(32)))


class RightsHome:
    """A registry with what listed persons have rights to, and a journal, all by one clock that is moved by hand."""

    def __init__(
        self,
        folder: Path,
        *lists: RestrictedList,
        url: str = "",
        journal: Journal | None = None,
        clock: HandClock | None = None,
    ) -> None:
        self.clock = clock or HandClock()
        self.url = url or sqlite_url(folder, "registry.db", migrate_registry)
        self.registry = SqlRegistry(self.url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=self.clock)
        self.rights = SqlRights(self.url, clock=self.clock)
        self.journal: Journal = journal or MemoryJournal(clock=self.clock)
        self.names = ReportedNames(self.rights, SUBJECTS)
        self.registry.apply_policy(Policy(lists=lists or (a_list("court"), a_list("carrier"))), actor="otto")

    def put(self, key: str = "k1", *identifiers: Identifier, **changes: Any) -> StoredEntry:
        """Put an entry of the court's list in force, or amend it."""
        return self.put_entry(an_entry(key, *identifiers, **changes))

    def put_entry(self, entry: Entry, *, actor: str = "ann") -> StoredEntry:
        """Put an entry in force, or amend it."""
        note = StepNote(actor=actor, why="ordered")
        return self.registry.put(entry, note=note, four_eyes=False).entry

    def give_key(self, holder: str, role: Role = Role.REVIEWER, *, lists: Sequence[str] = ()) -> ApiKey:
        """Give somebody a key."""
        key_id = f"{holder}-{len(self.registry.keys())}"
        key = ApiKey(
            key_id=key_id,
            holder=holder,
            role=role,
            note="",
            created_at=self.clock.now(),
            revoked_at=None,
            lists=tuple(lists),
        )
        self.registry.add_key(key, key_id.encode().hex().ljust(64, "0"), actor="otto")
        return key

    def session_of(self, *identifiers: Identifier) -> SubjectSession:
        """Let somebody have proved to hold these identifiers."""
        tokens = tuple(TOKENISER.index_tokens(each)[0] for each in identifiers)
        return SubjectSession(handle="handle", tokens=tokens, expires_at=self.clock.now() + SESSION_S)

    def in_force(self, list_name: str = "court") -> set[int]:
        """Give the entries that would bind somebody now, as a gateway judges them by what is published."""
        now = self.clock.now()
        with self.registry.view() as view:
            return {
                each.entry_id
                for _, each in view.index([list_name])
                if not each.stayed and each.valid_from <= now < each.until
            }

    def close(self) -> None:
        """Give up the databases."""
        self.rights.close()
        self.registry.close()
        self.journal.close()


@contextmanager
def rights_home(folder: Path, *lists: RestrictedList) -> Iterator[RightsHome]:
    """Open an empty one."""
    with closing(RightsHome(folder, *lists)) as home:
        yield home
