"""Gauges of 0 and 1 over names that come and go."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry

from portcullis.metrics.catalogue import Definition, gauge


class Marks:
    """Says which names something is true of.

    A name that was marked once stays known, at 0: in multiprocess mode a label can't be taken back, and what vanished at 1
    would seem to be true for ever.
    """

    def __init__(self, definition: Definition, registry: CollectorRegistry) -> None:
        self._gauge = gauge(definition, registry)
        self._known: set[str] = set()

    def set(self, names: Collection[str], known: Collection[str] = ()) -> None:
        """Mark exactly these names; ``known`` shall appear besides."""
        self._known.update(names, known)
        for name in self._known:
            self._gauge.labels(name).set(int(name in names))
