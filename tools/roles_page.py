"""Write docs/reference/roles.md from the table of roles: `python tools/roles_page.py`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from portcullis.domain.roles import BULK, ROWS, Role, Row

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "roles.md"

_HEAD = """# Roles

Made from `services/portcullis/domain/roles.py` by `tools/roles_page.py`; change the table, then run it.

Whoever calls a method that is for others gets `PERMISSION_DENIED` with the reason `ERROR_REASON_ROLE_REQUIRED`, which names
the roles that may. A method without a row here can't be served, and a test calls every method of a server in every role.

| role | who | credential |
| --- | --- | --- |
| `partner` | asks, reports and is told, within its agreements | API key |
| `authority-editor` | keeps the entries of an authority's lists | API key |
| `authority-approver` | is the second person, who approves what an editor has put in | API key |
| `reviewer` | decides disputes, and never approved the entry | API key |
| `operator` | runs the registry and stands at the counter; does not see who an entry is about | API key |
| `auditor` | reads everything and changes nothing | API key |
| `subject` | sees and disputes what is about themselves alone | session, begun with a proof |

Make a key with `portcullis partner key new NAME --role ROLE`. With `--list` a key of another role than partner is good for
those lists alone: for any other it gets `PERMISSION_DENIED` with `ERROR_REASON_OUTSIDE_SCOPE`, whether there is such a list
or not, and so it does for what concerns every list: retention, erasure, subjects' codes, keys. A case, decision, import or
redress number of another list is to it as one that is not there: `NOT_FOUND`. A partner's agreements say what its keys are
good for.

"x" means that the role may call the method. "anyone" means that no credential is needed.
"""
_BULK_HEAD = """
## Steps on many entries

`PlanBulk` and `RunBulk` take each step from those alone who may take it on one entry.

| step | roles |
| --- | --- |
"""
_SHOWN = tuple(role for role in Role if role is not Role.ANYONE)


def page() -> str:
    """Give the page's text."""
    services = groupby(ROWS, key=lambda row: row.method.partition("/")[0])
    return _HEAD + "".join(_section(service, list(rows)) for service, rows in services) + _bulk()


def _section(service: str, rows: list[Row]) -> str:
    title = service.removeprefix("portcullis.v1.")
    if all(row.roles == {Role.ANYONE} for row in rows):
        told = "".join(f"| `{_name(row)}` | anyone | {row.why} |\n" for row in rows)
        return f"\n## {title}\n\n| method | who | why |\n| --- | --- | --- |\n{told}"
    head = " | ".join(_SHOWN)
    told = "".join(f"| `{_name(row)}` | {_cells(row)} | {_why(row)} |\n" for row in rows)
    return f"\n## {title}\n\n| method | {head} | why |\n|{' --- |' * (len(_SHOWN) + 2)}\n{told}"


def _name(row: Row) -> str:
    return row.method.partition("/")[2]


def _cells(row: Row) -> str:
    return " | ".join("x" if role in row.roles else "" for role in _SHOWN)


def _why(row: Row) -> str:
    return f"Anyone. {row.why}" if Role.ANYONE in row.roles else row.why


def _bulk() -> str:
    told = "".join(f"| `{step}` | {', '.join(sorted(roles))} |\n" for step, roles in BULK.items())
    return _BULK_HEAD + told


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
