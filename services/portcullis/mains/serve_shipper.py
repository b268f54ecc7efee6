"""The shipper as a process: this host's decisions go from its spool into the journal."""

from __future__ import annotations

from contextlib import ExitStack

from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.config import Settings
from portcullis.mains.parts import demand_durable_journal, open_journal
from portcullis.mains.readiness import Check
from portcullis.mains.shipping import open_shipper
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_signals


def run_shipper(settings: Settings) -> None:
    """Ship until told to stop; what is left then waits in the spool.

    Raises:
        SetupFault: a key or the journal's database is missing, the database could lose what it commits, another shipper has
            this host's spool, or the HTTP port is taken.
    """
    clock = SystemClock()
    metrics = CollectorRegistry()
    with stop_signals() as signals, ExitStack() as held:
        journal = held.enter_context(open_journal(settings, clock))
        demand_durable_journal(settings)
        shipper = open_shipper(settings, journal, clock=clock, metrics=metrics, held=held)
        held.enter_context(status(settings, metrics, [Check("journal", lambda: shipper.fault or None)]))
        shipper.run(signals.event)
