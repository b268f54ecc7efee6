"""What one partner has used of its quotas of a day (UTC): the different subjects asked about, and the labels shown.

Subjects are told apart by their tokens, which are keyed hashes and so evenly spread. Of a large quota only a sample is kept,
those whose last bits are zero (M. Wegman; P. Flajolet, "On adaptive sampling", Computing 43, 1990): how many bits follows
from the quota, so that what is kept is bounded and its error is small where it matters, at the quota. Below `EXACT` subjects
the count is exact; beyond, its standard error at the quota is at most 1.2 %.
"""

from __future__ import annotations

from collections.abc import Iterable

EXACT = 8_192
"""Quotas below twice this are counted subject by subject."""

DAY_S = 86_400

_BYTE = 8
_LARGEST_DEPTH = 2 * _BYTE


def depth_for(quota: int) -> int:
    """Give how many bits of a token must be zero for it to be sampled; of a used-up quota 8 to 16 thousand are."""
    return min(max((quota // EXACT).bit_length() - 1, 0), _LARGEST_DEPTH)


class DayCounts:
    """One partner's day at one worker.

    Attributes:
        day: days since 1970.
        seen: the tokens of the sample, in the order in which they came.
        depth: how many of their last bits are zero.
        own_labels: labels shown by this worker.
    """

    __slots__ = ("_first_mask", "_known", "_labels_elsewhere", "_shared_subjects", "day", "depth", "own_labels", "seen")

    def __init__(self, day: int, subjects_quota: int) -> None:
        self.begin(day, subjects_quota)

    def begin(self, day: int, subjects_quota: int) -> None:
        """Begin a day, with nothing used."""
        self.day = day
        self._sample(depth_for(subjects_quota))
        self._known: set[bytes] = set()
        self.seen: list[bytes] = []
        self.own_labels = 0
        self._labels_elsewhere = 0
        self._shared_subjects = 0

    def follow(self, subjects_quota: int) -> None:
        """Count for another quota.

        For a larger one the sample is thinned out. For a smaller one it goes on as it is until the day ends, since what was
        not kept can't be brought back.
        """
        depth = depth_for(subjects_quota)
        if depth > self.depth:
            self._sample(depth)
            self.seen = [token for token in self.seen if _is_sampled(token, depth)]
            self._known = set(self.seen)
            self._shared_subjects = 0

    def note(self, notes: Iterable[tuple[object, object, bytes]]) -> None:
        """Count the subjects of these notes, seen before or not; a token is the last part of a note."""
        mask = self._first_mask
        # The check path: the last byte alone decides on nearly all of a large quota's tokens.
        fresh = {token for _, _, token in notes if not token[-1] & mask}
        fresh -= self._known
        if self.depth > _BYTE:
            fresh = {token for token in fresh if _is_sampled(token, self.depth)}
        if fresh:
            self._known |= fresh
            self.seen += fresh

    def _sample(self, depth: int) -> None:
        self.depth = depth
        self._first_mask = (1 << min(depth, _BYTE)) - 1

    def told(self, *, subjects: int, labels: int) -> None:
        """Take in what was counted: subjects of the sample by all workers together, and labels by the others."""
        self._shared_subjects = subjects
        self._labels_elsewhere = labels

    @property
    def subjects(self) -> int:
        """How many different subjects were asked about."""
        return max(len(self.seen), self._shared_subjects) << self.depth

    @property
    def labels(self) -> int:
        """How many labels were shown."""
        return self.own_labels + self._labels_elsewhere


def _is_sampled(token: bytes, depth: int) -> bool:
    return not int.from_bytes(token[-2:]) & ((1 << depth) - 1)
