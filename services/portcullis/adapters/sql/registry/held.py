"""Imports that the guard of their list holds: kept durably until they are approved, rejected or replaced.

Of a held import stand here the rows that would change something and the entries that would be withdrawn, sealed as the
registry's own. What is decided, kept or deleted is one transaction, and a line of the change log says who did it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, exists, insert, literal, select, update

from portcullis.adapters.sql.registry.database import next_change
from portcullis.adapters.sql.registry.merge import compare_again, keep_wordings, merge
from portcullis.adapters.sql.registry.policies import earlier_policy, present_policy
from portcullis.adapters.sql.registry.schema import CONTENT_COLUMNS, held_rows, held_withdrawals, imports, lists
from portcullis.adapters.sql.registry.staging import changes, staged_rows, withdrawals
from portcullis.adapters.sql.registry.token_keys import demand_looked_under
from portcullis.domain.guards import ImportState, check_approver, check_held, check_rules
from portcullis.ports import HeldImport, ImportCounts, ImportOutcome, Shrinkage

_ROW: Final = ("row_no", "key", *CONTENT_COLUMNS)


_IMPORTS: Final = select(imports, lists.c.name).join(lists, lists.c.list_id == imports.c.list_id)


def import_row(counts: ImportCounts, taken: Shrinkage) -> dict[str, Any]:
    """Give the columns that say what an import does."""
    return {
        "added": counts.added,
        "amended": counts.amended,
        "unchanged": counts.unchanged,
        "withdrawn": counts.withdrawn,
        "superseded": counts.superseded,
        "lost": taken.lost,
        "in_force": taken.in_force,
        "guard": taken.guard,
    }


def note_import(connection: Connection, row: Mapping[str, Any]) -> int:
    """Note an import; gives its number."""
    number = connection.scalar(insert(imports).values(dict(row) | {"purpose": ""}).returning(imports.c.import_id))
    assert number is not None  # noqa: S101 - tells mypy; RETURNING always gives a row
    return int(number)


def hold(connection: Connection, row: Mapping[str, Any], *, list_name: str) -> int:
    """Keep what the comparison has found, for a second operator to decide; gives the import's number.

    Raises:
        RegistryUnavailable: it was made ready with a token key that has left since, and could never be approved.
    """
    demand_looked_under(connection, staged_rows)
    import_id = note_import(connection, dict(row) | {"state": ImportState.HELD.value})
    detail = f"import {import_id}: {_why_held(row)}"
    seq = next_change(
        connection, at=row["committed_at"], actor=row["actor"], change="import-hold", subject=list_name, detail=detail
    )
    connection.execute(update(imports).where(imports.c.import_id == import_id).values(held_seq=seq))
    keep_wordings(connection)
    changed = exists().where(changes.c.row_no == staged_rows.c.row_no)
    rows = select(literal(import_id), *(staged_rows.c[name] for name in _ROW)).where(changed)
    connection.execute(insert(held_rows).from_select(("import_id", *_ROW), rows.order_by(staged_rows.c.row_no)))
    gone = select(literal(import_id), withdrawals.c.entry_id).order_by(withdrawals.c.entry_id)
    connection.execute(insert(held_withdrawals).from_select(("import_id", "entry_id"), gone))
    return import_id


def _why_held(row: Mapping[str, Any]) -> str:
    if row["lost"] > row["guard"]:
        return f"takes away {row['lost']} of {row['in_force']} entries, {row['guard']} may go at once"
    return f"adds {row['added']} and amends {row['amended']} entries, which takes a second person"


def void_held(connection: Connection, list_id: int, list_name: str, *, actor: str, at: float) -> int | None:
    """End the held import of a list that a newer one replaces; gives its number."""
    held = _IMPORTS.where(imports.c.list_id == list_id, imports.c.state == ImportState.HELD.value)
    row = connection.execute(held).first()
    if row is None:
        return None
    detail = f"import {row.import_id} of {row.actor}"
    seq = next_change(connection, at=at, actor=actor, change="import-void", subject=list_name, detail=detail)
    _settle(connection, row.import_id, ImportState.VOID, actor=actor, at=at, purpose="", seq=seq)
    return int(row.import_id)


def held_imports(connection: Connection) -> Sequence[HeldImport]:
    """Give the held imports in the order of their numbers."""
    held = _IMPORTS.where(imports.c.state == ImportState.HELD.value).order_by(imports.c.import_id)
    return [_held_import(row) for row in connection.execute(held)]


def reject(connection: Connection, import_id: int, *, actor: str, purpose: str, at: float) -> HeldImport:
    """Give a held import up.

    Raises:
        NotFound: there was no such import.
        ImportNotHeld: it is not held any more.
    """
    row = _find(connection, import_id)
    seq = _log(connection, row, "import-reject", actor=actor, purpose=purpose, at=at)
    _settle(connection, import_id, ImportState.REJECTED, actor=actor, at=at, purpose=purpose, seq=seq)
    return _held_import(row)


def approve(connection: Connection, import_id: int, *, actor: str, purpose: str, at: float) -> ImportOutcome:
    """Put a held import in force, by way of the connection's staging tables.

    Raises:
        NotFound: there was no such import.
        SecondOperatorRequired: the actor has imported it.
        ImportNotHeld: it is not held any more, or the rules of its list have changed.
    """
    row = _find(connection, import_id)
    check_approver(row.actor, actor)
    _check_rules(connection, row)
    _stage_again(connection, import_id)
    counts = compare_again(connection, row.list_id, since=row.held_seq, now=at)
    counts.unchanged = row.unchanged
    counts.superseded += row.superseded
    seq = _log(connection, row, "import-approve", actor=actor, purpose=purpose, at=at)
    merge(connection, row.list_id, counts, seq=seq)
    _settle(connection, import_id, ImportState.APPLIED, actor=actor, at=at, purpose=purpose, seq=seq)
    done = {name: getattr(counts, name) for name in ("added", "amended", "withdrawn", "superseded")}
    connection.execute(update(imports).where(imports.c.import_id == import_id).values(done))
    return ImportOutcome(import_id=import_id, counts=counts)


def _find(connection: Connection, import_id: int) -> Row[Any]:
    row = connection.execute(_IMPORTS.where(imports.c.import_id == import_id)).first()
    check_held(import_id, None if row is None else ImportState(row.state))
    assert row is not None  # noqa: S101 - tells mypy; no row was refused
    return row


def _check_rules(connection: Connection, row: Row[Any]) -> None:
    then = earlier_policy(connection, row.policy_version).list_named(row.name)
    check_rules(row.import_id, then, present_policy(connection).list_named(row.name))


def _stage_again(connection: Connection, import_id: int) -> None:
    rows = select(*(held_rows.c[name] for name in _ROW)).where(held_rows.c.import_id == import_id)
    connection.execute(insert(staged_rows).from_select(_ROW, rows.order_by(held_rows.c.row_no)))
    gone = select(held_withdrawals.c.entry_id, literal(True)).where(  # noqa: FBT003 - SQL's
        held_withdrawals.c.import_id == import_id
    )
    connection.execute(insert(withdrawals).from_select(("entry_id", "lost"), gone))


def _log(connection: Connection, row: Row[Any], change: str, *, actor: str, purpose: str, at: float) -> int:
    detail = f"import {row.import_id} of {row.actor}" + (f": {purpose}" if purpose else "")
    return next_change(connection, at=at, actor=actor, change=change, subject=row.name, detail=detail)


def _settle(
    connection: Connection, import_id: int, state: ImportState, *, actor: str, at: float, purpose: str, seq: int
) -> None:
    """Write down what was decided, and delete what the import would have changed."""
    for table in (held_rows, held_withdrawals):
        connection.execute(delete(table).where(table.c.import_id == import_id))
    decided = {"state": state.value, "decided_by": actor, "decided_at": at, "purpose": purpose, "seq": seq}
    connection.execute(update(imports).where(imports.c.import_id == import_id).values(decided))


def _held_import(row: Row[Any]) -> HeldImport:
    return HeldImport(
        import_id=row.import_id,
        list=row.name,
        full=row.mode == "full",
        importer=row.actor,
        held_at=row.committed_at,
        counts=ImportCounts(
            added=row.added,
            amended=row.amended,
            unchanged=row.unchanged,
            withdrawn=row.withdrawn,
            superseded=row.superseded,
        ),
        shrinkage=Shrinkage(lost=row.lost, in_force=row.in_force, guard=row.guard),
    )
