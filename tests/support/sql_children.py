"""Processes that write until they are killed: ``python -m tests.support.sql_children import|hold|report|decide URL ...``."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.sql.registry.registry import SqlRegistry
from tests.support.decision_records import a_record
from tests.support.journals import a_settlement, sql_journal
from tests.support.registries import import_rows
from tests.support.registry_entries import SEAL_KEY, TOKENISER, an_entry, document


def say(line: str) -> None:
    """Write a line at once, whole or not at all."""
    os.write(1, f"{line}\n".encode())


def import_forever(url: str, rows: int) -> None:
    """Import the list again and again; every import amends all rows, moves half of the keys and names its round."""
    registry = SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=SystemClock())
    for turn in itertools.count(1):
        with registry.begin_import("court", actor="child") as session:
            # A row's documents change with the round, so that the token index has to follow.
            session.stage(
                [
                    an_entry(f"k{number + turn * rows // 2}", document(number + turn * rows), case_reference=f"round {turn}")
                    for number in range(rows)
                ]
            )
            say(f"staged {turn}")
            session.commit(full=True)
            say(f"committed {turn}")


def hold_forever(url: str, rows: int) -> None:
    """Have the list shrunk to one row and that approved, and filled again, over and over; each round names itself."""
    registry = SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=SystemClock())
    for turn in itertools.count(1):
        reference = f"round {turn}"
        filled = [an_entry(f"k{number}", document(number), case_reference=reference) for number in range(rows)]
        import_rows(registry, filled, actor="child")
        say(f"filled {turn}")
        outcome = import_rows(registry, [an_entry("k0", document(0), case_reference="shrunk")], actor="child")
        say(f"held {turn}")
        registry.approve_import(outcome.import_id, actor="another", purpose="")
        say(f"approved {turn}")


async def report(url: str, name: str, count: int) -> None:
    """Report events, twenty at a time, and say which are acknowledged; ``count`` 0 goes on forever."""
    journal = sql_journal(url, SystemClock())
    numbers = itertools.count() if count == 0 else iter(range(count))

    async def one() -> None:
        for number in numbers:
            (receipt,) = await journal.record_events("lending", [a_settlement(f"{name}-{number}")])
            say(receipt.event_id)

    await asyncio.gather(*(one() for _ in range(20)))
    journal.close()


def decide(url: str, name: str, count: int) -> None:
    """Record decisions, twenty in a commit, and say which are acknowledged; ``count`` 0 goes on forever."""
    journal = sql_journal(url, SystemClock())
    for begin in itertools.count(step=20) if count == 0 else range(0, count, 20):
        records = [a_record(f"{name}-{number}", tokens=(f"{number % 50:032x}",)) for number in range(begin, begin + 20)]
        journal.record_decisions(records)
        for record in records:
            say(record.decision_id)
    journal.close()


if __name__ == "__main__":
    if sys.argv[1] == "import":
        import_forever(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "hold":
        hold_forever(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1] == "report":
        asyncio.run(report(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    else:
        decide(sys.argv[2], sys.argv[3], int(sys.argv[4]))
