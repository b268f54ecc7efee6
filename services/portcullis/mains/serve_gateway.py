"""A gateway worker as a process: checks, on an event loop of uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import TimeoutError as WaitTimeoutError
from contextlib import ExitStack, closing

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.config import Settings
from portcullis.gateway.collecting import settle
from portcullis.gateway.server import Gateway
from portcullis.mains import lifeline
from portcullis.mains.parts import open_journal, open_registry, open_tokeniser
from portcullis.mains.readiness import Check
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_event
from portcullis.metrics import CheckTally

_LOOP_ANSWERS_WITHIN_S = 1.0
_log = structlog.get_logger(__name__)


def run_gateway(settings: Settings) -> None:
    """Serve checks until told to stop; calls under way then get ``drain_s`` to finish.

    In the embedded stack the worker answers the operators' services too, since registry and gateway share a host there.

    Raises:
        SetupFault: the token key is missing, a database can't be used, or a port is taken.
    """
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    clock = SystemClock()
    metrics = CollectorRegistry()
    tokeniser = open_tokeniser(settings)
    with stop_event() as stop, ExitStack() as held:
        journal = held.enter_context(open_journal(settings, clock))
        replica = held.enter_context(closing(LmdbReplica(settings.replica_path, clock)))
        desks = None
        if lifeline.supervised():
            from portcullis.mains.desks import operator_desks  # noqa: PLC0415 - others don't need it, and start the sooner

            desks = operator_desks(held.enter_context(open_registry(settings, tokeniser, clock)), tokeniser, clock)
        gateway = Gateway(
            settings=settings,
            replica=replica,
            journal=journal,
            tokeniser=tokeniser,
            clock=clock,
            tally=CheckTally(metrics),
            operators=desks,
        )
        check = Check("snapshot", on_loop(lambda: None if gateway.serving() else "no snapshot yet", stop))
        held.enter_context(status(settings, metrics, [check]))
        async with gateway.running() as port:
            settle()
            _log.info("serving", port=port, transport=settings.transport)
            await stop.wait()
            _log.info("draining", drain_s=settings.drain_s)


def on_loop(look: Callable[[], str | None], stop: asyncio.Event) -> Callable[[], str | None]:
    """Let another thread ask what only the running event loop may look at; a loop that does not answer is a fault."""
    loop = asyncio.get_running_loop()

    async def asked() -> str | None:
        return "draining" if stop.is_set() else look()

    def fault() -> str | None:
        try:
            return asyncio.run_coroutine_threadsafe(asked(), loop).result(_LOOP_ANSWERS_WITHIN_S)
        except WaitTimeoutError:
            return "the event loop does not answer"

    return fault
