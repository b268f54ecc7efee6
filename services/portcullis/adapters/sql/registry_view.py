"""One consistent reading of the registry, for the publisher."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from portcullis.adapters.sql.registry_database import guarded, head
from portcullis.adapters.sql.registry_policies import present_policy
from portcullis.adapters.sql.rows import read_measures
from portcullis.adapters.sql.schema import api_keys, entries, entry_tokens, lists, wordings
from portcullis.domain.editions import Credential
from portcullis.domain.entries import EntryStatus
from portcullis.domain.policies import Disclosure
from portcullis.ports import IndexedEntry

_ROWS_AT_ONCE: Final = 5_000
_WORDINGS_HELD: Final = 65_536


class SqlView:
    """The registry as it stood when the transaction began; good as long as the transaction is open.

    ``now`` (Unix seconds) leaves out the entries that have ended by then. Their end is judged again at every check.
    """

    def __init__(self, connection: Connection, *, now: float) -> None:
        self._connection = connection
        self._now = now
        self.seq = head(connection)
        self.policy = present_policy(connection)
        self.credentials = _credentials(connection)

    def index(self) -> Iterator[tuple[bytes, IndexedEntry]]:
        """Give every (token, entry in force) pair in ascending order of token, then of entry.

        Lists that the policy does not know, and those that never leave the registry, are left out. A few thousand rows
        are in memory at a time.

        Raises:
            RegistryUnavailable: the database failed on the way.
        """
        with guarded():
            names = self._published_lists()
            words = lru_cache(_WORDINGS_HELD)(self._words)
            # Lists are told apart here and not in SQL, which would tempt SQLite to begin with the entries and sort.
            for token, entry_id, list_id, wording, reference, begins, until, measures in self._connection.execute(
                _tokens_in_force(self._now)
            ):
                list_name = names.get(list_id)
                if list_name is None:
                    continue
                legal_basis, redress = words(wording)
                yield (
                    token,
                    IndexedEntry(
                        list=list_name,
                        entry_id=entry_id,
                        case_reference=reference,
                        legal_basis=legal_basis,
                        redress=redress,
                        valid_from=begins,
                        until=until,
                        stayed=False,
                        measures=read_measures(measures) if measures else (),
                    ),
                )

    def _published_lists(self) -> dict[int, str]:
        published = {each.name for each in self.policy.lists if each.disclosure is not Disclosure.AUTHORITY_ONLY}
        rows = self._connection.execute(select(lists.c.list_id, lists.c.name))
        return {row.list_id: row.name for row in rows if row.name in published}

    def _words(self, wording: bytes) -> tuple[str, str]:
        found = select(wordings.c.legal_basis, wordings.c.redress).where(wordings.c.wording == wording)
        row = self._connection.execute(found).one()
        return row.legal_basis, row.redress


def _tokens_in_force(now: float) -> Select[Any]:
    return (
        select(
            entry_tokens.c.token,
            entries.c.entry_id,
            entries.c.list_id,
            entries.c.wording,
            entries.c.case_reference,
            entries.c.valid_from,
            entries.c.until,
            entries.c.measures,
        )
        .join(entries, entries.c.entry_id == entry_tokens.c.entry_id)
        .where(entries.c.status == EntryStatus.IN_FORCE.value, entries.c.until > now)
        .order_by(entry_tokens.c.token, entry_tokens.c.entry_id)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )


def _credentials(connection: Connection) -> tuple[Credential, ...]:
    in_force = select(api_keys).where(api_keys.c.revoked_at.is_(None)).order_by(api_keys.c.seq)
    return tuple(
        Credential(key_id=row.key_id, holder=row.holder, digest=row.digest, role=row.role)
        for row in connection.execute(in_force)
    )
