"""``python -m benchmarks.snapshots``: how distribution grows with the number of entries."""
