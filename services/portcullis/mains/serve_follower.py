"""The follower as a process: this host's replica follows the store."""

from __future__ import annotations

from contextlib import closing

from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.config import Settings
from portcullis.gateway.follower import Follower
from portcullis.mains.readiness import Check
from portcullis.mains.stack_file import locate_store
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_signals
from portcullis.mains.store_health import store_fault
from portcullis.metrics import FollowerMetrics


def run_follower(settings: Settings) -> None:
    """Follow until told to stop.

    Raises:
        SetupFault: no store is set, another follower writes this replica, its folder can't be written, or the HTTP port is
            taken.
    """
    url = locate_store(settings)
    clock = SystemClock()
    metrics = CollectorRegistry()
    with (
        stop_signals() as signals,
        closing(RedisSnapshotStore(url)) as store,
        closing(LmdbReplicaWriter(settings.replica_path, clock)) as replica,
    ):
        follower = Follower(
            store=store,
            replica=replica,
            clock=clock,
            counts=FollowerMetrics(metrics),
            follow_interval_s=settings.follow_interval_s,
        )
        checks = [
            Check("replica", lambda: None if replica.held() else "no snapshot yet"),
            Check("store", lambda: store_fault(url), vital=False),
        ]
        with status(settings, metrics, checks):
            follower.run(signals.event)
