"""Imports: rows are staged off to one side, then merged in one transaction, or held for a second person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert

from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.registry.database import RegistryDatabase, guarded, next_change
from portcullis.adapters.sql.registry.entries import list_number
from portcullis.adapters.sql.registry.held import hold, import_row, note_import, void_held
from portcullis.adapters.sql.registry.merge import compare, merge, shrinkage, takes_two
from portcullis.adapters.sql.registry.policies import numbered_policy
from portcullis.adapters.sql.registry.rows import EntryWriter, wording_row
from portcullis.adapters.sql.registry.sealing import wrapped_key
from portcullis.adapters.sql.registry.staging import (
    kept_keys,
    make_staging,
    settle_staging,
    staged_rows,
    staged_wordings,
)
from portcullis.adapters.sql.registry.token_keys import noted_keys
from portcullis.domain.entries import Entry
from portcullis.domain.guards import ImportState
from portcullis.ports import ImportOutcome

_WORDINGS_HELD: Final = 65_536


class SqlImport:
    """One import under way, on a connection of its own."""

    def __init__(
        self, database: RegistryDatabase, connection: Connection, writer: EntryWriter, *, list_name: str, actor: str
    ) -> None:
        self._database = database
        self._connection = connection
        self._writer = writer
        self._list_name = list_name
        self._actor = actor
        self._started_at = database.now()
        self._staged = 0
        self._wordings: set[bytes] = set()
        self._wrapped_keys: set[bytes] = set()
        with guarded(), connection.begin():
            writer.write_with(noted_keys(connection))
            make_staging(connection)

    def stage(self, entries: Sequence[Entry]) -> None:
        """Stage rows, in memory for as long as this call lasts. A key that comes again replaces the earlier row.

        Raises:
            RegistryUnavailable: there is no room for them.
        """
        if not entries:
            return
        rows = [self._row(entry, self._staged + place) for place, entry in enumerate(entries)]
        words = {row["wording"]: entry for row, entry in zip(rows, entries, strict=True)}
        fresh = [wording_row(entry) for wording, entry in words.items() if wording not in self._wordings]
        with guarded(), self._connection.begin():
            insert_many(self._connection, staged_rows, rows)
            insert_many(self._connection, staged_wordings, fresh)
        self._staged += len(rows)
        self._wrapped_keys.update(wrapped_key(row["sealed"]) for row in rows)
        if len(self._wordings) > _WORDINGS_HELD:
            self._wordings.clear()
        self._wordings.update(words)

    def _row(self, entry: Entry, number: int) -> dict[str, Any]:
        return self._writer.row(entry) | {"row_no": number, "other_tokens": self._writer.other_tokens(entry)}

    def keep(self, keys: Sequence[str]) -> None:
        """Let a full commit leave the entries of these keys as they are: their rows were bad, not gone.

        Raises:
            RegistryUnavailable: there is no room for them.
        """
        if keys:
            with guarded(), self._connection.begin():
                self._connection.execute(insert(kept_keys), [{"key": key} for key in keys])

    def commit(self, *, full: bool) -> ImportOutcome:
        """Merge what was staged in one transaction, or hold it, as `portcullis.ports.ImportSession` says.

        An import commits once.

        Raises:
            RegistryUnavailable: nothing of the import has taken effect. Where a key that it was made ready with is gone, it
                can't, and has to be done again.
        """
        connection = self._connection
        with guarded(), connection.begin():
            settle_staging(connection)
        with self._database.writing_in(connection):
            self._writer.demand_held(self._wrapped_keys)
            return self._decide(connection, full=full)

    def _decide(self, connection: Connection, *, full: bool) -> ImportOutcome:
        now = self._database.now()
        list_id = list_number(connection, self._list_name)
        version, policy = numbered_policy(connection)
        on = policy.list_named(self._list_name)
        counts = compare(connection, list_id, full=full, now=now)
        taken = shrinkage(connection, list_id, on, now=now)
        voided = void_held(connection, list_id, self._list_name, actor=self._actor, at=now)
        noted = import_row(counts, taken) | {
            "list_id": list_id,
            "mode": "full" if full else "additive",
            "actor": self._actor,
            "started_at": self._started_at,
            "committed_at": now,
            "policy_version": version,
        }
        if taken.lost > taken.guard or takes_two(connection, on):
            import_id = hold(connection, noted, list_name=self._list_name)
            return ImportOutcome(import_id=import_id, counts=counts, held=taken, voided=voided)
        seq = None
        if counts.added or counts.amended or counts.withdrawn:
            seq = next_change(connection, at=now, actor=self._actor, change="import", subject=self._list_name)
            merge(connection, list_id, counts, seq=seq)
        import_id = note_import(connection, noted | {"state": ImportState.APPLIED.value, "seq": seq})
        return ImportOutcome(import_id=import_id, counts=counts, voided=voided)
