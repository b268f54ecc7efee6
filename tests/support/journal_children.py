"""Processes that write a journal on SQLite: ``python -m tests.support.journal_children report|decide URL COUNT``.

They say ``pid NUMBER`` first, then what became of each item, one line each: ``recorded ID``, with the sequence and the hash
where there is a receipt, or ``refused ID``. Any other outcome ends them. A count of 0 goes on until they are killed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import msgspec
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.sql.journal import journal as journal_module
from portcullis.domain.errors import JournalUnavailable
from tests.support.decision_records import a_record
from tests.support.journals import a_settlement, sql_journal
from tests.support.sharing_gateways import SharingBench, running_sharing

AT_ONCE = 5
"""So many items are brought at once, and stand or fall together."""

_TASKS = 3
_PAUSE_S = 0.005


def say(line: str) -> None:
    """Write a line at once, whole or not at all."""
    os.write(1, f"{line}\n".encode())


async def report(url: str, batches: Iterator[int]) -> None:
    """Report events to a server over this journal, from a few tasks at a time."""
    with closing(sql_journal(url, SystemClock())) as journal:
        async with running_sharing("grpcio", Path(), journal=journal) as bench:
            await asyncio.gather(*(_report(bench, batches) for _ in range(_TASKS)))


async def _report(bench: SharingBench, batches: Iterator[int]) -> None:
    for number in batches:
        names = [f"e{number}-{place}" for place in range(AT_ONCE)]
        now_ms = int(time.time() * 1000)
        try:
            results = await bench.report(
                *(msgspec.structs.replace(a_settlement(name), occurred_at_ms=now_ms) for name in names)
            )
        except grpc.aio.AioRpcError as error:
            if not asks_for_another_try(error):
                raise
            for name in names:
                say(f"refused {name}")
            await asyncio.sleep(_PAUSE_S)
            continue
        for name, result in zip(names, results, strict=True):
            assert name == result.receipt.event_id
            say(f"recorded {name} {result.receipt.sequence} {result.receipt.entry_hash.hex()}")


def asks_for_another_try(error: grpc.aio.AioRpcError) -> bool:
    """Say whether a call failed as it is to while the journal can't be used: UNAVAILABLE, with the time to wait."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    retry = error_details_pb2.RetryInfo()
    told = status is not None and any(detail.Unpack(retry) for detail in status.details)
    return error.code() is grpc.StatusCode.UNAVAILABLE and told and retry.retry_delay.ToNanoseconds() > 0


def decide(url: str, batches: Iterator[int]) -> None:
    """Record decisions, as the shipper does."""
    with closing(sql_journal(url, SystemClock())) as journal:
        for number in batches:
            names = [f"d{number}-{place}" for place in range(AT_ONCE)]
            try:
                journal.record_decisions([a_record(name, tokens=(f"{number % 50:032x}",)) for name in names])
            except JournalUnavailable:
                for name in names:
                    say(f"refused {name}")
                time.sleep(_PAUSE_S)
            else:
                for name in names:
                    say(f"recorded {name}")


if __name__ == "__main__":
    role, place, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # What commits have written is carried over into the database file after every few of them, so that this fails as well.
    journal_module._CHECKPOINT_PAGES = 100
    say(f"pid {os.getpid()}")
    turns = itertools.count() if count == 0 else iter(range(count))
    if role == "report":
        asyncio.run(report(place, turns))
    else:
        decide(place, turns)
