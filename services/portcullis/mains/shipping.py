"""The shipper, joined to the spool of this host."""

from __future__ import annotations

from contextlib import ExitStack, closing

from prometheus_client import CollectorRegistry

from portcullis.adapters.spool.reader import SpoolDirectoryReader
from portcullis.config import Settings
from portcullis.exchange.shipping import Shipper
from portcullis.metrics import ShipperMetrics
from portcullis.ports import Clock, Journal


def open_shipper(
    settings: Settings, journal: Journal, *, clock: Clock, metrics: CollectorRegistry, held: ExitStack
) -> Shipper:
    """Build the shipper of this host; its hold on the spool ends with ``held``.

    Raises:
        SetupFault: the spool's folder can't be written, or another shipper has it.
    """
    counts = ShipperMetrics(metrics)
    reader = held.enter_context(closing(SpoolDirectoryReader(settings.spool_path, faults=counts.fault)))
    return Shipper(reader, journal, clock, counts)
