"""What a partner has under way of one kind, calls or streams: here, and at all workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UnderWay:
    """One kind of what a partner has under way. One a worker; not for several threads.

    Attributes:
        here: how many are under way at this worker.
    """

    __slots__ = ("_before", "_elsewhere", "here")

    def __init__(self) -> None:
        self.here = 0
        self._elsewhere = self._before = 0

    def hear(self, elsewhere: int) -> None:
        """Go by how many the other workers have under way.

        What they had at one turn alone does not count: it is over by now, most likely, and a partner that goes from one
        worker to another would be refused what it has left behind.
        """
        self._elsewhere, self._before = min(elsewhere, self._before), elsewhere

    @property
    def of_all(self) -> int:
        """How many are under way at all workers, as far as is known."""
        return self.here + self._elsewhere

    def fills(self, most: int) -> bool:
        """Say whether no more of them may begin; ``most`` 0 means no bound."""
        return self.of_all >= most > 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one while the context lasts."""
        self.here += 1
        try:
            yield
        finally:
            self.here -= 1
