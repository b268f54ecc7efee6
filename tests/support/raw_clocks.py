"""A host whose clocks a test moves."""

from __future__ import annotations

from portcullis.adapters.clock import RawClocks
from tests.support.policies import NOW


class Host:
    """The raw clocks of a host. The boot clock goes on in a suspend; the clock of the time awake does not.

    ``up_s`` is how long ago the host was started.
    """

    def __init__(self, up_s: float = 864_000.0) -> None:
        self.wall_s, self.boot_s, self.awake_s = float(NOW), up_s, up_s
        self.clocks = RawClocks(lambda: self.wall_s, lambda: self.boot_s, lambda: self.awake_s)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.wall_s += seconds
        self.boot_s += seconds
        self.awake_s += seconds

    def suspend(self, seconds: float) -> None:
        """Let time pass while the host is suspended."""
        self.wall_s += seconds
        self.boot_s += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number of seconds."""
        self.wall_s += seconds
