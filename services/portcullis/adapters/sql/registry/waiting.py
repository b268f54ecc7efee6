"""What waits for a second person, as it is shown to them: what each entry would say if it were approved.

Rows are read on a connection; who they are about is opened afterwards, since a key may be held by a service that takes its
time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, false, func, select

from portcullis.adapters.sql.registry.open_cases import deadline, is_stayed
from portcullis.adapters.sql.registry.proposals import WAITING
from portcullis.adapters.sql.registry.rows import stored_entry
from portcullis.adapters.sql.registry.schema import CONTENT_COLUMNS, entries, entry_amendments, lists, wordings
from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import effective_until
from portcullis.domain.errors import NotFound
from portcullis.domain.identifiers import count_changes
from portcullis.domain.lapses import later_lapse
from portcullis.ports import KnownIdentity, Proposal, StoredEntry

OpenSeal = Callable[..., KnownIdentity]
"""`portcullis.adapters.sql.registry.rows.EntryWriter.identity`."""

_CONTENT = {name: func.coalesce(entry_amendments.c[name], entries.c[name]) for name in CONTENT_COLUMNS}
"""What a proposal says: an amendment's columns, or those of the entry that is proposed itself."""

_SHOWN: Select[Any] = WAITING.add_columns(
    *(column.label(name) for name, column in _CONTENT.items()),
    entries.c.status,
    entries.c.decide_by,
    entries.c.lapses_at.label("standing_lapse"),
    entries.c.sealed.label("standing_sealed"),
    deadline().label("open_deadline"),
    is_stayed().label("is_stayed"),
    false().label("pending"),
    wordings.c.authority,
    wordings.c.legal_basis,
    wordings.c.purpose,
    wordings.c.redress,
).join(wordings, wordings.c.wording == _CONTENT["wording"])


def waiting(connection: Connection, list_name: str, *, key: str, limit: int) -> Sequence[Row[Any]]:
    """Give the rows of what waits, oldest first, of one list or of all, of one key or of any: for `read_proposal`."""
    wanted = _SHOWN.where(lists.c.name == list_name) if list_name else _SHOWN
    if key:
        wanted = wanted.where(entries.c.key == key)
    return connection.execute(wanted.order_by("proposed_by_change", entries.c.entry_id).limit(limit)).all()


def read_proposal(row: Row[Any], open_seal: OpenSeal) -> Proposal:
    """Read a row of `waiting`.

    Raises:
        RegistryUnavailable: who it is about can't be opened.
    """
    proposed = open_seal(row.sealed, list_name=row.name, key=row.key).identifiers
    standing = open_seal(row.standing_sealed, list_name=row.name, key=row.key).identifiers if row.amendment else ()
    added, removed = count_changes(standing, proposed)
    return Proposal(
        list=row.name,
        key=row.key,
        amendment=row.amendment,
        proposer=row.proposer,
        proposed_at=row.proposed_at,
        version=row.version,
        proposed=_as_approved(row),
        identifiers_added=added,
        identifiers_removed=removed,
    )


def sealed_proposal(connection: Connection, known: Row[Any]) -> bytes:
    """Give the sealed identity of what waits about an entry, whose row this is.

    Raises:
        NotFound: nothing waits.
    """
    if known.status == EntryStatus.PROPOSED.value:
        return bytes(known.sealed)
    wanted = select(entry_amendments.c.sealed).where(entry_amendments.c.entry_id == known.entry_id)
    sealed = connection.scalar(wanted)
    if sealed is None:
        raise NotFound("nothing of this entry waits for a second person", metadata={"resource": "proposal"})
    return bytes(sealed)


def _as_approved(row: Row[Any]) -> StoredEntry:
    """Give the entry as `portcullis.adapters.sql.registry.life` and `registry_proposals` would leave it."""
    if row.amendment:
        status, decide_by = EntryStatus(row.status), row.decide_by
        lapses_at = later_lapse(row.lapses_at, row.standing_lapse)
    else:
        status, decide_by = EntryStatus.STAYED if row.is_stayed else EntryStatus.IN_FORCE, row.open_deadline
        lapses_at = row.lapses_at
    return msgspec.structs.replace(
        stored_entry(row),
        status=status,
        effective_until=effective_until(row.stated_until, lapses_at, decide_by),
        lapses_at=lapses_at,
        decide_by=decide_by,
    )
