"""The publisher as a process: the registry's changes become snapshots in the store."""

from __future__ import annotations

from contextlib import closing

from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.config import Settings
from portcullis.mains.parts import open_registry, open_token_keys
from portcullis.mains.probes import held_imports_of
from portcullis.mains.publishing import open_publisher
from portcullis.mains.readiness import Check, registry_check
from portcullis.mains.stack_file import locate_store
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_signals
from portcullis.mains.store_health import store_fault
from portcullis.metrics import PublisherMetrics


def run_publisher(settings: Settings) -> None:
    """Publish until told to stop.

    Raises:
        SetupFault: a key, the database or the store's URL is missing, another process publishes from this home, or the
            HTTP port is taken.
    """
    url = locate_store(settings)
    clock = SystemClock()
    metrics = CollectorRegistry()
    with (
        stop_signals() as signals,
        open_registry(settings, open_token_keys(settings), clock) as registry,
        closing(RedisSnapshotStore(url)) as store,
        open_publisher(
            settings,
            registry=registry,
            store=store,
            clock=clock,
            counts=PublisherMetrics(metrics, held_imports=held_imports_of(registry)),
        ) as publisher,
    ):
        checks = [registry_check(registry), Check("store", lambda: store_fault(url))]
        with status(settings, metrics, checks):
            publisher.run(signals.event)
