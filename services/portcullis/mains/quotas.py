"""Quotas of a process: its gates, in agreement with those of the other workers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from portcullis.adapters.lmdb.quotas import LmdbQuotaExchange
from portcullis.adapters.redis.quotas import RedisQuotaExchange
from portcullis.config import Settings
from portcullis.domain.day_names import DayNames
from portcullis.domain.errors import SetupFault
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.sharing import QuotaSharing
from portcullis.mains.keys import FEED_KEY, read_key
from portcullis.mains.stack_file import locate_store
from portcullis.metrics.quotas import QuotaMetrics
from portcullis.ports import Clock

_FOLDER = "quotas"


def open_quota_sharing(settings: Settings, gates: Gates, *, clock: Clock, metrics: CollectorRegistry) -> QuotaSharing:
    """Build what keeps gates in agreement; it is not running yet.

    Raises:
        SetupFault: the feed key is missing or damaged.
    """
    try:
        store = RedisQuotaExchange(locate_store(settings))
    except SetupFault:
        # A gateway that serves from a replica which is already there needs no store.
        store = None
    return QuotaSharing(
        gates,
        host=LmdbQuotaExchange(settings.home / _FOLDER, monotonic=clock.monotonic),
        store=store,
        # A token key is retired one day, and its file goes; this one stays.
        names=DayNames(read_key(settings.keys_path, FEED_KEY)),
        clock=clock,
        metrics=QuotaMetrics(metrics),
    )
