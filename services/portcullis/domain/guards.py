"""The guard of a list: an import that takes too much of it away waits for a second operator.

In words:

- An import takes an entry away when the entry was in force and had not ended, and after the import it would be withdrawn, or
  amended so that it has no effect on its subject: without any of the identifiers that it was found by, ended already, or
  not yet begun.
- A list gives up so many entries in one import without asking: `RestrictedList.guard_percent` of its entries in force,
  rounded down, or `RestrictedList.guard_entries`, whichever is more. What the import adds is not set off against what it
  takes away: a file in which everybody has become somebody else is a faulty file.
- An import that takes away more is held. Nothing of it takes effect until another operator than the importer approves it.
  Anybody may reject it, and a newer import of the list makes it void.
- While it waits, the list may be changed entry by entry. What was changed is newer than the import, and stays.
- It can be approved for as long as its rows would still be admitted: the policy has the list, states the same authority,
  law, purpose and redress contact, and takes the same terms, kinds of identifiers and measures, or more.

Example: a list of 50,000 entries may lose 2,500 of them at once, one of 10,000 or of none may lose 1,000. A full import of a
file that breaks off in the middle of 50,000 rows would withdraw 25,000, and is held.
"""

from __future__ import annotations

from enum import StrEnum

from portcullis.domain.errors import ImportNotHeld, NotFound, SecondOperatorRequired
from portcullis.domain.policies import DEFAULT_GUARD_ENTRIES, DEFAULT_GUARD_PERCENT, RestrictedList


class ImportState(StrEnum):
    """Where an import stands."""

    APPLIED = "applied"
    HELD = "held"
    REJECTED = "rejected"
    VOID = "void"


_ENDED = {
    ImportState.APPLIED: "it is in force already",
    ImportState.REJECTED: "it was rejected",
    ImportState.VOID: "a newer import of its list has made it void",
}


def guard_of(on: RestrictedList | None, in_force: int) -> int:
    """Give how many of its entries in force a list gives up in one import; the defaults of a list that no policy has."""
    percent = on.guard_percent if on else DEFAULT_GUARD_PERCENT
    entries = on.guard_entries if on else DEFAULT_GUARD_ENTRIES
    return max(entries, in_force * percent // 100)


def least_guard_of(on: RestrictedList | None) -> int:
    """Give how many entries the list gives up however few it has: below that nobody need count those in force."""
    return guard_of(on, 0)


def check_approver(importer: str, approver: str) -> None:
    """Have two people look at a held import.

    Raises:
        SecondOperatorRequired: they are one.
    """
    if importer.casefold() == approver.casefold():
        raise SecondOperatorRequired(importer)


def check_held(import_id: int, state: ImportState | None) -> None:
    """Have only a held import be approved or rejected; ``state`` is None for a number that no import has.

    Raises:
        NotFound: there was no such import.
        ImportNotHeld: it is not held any more; says what became of it.
    """
    if state is None:
        raise NotFound("no import has this number; list those that are held", metadata={"resource": "import"})
    if state is not ImportState.HELD:
        raise ImportNotHeld(f"import {import_id} is not held any more: {_ENDED[state]}")


def check_rules(import_id: int, then: RestrictedList | None, now: RestrictedList | None) -> None:
    """Have an import approved only if its list, as it was when its rows were admitted, would admit them now.

    Raises:
        ImportNotHeld: the policy has no such list any more, or its rules have changed; says what to do.
    """
    if now is None:
        raise ImportNotHeld(f"the policy in force has no list any more for import {import_id}; reject it")
    if then is None or not _still_admits(then, now):
        raise ImportNotHeld(
            f"the rules of its list have changed since import {import_id} was held, and its rows might not be admitted now; "
            "import the files again, which makes it void"
        )


def _still_admits(then: RestrictedList, now: RestrictedList) -> bool:
    """Say whether every row that a list admitted then would be admitted now, as the same entry."""
    same = ("name", "authority", "legal_basis", "purpose", "redress_url")
    return (
        all(getattr(then, field) == getattr(now, field) for field in same)
        and then.max_term_s <= now.max_term_s
        and set(then.identifier_kinds) <= set(now.identifier_kinds)
        and {each.name for each in then.measures} <= {each.name for each in now.measures}
    )
