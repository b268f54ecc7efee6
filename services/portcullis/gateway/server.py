"""One gateway worker: the servicers on a transport, and the tick that keeps them fresh.

The tick, a few dozen times a second, lets the replica look for a new version, lets answers carry the present age, and keeps
health true. Once a second it flushes the counters, has the gates study what is left, and forgets that and who was turned
away. Nothing of it is on the path of a call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from portcullis.config import Settings
from portcullis.domain.editions import Edition
from portcullis.domain.errors import Overloaded
from portcullis.domain.policies import Policy
from portcullis.domain.subjects import SubjectNames
from portcullis.domain.token_keys import TokenKeys
from portcullis.gateway.admission import Callers
from portcullis.gateway.desk import CheckDesk
from portcullis.gateway.front import Front, Handlers, peers_of
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.turned_away import MOST_KEPT, TurnedAway
from portcullis.gateway.servicers import caller as caller_servicer
from portcullis.gateway.servicers import check as check_servicer
from portcullis.gateway.servicers.caller import CallerServicer
from portcullis.gateway.servicers.check import CheckServicer
from portcullis.gateway.servicers.health import Health
from portcullis.gateway.transport.serving import serving
from portcullis.gateway.transport.transports import STREAMS
from portcullis.gateway.views import Held
from portcullis.metrics import CheckTally
from portcullis.ports import Clock, DecisionSpool, Replica

_FLUSH_EVERY_S = 1.0
_STUDY_EVERY_S = 1.0
"""What was asked about is forgotten after so long."""
_log = structlog.get_logger(__name__)


class Gateway:
    """A worker's parts, wired. Build it inside the event loop that will serve.

    Args:
        settings: the address, limits and intervals.
        replica: the reader's side of this host's replica.
        spool: where decisions that give a reason become durable.
        tokeniser: the token keys that are here.
        subjects: names entries for partners, by the same key.
        clock: wall and monotonic time.
        tally: this worker's counters.

    Attributes:
        services: the handlers by the name of their service; whoever serves more here adds to them before `running`.
        gates: bound what each partner asks.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        replica: Replica,
        spool: DecisionSpool,
        tokeniser: TokenKeys,
        subjects: SubjectNames,
        clock: Clock,
        tally: CheckTally,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self.held = Held(replica, clock, settings.allow_cache_ttl_s, tokeniser=tokeniser)
        self.desk = CheckDesk(
            subjects=subjects,
            spool=spool,
            clock=clock,
            tally=tally,
        )
        self.front = Front(self.callers, tally, peers_of(settings))
        self.gates = Gates(clock.monotonic, clock.now)
        self._turned_away = TurnedAway(self.front.status_of, MOST_KEPT if settings.transport == "native" else 0)
        self._followed: Edition | None = None
        self.services: dict[str, Handlers] = {
            check_servicer.SERVICE: CheckServicer(
                self.held, self.desk, self.front, self.gates, self._turned_away, settings.refresh_interval_s
            ).handlers(),
            caller_servicer.SERVICE: CallerServicer(
                self.held, self.desk, self.front, self.gates, self._turned_away
            ).handlers(),
        }

    def callers(self) -> Callers:
        """Give the callers that the snapshot held knows.

        Raises:
            NoSnapshot: there is none yet.
        """
        return self.held.present().callers

    def policy(self) -> Policy:
        """Give the policy of the snapshot held.

        Raises:
            NoSnapshot: there is none yet.
        """
        return self.held.present().edition.policy

    def serving(self) -> bool:
        """Tell whether a snapshot is there to answer from; note in the metrics which."""
        view = self.held.view
        if view is None:
            return False
        edition = view.edition
        self.desk.tally.holding(
            version=edition.version,
            published_at=edition.published_at,
            age_s=view.age_s,
            records=edition.records,
        )
        now = self._clock.now()
        self.desk.tally.lists_held(
            {each.name: each.age_s(now, view.age_s) for each in edition.lists},
            {each.name for each in edition.lists if each.number in view.stale},
        )
        return True

    @asynccontextmanager
    async def running(self, *, socket: str = "") -> AsyncIterator[int]:
        """Serve while the context lasts; gives the port. At the end calls under way get ``drain_s`` to finish.

        On a Unix ``socket``, where one is named, it serves beside the port, in plain text.

        Raises:
            SetupFault: the transport is not installed, or the address is taken.
        """
        server = serving(
            self.settings,
            self.services,
            socket=socket,
            streams=STREAMS[self.settings.transport],
            shed=partial(self.front.count, Overloaded()),
            turned_away=self._turned_away,
        )
        async with server as (port, health):
            # Of the replica as it was opened; the tick's first look would say the same later.
            health.set(serving=self.serving())
            self._follow()
            tasks = (
                asyncio.create_task(self._tick(health), name="gateway-tick"),
                asyncio.create_task(self._measure_pressure(), name="gateway-pressure"),
            )
            try:
                yield port
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self.desk.tally.flush()

    async def refresh(self) -> bool:
        """Look for a new version of the replica, and go by it; True when there is one. The tick does this."""
        changed = await self.held.refresh()
        self._follow()
        return changed

    def _follow(self) -> None:
        """Have the gates go by the edition held, if it is another; however it came to be held. It may know other keys."""
        view = self.held.view
        if view is not None and view.edition is not self._followed:
            self.gates.follow(view.edition.policy)
            self._turned_away.forget()
            self._followed = view.edition

    async def _measure_pressure(self) -> None:
        """Measure how late the event loop is; beside the tick, whose look at the replica may take long on an idle loop."""
        while True:
            # The machine's own clock: it is the event loop's that is looked at.
            due = time.monotonic() + self.settings.refresh_interval_s
            await asyncio.sleep(self.settings.refresh_interval_s)
            self.front.pressure.measured(time.monotonic() - due)

    async def _tick(self, health: Health) -> None:
        loop = asyncio.get_running_loop()
        flush_at = study_at = loop.time()
        fault_name = ""
        while True:
            try:
                if loop.time() >= study_at:
                    study_at = loop.time() + _STUDY_EVERY_S
                    self._turned_away.forget()
                    self.gates.study_left()
                changed = await self.refresh()
                if changed or loop.time() >= flush_at:
                    flush_at = loop.time() + _FLUSH_EVERY_S
                    health.set(serving=self.serving())
                    self.desk.tally.flush()
                fault_name = ""
            except Exception as fault:  # noqa: BLE001 - the tick must go on; the present version keeps answering
                if type(fault).__name__ != fault_name:
                    fault_name = type(fault).__name__
                    _log.error("the replica could not be looked at; going on with the version held", type=fault_name)
            await asyncio.sleep(self.settings.refresh_interval_s)
