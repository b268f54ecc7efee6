"""The publisher as a process: the registry's changes become snapshots in the store."""

from __future__ import annotations

from contextlib import closing

from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.config import Settings
from portcullis.mains.parts import open_registry, open_tokeniser
from portcullis.mains.publishing import publisher_state
from portcullis.mains.readiness import Check, registry_check
from portcullis.mains.stack_file import locate_store
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_signals
from portcullis.mains.store_health import store_fault
from portcullis.metrics import PublisherMetrics
from portcullis.publisher.service import Publisher


def run_publisher(settings: Settings) -> None:
    """Publish until told to stop.

    Raises:
        SetupFault: a key, the database or the store's URL is missing, or the HTTP port is taken.
    """
    url = locate_store(settings)
    clock = SystemClock()
    metrics = CollectorRegistry()
    with (
        stop_signals() as signals,
        open_registry(settings, open_tokeniser(settings), clock) as registry,
        closing(RedisSnapshotStore(url)) as store,
    ):
        publisher = Publisher(
            registry=registry,
            store=store,
            state=publisher_state(settings),
            clock=clock,
            counts=PublisherMetrics(metrics),
            publish_interval_s=settings.publish_interval_s,
        )
        checks = [registry_check(registry), Check("store", lambda: store_fault(url))]
        with status(settings, metrics, checks):
            publisher.run(signals.event)
