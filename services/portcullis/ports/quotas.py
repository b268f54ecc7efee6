"""The port of quotas: how the workers that answer one partner tell each other what they are asked for, and what was used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from portcullis.domain.evidence import NOTHING, Counts

SUBJECT_NAME_BYTES = 8

DAYS_KEPT = 2
"""What was used is forgotten after so many days, in which every worker's day has ended."""

SILENT_MS = 1_500
"""A worker that has not told for so long is forgotten."""


SEEN_AT_LEAST = 4_096
"""So many subjects of a partner and a day, at least, are remembered as not new to all."""

POOLED = 64
"""So many subjects that were new to all make a pool, whose crowding is counted (`portcullis.domain.crowding`)."""


class NewSubject(NamedTuple):
    """A subject that was new to one worker: its name, the names of its cells, smallest first, and whether it was found.

    Names have 8 bytes each, and are others each day and for each partner.
    """

    name: bytes
    cells: tuple[bytes, bytes, bytes]
    found: bool


class Use(NamedTuple):
    """What one worker tells of one partner.

    Attributes:
        partner: whose quotas these are.
        checks_per_s: checks that this worker is asked for now, a second, let through or not.
        events_per_s: events, likewise.
        labels: labels that this worker has shown today, all of them.
        depth: which sample of the day's subjects is counted (`portcullis.gateway.quotas.day_counts`).
        subjects: names of subjects that the others may not know of, of 8 bytes each; told again they change nothing.
        calls: calls under way at this worker.
        streams: streams open at it.
        counted: what this worker's watch for probing has counted of all that was asked since it told last, heard or not:
            it is added up, so it is told once at most.
        fresh: subjects that were new to this worker since then.
    """

    partner: str
    checks_per_s: float
    events_per_s: float
    labels: int
    depth: int
    subjects: Sequence[bytes]
    counted: Counts = NOTHING
    fresh: Sequence[NewSubject] = ()
    calls: int = 0
    streams: int = 0

    @property
    def load(self) -> Load:
        """What the worker is asked for now."""
        return Load(self.checks_per_s, self.events_per_s, self.calls, self.streams)


class Load(NamedTuple):
    """What a worker is asked for now of one partner; it is forgotten with the worker."""

    checks_per_s: float = 0.0
    events_per_s: float = 0.0
    calls: int = 0
    streams: int = 0

    @classmethod
    def of_all(cls, loads: Iterable[Load]) -> Load:
        """Give what all of them come to."""
        return cls(*map(sum, zip(*loads, strict=True)))


class Used(NamedTuple):
    """What all workers have told of one partner.

    Attributes:
        checks_per_s: what the workers that tell are asked for, in sum.
        events_per_s: likewise.
        labels: shown today, by all.
        subjects: how many different ones of the sample.
        counted: what all watches have told of the day, and what the full pools of the subjects say that were new to every
            worker; it begins anew where it was lost.
        calls: under way at the workers that tell, in sum.
        streams: likewise.
    """

    checks_per_s: float
    events_per_s: float
    labels: int
    subjects: int
    counted: Counts = NOTHING
    calls: int = 0
    streams: int = 0


class Standing(NamedTuple):
    """How things stand: how many workers tell, and what they have told of the partners asked about."""

    workers: int
    used: Mapping[str, Used]


class QuotaExchange(Protocol):
    """Where workers meet. Each tells several times a second; one that keeps silent is soon forgotten.

    What was shown and asked about in a day outlives the worker that told it.
    """

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        """Tell what this worker is asked for, and learn what all are; blocks on the other side.

        Args:
            worker: its name; another after each start.
            day: days since 1970.
            uses: one for each partner that it wants to know of.

        Raises:
            StoreUnavailable: nobody can be met there; it may have been told all the same.
        """
        ...

    def close(self) -> None:
        """Give up what it holds; a later `turn` may begin anew."""
        ...
