"""RegistryService, RedressService and AdminService: beside the checks, or in a process of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from portcullis.config import Settings, Transport
from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.token_keys import TokenKeys
from portcullis.gateway.front import Front, Handlers, peers_of
from portcullis.gateway.registry_knowledge import LOOK_EVERY_S, RegistryKnowledge
from portcullis.gateway.scopes import Scopes
from portcullis.gateway.servicers import admin as admin_servicer
from portcullis.gateway.servicers import redress as redress_servicer
from portcullis.gateway.servicers import registry as registry_servicer
from portcullis.gateway.servicers.admin import AdminServicer
from portcullis.gateway.servicers.aftermath import AftermathServicer
from portcullis.gateway.servicers.life import LifeServicer
from portcullis.gateway.servicers.redress import RedressServicer
from portcullis.gateway.servicers.registry import RegistryServicer
from portcullis.gateway.servicers.subject import SubjectServicer
from portcullis.gateway.transport.serving import serving
from portcullis.gateway.views import Held
from portcullis.metrics import CheckTally
from portcullis.ports import (
    AftermathDesk,
    AlarmBoard,
    ApiKeyDesk,
    Clock,
    DisputeDesk,
    HeldImportDesk,
    Journal,
    LifeDesk,
    RegistryDesk,
    RegistryReader,
    Replica,
    SubjectDesk,
)

_log = structlog.get_logger(__name__)


class OperatorDesks(NamedTuple):
    """What the operators' services work on."""

    registry: RegistryDesk
    imports: HeldImportDesk
    keys: ApiKeyDesk
    life: LifeDesk
    disputes: DisputeDesk
    subjects: SubjectDesk
    aftermath: AftermathDesk
    alarms: AlarmBoard


def operator_services(
    desks: OperatorDesks, *, held: Held, journal: Journal, front: Front, transport: Transport, clock: Clock
) -> dict[str, Handlers]:
    """Make the handlers of RegistryService, RedressService and AdminService."""
    scopes = Scopes(desks.keys, clock)
    admin = AdminServicer(
        held=held,
        keys=desks.keys,
        journal=journal,
        alarms=desks.alarms,
        scopes=scopes,
        front=front,
        transport=transport,
        clock=clock,
    )
    return {
        registry_servicer.SERVICE: {
            **RegistryServicer(desks.registry, desks.imports, scopes, front).handlers(),
            **LifeServicer(desks.life, scopes, front).handlers(),
            **AftermathServicer(desks.aftermath, scopes, front).handlers(),
        },
        redress_servicer.SERVICE: {
            **RedressServicer(desks.disputes, desks.subjects, scopes, front).handlers(),
            **SubjectServicer(desks.subjects, scopes, front).handlers(),
        },
        admin_servicer.SERVICE: admin.handlers(),
    }


async def _nothing() -> None:
    """Do nothing more at a look."""


@asynccontextmanager
async def serving_beside_the_registry(
    *,
    settings: Settings,
    known: RegistryKnowledge,
    services: Mapping[str, Handlers],
    tally: CheckTally,
    also: Callable[[], Awaitable[object]] = _nothing,
) -> AsyncIterator[int]:
    """Serve services whose callers come from the registry's database, while the context lasts; gives the port.

    Args:
        settings: the address and limits.
        known: is looked at again and again; it was looked at once before.
        services: what to serve.
        tally: is flushed.
        also: what else to do at each look.

    Raises:
        SetupFault: the address is taken, or the transport is not installed.
    """
    # A thread of its own: the loop's may all wait for readers that do not read, and a key is to be revoked meanwhile too.
    with ThreadPoolExecutor(1, thread_name_prefix="portcullis-callers") as thread:
        async with serving(settings, services) as (port, health):
            health.set(serving=True)

            async def keep_looking() -> None:
                while True:
                    try:
                        await also()
                        await asyncio.get_running_loop().run_in_executor(thread, known.look)
                        health.set(serving=True)
                    except RegistryUnavailable:
                        health.set(serving=False)
                        _log.warning("the registry's database can't be reached; trying again")
                    except Exception as fault:  # noqa: BLE001 - without a next look a revoked key would be good for ever
                        _log.error("a look failed; trying again", type=type(fault).__name__)
                    tally.flush()
                    await asyncio.sleep(LOOK_EVERY_S)

            looking = asyncio.create_task(keep_looking(), name="registry-look")
            try:
                yield port
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)


@asynccontextmanager
async def running_registry(
    *,
    settings: Settings,
    reader: RegistryReader,
    desks: OperatorDesks,
    replica: Replica,
    journal: Journal,
    tokeniser: TokenKeys,
    clock: Clock,
    tally: CheckTally,
) -> AsyncIterator[int]:
    """Serve the operators' services alone, while the context lasts; gives the port.

    Raises:
        RegistryUnavailable: the database can't be reached at the start.
        SetupFault: the address is taken, or the transport is not installed.
    """
    known = RegistryKnowledge(reader, clock.now)
    await asyncio.to_thread(known.look)
    front = Front(known.callers, tally, peers_of(settings))
    held = Held(replica, clock, tokeniser=tokeniser)
    services = operator_services(desks, held=held, journal=journal, front=front, transport=settings.transport, clock=clock)
    async with serving_beside_the_registry(
        settings=settings, known=known, services=services, tally=tally, also=held.refresh
    ) as port:
        yield port
