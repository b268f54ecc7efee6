"""The registry as a process: the operators' services over the system of record.

It knows its callers from the database itself, so it works before anything was ever published.
"""

from __future__ import annotations

from contextlib import ExitStack, closing

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.config import Settings
from portcullis.gateway.operators import running_registry
from portcullis.mains.desks import open_operator_desks
from portcullis.mains.parts import (
    demand_durable_journal,
    demand_durable_registry,
    open_journal,
    open_registry,
    open_token_keys,
)
from portcullis.mains.readiness import Check, Listening, registry_check, token_key_check
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_event
from portcullis.metrics import CheckTally

_log = structlog.get_logger(__name__)


def run_registry(settings: Settings) -> None:
    """Serve the operators until told to stop.

    Raises:
        SetupFault: a key file is missing, a database can't be used or could lose what it commits, or a port is taken.
    """
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    clock = SystemClock()
    metrics = CollectorRegistry()
    tokeniser = open_token_keys(settings)
    with stop_event() as stop, ExitStack() as held:
        journal = held.enter_context(open_journal(settings, clock))
        store = held.enter_context(open_registry(settings, tokeniser, clock))
        demand_durable_journal(settings)
        demand_durable_registry(settings)
        replica = held.enter_context(closing(LmdbReplica(settings.replica_path, clock)))
        draining = Check("draining", lambda: "a stop was asked for" if stop.is_set() else None)
        keys = token_key_check(store.check_token_keys, vital=True)
        listening = Listening()
        held.enter_context(status(settings, metrics, [registry_check(store), keys, listening.check(), draining]))
        serving = running_registry(
            settings=settings,
            reader=store,
            desks=open_operator_desks(settings, store, journal, tokeniser, clock=clock, held=held),
            replica=replica,
            journal=journal,
            tokeniser=tokeniser,
            clock=clock,
            tally=CheckTally(metrics),
        )
        async with serving as port:
            listening.begin()
            _log.info("serving", port=port, transport=settings.transport)
            await stop.wait()
            _log.info("draining", drain_s=settings.drain_s)
