"""Metrics and health of one part that runs as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import structlog
from prometheus_client import CollectorRegistry

from portcullis.config import Settings
from portcullis.mains import lifeline
from portcullis.mains.exposures import warn_of_exposures
from portcullis.mains.http import StatusServer
from portcullis.mains.readiness import Check, readiness_of

_log = structlog.get_logger(__name__)


@contextmanager
def status(settings: Settings, registry: CollectorRegistry, checks: Sequence[Check]) -> Iterator[None]:
    """Serve metrics and health while the context lasts; a supervised part leaves that to its parent.

    Raises:
        SetupFault: the HTTP port is taken.
    """
    if lifeline.supervised():
        yield
        return
    server = StatusServer(settings.http_host, settings.http_port, registry, lambda: readiness_of(checks))
    with closing(server):
        server.start()
        _log.info("metrics and health are served", port=server.port)
        warn_of_exposures()
        yield
