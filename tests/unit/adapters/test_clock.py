"""The host's clock."""

from __future__ import annotations

import time

from portcullis.adapters.clock import SystemClock, boot_id


def test_wall_time_is_the_hosts():
    assert abs(time.time() - SystemClock().now()) < 5


def test_monotonic_time_is_one_for_every_clock_and_never_goes_back():
    readings = [clock.monotonic() for clock in (SystemClock(), SystemClock()) for _ in range(3)]
    assert sorted(readings) == readings


def test_a_boot_has_one_name():
    assert boot_id() == boot_id()


def test_a_host_that_does_not_tell_its_boot_has_no_name(tmp_path):
    assert "" == boot_id(tmp_path / "absent")
