"""The registry's keeper, built of open databases: what ends terms by itself and takes over what partners report."""

from __future__ import annotations

from contextlib import ExitStack

from prometheus_client import CollectorRegistry

from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.config import Settings
from portcullis.mains.desks import Records, open_aftermath
from portcullis.mains.parts import open_rights
from portcullis.metrics.registry import KeeperMetrics
from portcullis.ports import Clock, Journal
from portcullis.registry.keeping import Keeper
from portcullis.registry.settling import PartnerReports


def open_keeper(
    settings: Settings,
    registry: SqlRegistry,
    journal: Journal,
    *,
    clock: Clock,
    metrics: CollectorRegistry,
    held: ExitStack,
) -> Keeper:
    """Build the keeper; what it holds open is given up with ``held``.

    Raises:
        SetupFault: a key file is missing, or no store is set.
    """
    rights = held.enter_context(open_rights(settings, clock))
    aftermath = held.enter_context(open_aftermath(settings, Records(registry, rights, journal), clock))
    reports = PartnerReports(registry, rights, journal, clock=clock)
    return Keeper(rights, reports, aftermath, clock=clock, metrics=KeeperMetrics(metrics))
