"""Reproducible measurements, each beside a baseline of the same run. Start them with ``make bench``."""
