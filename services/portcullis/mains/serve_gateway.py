"""A gateway worker as a process: checks, on an event loop of uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import TimeoutError as WaitTimeoutError
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.config import Settings
from portcullis.domain import identifiers, notices
from portcullis.domain.phone_numbers import read_plans
from portcullis.domain.token_keys import TokenKeys
from portcullis.gateway.collecting import settle
from portcullis.gateway.server import Gateway
from portcullis.mains import lifeline
from portcullis.mains.listening import health_socket
from portcullis.mains.parts import open_spool, open_subjects, open_token_keys
from portcullis.mains.readiness import Check, Listening
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_event
from portcullis.metrics import CheckTally

if TYPE_CHECKING:
    from portcullis.adapters.sql.journal.journal import SqlJournal
    from portcullis.gateway.operators import OperatorDesks
    from portcullis.gateway.registry_knowledge import RegistryKnowledge

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
    tokeniser = open_token_keys(settings)
    with stop_event() as stop, ExitStack() as held:
        # The filter's digest is worked out beside the other parts' imports: hashing leaves the interpreter to others.
        opening = asyncio.get_running_loop().run_in_executor(None, LmdbReplica, settings.replica_path, clock)
        spool = held.enter_context(open_spool(settings, clock))
        embedded = _open_embedded(settings, tokeniser, clock, held) if lifeline.supervised() else None
        replica = held.enter_context(closing(await opening))
        gateway = Gateway(
            settings=settings,
            replica=replica,
            spool=spool,
            tokeniser=tokeniser,
            subjects=open_subjects(settings),
            clock=clock,
            tally=CheckTally(metrics),
        )
        check = Check(
            "snapshot", on_loop(lambda: None if gateway.serving() else gateway.held.fault or "no snapshot yet", stop)
        )
        keys = Check("token-key", on_loop(lambda: gateway.held.fault or None, stop), vital=False)
        listening = Listening()
        held.enter_context(status(settings, metrics, [check, keys, listening.check()]))
        async with AsyncExitStack() as stack:
            if embedded:
                await stack.enter_async_context(_serving_all(settings, gateway, embedded, clock=clock, metrics=metrics))
            port = await stack.enter_async_context(gateway.running(socket=health_socket(settings) if embedded else ""))
            listening.begin()
            _log.info("serving", port=port, transport=settings.transport)
            await warm_up()
            await stack.enter_async_context(_in_concert(settings, gateway, clock=clock, metrics=metrics))
            settle()
            await stop.wait()
            _log.info("draining", drain_s=settings.drain_s)


@asynccontextmanager
async def _in_concert(
    settings: Settings, gateway: Gateway, *, clock: SystemClock, metrics: CollectorRegistry
) -> AsyncIterator[None]:
    """Share quotas and alarms with the other workers while the context lasts; until it begins, this one goes by itself.

    It begins once calls are answered: the store's client takes as long to load as a fifth of the start.
    """
    alarms, quotas = await asyncio.to_thread(_load_concert)
    async with (
        quotas.open_quota_sharing(settings, gateway.gates, clock=clock, metrics=metrics).running(),
        alarms.open_alarm_look(settings, gateway.gates.watches, metrics),
    ):
        yield


def _load_concert() -> tuple[ModuleType, ModuleType]:
    from portcullis.mains import alarms, quotas  # noqa: PLC0415 - see above

    return alarms, quotas


class _Embedded(NamedTuple):
    """What a worker of the embedded stack has beside: registry and journal share its host there."""

    operators: OperatorDesks
    journal: SqlJournal
    known: RegistryKnowledge


def _open_embedded(settings: Settings, tokeniser: TokenKeys, clock: SystemClock, held: ExitStack) -> _Embedded:
    # A gateway alone has no use for a database, and starts the sooner without.
    from portcullis.gateway.registry_knowledge import RegistryKnowledge  # noqa: PLC0415
    from portcullis.mains.background import Background  # noqa: PLC0415
    from portcullis.mains.desks import open_operator_desks  # noqa: PLC0415
    from portcullis.mains.parts import open_journal, open_registry  # noqa: PLC0415

    journal = held.enter_context(open_journal(settings, clock))
    registry = held.enter_context(open_registry(settings, tokeniser, clock))
    desks = open_operator_desks(settings, registry, journal, tokeniser, clock=clock, held=held)
    known = RegistryKnowledge(registry, clock.now)
    known.look()
    held.enter_context(Background()).run("registry-look", known.keep_looking)
    return _Embedded(desks, journal, known)


@asynccontextmanager
async def _serving_all(
    settings: Settings, gateway: Gateway, embedded: _Embedded, *, clock: SystemClock, metrics: CollectorRegistry
) -> AsyncIterator[None]:
    """Let the gateway answer the operators' services and SharingService too, while the context lasts."""
    from portcullis.gateway.operators import operator_services  # noqa: PLC0415
    from portcullis.gateway.servicers import sharing as sharing_servicer  # noqa: PLC0415 - as above
    from portcullis.mains.sharing import open_sharing  # noqa: PLC0415
    from portcullis.metrics.exchange import AnnouncementMetrics  # noqa: PLC0415

    journal, faults = embedded.journal, AnnouncementMetrics(metrics)
    gateway.services |= operator_services(
        embedded.operators,
        held=gateway.held,
        journal=journal,
        front=gateway.front,
        transport=settings.transport,
        clock=clock,
    )
    async with open_sharing(settings, journal, known=embedded.known, clock=clock, count_fault=faults.fault) as desks:
        servicer = sharing_servicer.SharingServicer(desks, gateway.policy, gateway.front, gateway.gates)
        gateway.services[sharing_servicer.SERVICE] = servicer.handlers()
        yield


async def warm_up() -> None:
    """Load what only some identifiers need, beside the calls: it takes as long as a fifth of the start.

    A call that needs it meanwhile loads it itself.
    """
    await asyncio.to_thread(identifiers.prepare)
    await asyncio.to_thread(notices.prepare)
    for _ in read_plans():
        await asyncio.sleep(0)


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
