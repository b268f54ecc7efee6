"""One consistent reading of the registry, for the publisher."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select

from portcullis.adapters.sql.registry.changes import TOUCHED_PAIRS
from portcullis.adapters.sql.registry.database import guarded, head
from portcullis.adapters.sql.registry.entries import LISTED_STATUSES, cut_tokens
from portcullis.adapters.sql.registry.policies import present_policy
from portcullis.adapters.sql.registry.rows import read_measures
from portcullis.adapters.sql.registry.schema import (
    api_keys,
    change_log,
    entries,
    entry_tokens,
    lists,
    revoked_certificates,
    wordings,
)
from portcullis.adapters.sql.registry.token_keys import forgot_renewals, named_keys
from portcullis.domain.editions import Credential
from portcullis.domain.entries import EntryStatus
from portcullis.domain.policies import Disclosure
from portcullis.ports import ENDED_KEPT_S, IndexedEntry

_STREAMED: Final = {"yield_per": 5_000}
_TOKENS_AT_ONCE: Final = 500
_WORDINGS_HELD: Final = 65_536
_STAYED: Final = EntryStatus.STAYED.value

_ENTRY: Final = (
    entries.c.entry_id,
    entries.c.list_id,
    entries.c.wording,
    entries.c.case_reference,
    entries.c.valid_from,
    entries.c.until,
    entries.c.measures,
    entries.c.status,
)
_INDEXED: Final = (
    select(entry_tokens.c.token, *_ENTRY)
    .join(entries, entries.c.entry_id == entry_tokens.c.entry_id)
    .where(entries.c.status.in_(LISTED_STATUSES))
    .order_by(entry_tokens.c.token, entry_tokens.c.entry_id)
)
_INDEXED_UNDER: Final = _INDEXED.where(entry_tokens.c.token.in_(bindparam("tokens", expanding=True)))


def _indexed_of_few() -> Select[Any]:
    """Begin with the entries of some lists and sort: better than to go through the tokens of all lists, if they are few."""
    pieces = cut_tokens(
        entries.c.entry_id,
        entries.c.tokens,
        entries.c.list_id.in_(bindparam("numbers", expanding=True)),
        entries.c.status.in_(LISTED_STATUSES),
    )
    return (
        select(pieces.c.token, *_ENTRY)
        .join(entries, entries.c.entry_id == pieces.c.owner)
        .order_by(pieces.c.token, pieces.c.owner)
    )


_INDEXED_OF_FEW: Final = _indexed_of_few()


class SqlView:
    """The registry as it stood when the transaction began; good as long as the transaction is open.

    Attributes:
        now: Unix seconds; entries that ended long enough before are left out.
        seq: the last change included.
        policy: the policy in force, with the lists that are suspended.
        credentials: the API keys that are neither revoked nor expired.
        revoked: the certificates that are refused.
        token_keys: those that the entries stand under, and those that redress numbers need.
        list_numbers: the number of every list of the policy.
    """

    def __init__(self, connection: Connection, *, now: float) -> None:
        self._connection = connection
        self.now = now
        self.seq = head(connection)
        self.policy = present_policy(connection)
        self.credentials = _credentials(connection, now)
        self.revoked = tuple(connection.scalars(select(revoked_certificates.c.mark).order_by(revoked_certificates.c.seq)))
        self.token_keys = named_keys(connection)
        self.list_numbers: Mapping[str, int] = _numbers(connection, {each.name for each in self.policy.lists})
        self._words = lru_cache(_WORDINGS_HELD)(self._read_words)

    def changed_at(self, seq: int) -> float:
        """Give when a change of the log was made (Unix seconds); 0 where there is none of this number.

        Raises:
            RegistryUnavailable: the database failed.
        """
        with guarded():
            return self._connection.scalar(select(change_log.c.at).where(change_log.c.seq == seq)) or 0.0

    def forgot_renewals(self, after: int, /) -> bool:
        """Say whether `touched` can't tell all since change ``after``: a token key that was in use then was retired.

        Raises:
            RegistryUnavailable: the database failed.
        """
        with guarded():
            return forgot_renewals(self._connection, after)

    def index(self, lists: Collection[str]) -> Iterator[tuple[bytes, IndexedEntry]]:
        """Give every (token, listed entry) pair of these lists, ascending by token, then by entry.

        Lists that the policy does not know, and those that never leave the registry, are left out. A few thousand rows
        are in memory at a time.

        Raises:
            RegistryUnavailable: the database failed on the way.
        """
        names = self._published(lists)
        with guarded():
            few = self._are_few(names)
            statement, values = (_INDEXED_OF_FEW, {"numbers": list(names)}) if few else (_INDEXED, {})
            for row in self._connection.execute(statement, values, execution_options=_STREAMED):
                if entry := self._indexed(row, names):
                    yield row[0], entry

    def touched(self, after: int, now_then: float) -> Iterator[tuple[bytes, str, tuple[IndexedEntry, ...]]]:
        """Give every token of a list whose entries may be others than at change ``after``: (token, list, entries now).

        Ascending by token, then by the list's name. The database sorts, on its disk where that takes long; a few hundred
        tokens are in memory at a time.

        Raises:
            RegistryUnavailable: the database failed on the way.
        """
        names = self._published(self.list_numbers)
        ended_after, ended_by = sorted((now_then - ENDED_KEPT_S, self.now - ENDED_KEPT_S))
        changes = {"after": after, "ended_after": ended_after, "ended_by": ended_by}
        with guarded():
            pairs = self._connection.execute(TOUCHED_PAIRS, changes, execution_options=_STREAMED)
            known = ((token, names[list_id]) for token, list_id in pairs if list_id in names)
            by_token = ((token, {name for _, name in group}) for token, group in groupby(known, key=itemgetter(0)))
            while some := list(islice(by_token, _TOKENS_AT_ONCE)):
                held = self._held([token for token, _ in some], names)
                for token, touched in some:
                    here = held.get(token, ())
                    for name in sorted(touched):
                        yield token, name, tuple(entry for entry in here if entry.list == name)

    def _are_few(self, numbers: Collection[int]) -> bool:
        """Say whether these lists hold less than a quarter of all entries listed."""
        held = {
            row.list_id: int(row.in_force) for row in self._connection.execute(select(lists.c.list_id, lists.c.in_force))
        }
        return sum(held[number] for number in numbers) * 4 < sum(held.values())

    def _held(self, tokens: Sequence[bytes], names: Mapping[int, str]) -> Mapping[bytes, Sequence[IndexedEntry]]:
        """Give what the index now holds under some tokens."""
        found: dict[bytes, list[IndexedEntry]] = {}
        for row in self._connection.execute(_INDEXED_UNDER, {"tokens": tokens}):
            if entry := self._indexed(row, names):
                found.setdefault(row[0], []).append(entry)
        return found

    def _indexed(self, row: Any, names: Mapping[int, str]) -> IndexedEntry | None:
        """Read a row of an index; None for one of another list, or one that ended long ago.

        Both are told here and not in SQL, where an index on either would tempt SQLite to begin with the entries and sort.
        """
        _, entry_id, list_id, wording, reference, begins, until, measures, status = row
        list_name = names.get(list_id)
        if list_name is None or until <= self.now - ENDED_KEPT_S:
            return None
        legal_basis, redress = self._words(wording)
        return IndexedEntry(
            list=list_name,
            entry_id=entry_id,
            case_reference=reference,
            legal_basis=legal_basis,
            redress=redress,
            valid_from=begins,
            until=until,
            stayed=status == _STAYED,
            measures=read_measures(measures) if measures else (),
        )

    def _published(self, wanted: Collection[str]) -> dict[int, str]:
        """Give the names of these lists by their numbers, as far as their entries may leave the registry."""
        held_back = {each.name for each in self.policy.lists if each.disclosure is Disclosure.AUTHORITY_ONLY}
        return {number: name for name, number in self.list_numbers.items() if name in wanted and name not in held_back}

    def _read_words(self, wording: bytes) -> tuple[str, str]:
        found = select(wordings.c.legal_basis, wordings.c.redress).where(wordings.c.wording == wording)
        row = self._connection.execute(found).one()
        return row.legal_basis, row.redress


def _numbers(connection: Connection, names: Collection[str]) -> dict[str, int]:
    rows = connection.execute(select(lists.c.name, lists.c.list_id).order_by(lists.c.list_id))
    return {row.name: row.list_id for row in rows if row.name in names}


def _credentials(connection: Connection, now: float) -> tuple[Credential, ...]:
    goes_on = api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > now)
    in_force = select(api_keys).where(api_keys.c.revoked_at.is_(None), goes_on).order_by(api_keys.c.seq)
    return tuple(
        Credential(key_id=row.key_id, holder=row.holder, digest=row.digest, role=row.role, expires_at=row.expires_at)
        for row in connection.execute(in_force)
    )
