"""The shipper, joined to the spool of this host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from prometheus_client import CollectorRegistry

from portcullis.adapters.folder_hold import FolderHeld
from portcullis.adapters.spool.reader import SpoolDirectoryReader
from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
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


@contextmanager
def nobody_shipping(settings: Settings) -> Iterator[None]:
    """Keep the shipper of this home away, and with it the exchange, which holds the spool as long as it runs.

    Raises:
        SetupFault: one of them runs, or the spool's folder can't be written.
    """
    try:
        spool = SpoolDirectoryReader(settings.spool_path)
    except FolderHeld:
        raise SetupFault(
            f"an exchange or a shipper holds {settings.spool_path}, so it works on this journal; stop every "
            "`portcullis run` and `serve` on it, and try again"
        ) from None
    with closing(spool):
        yield
