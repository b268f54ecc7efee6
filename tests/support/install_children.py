"""A process that installs versions until it is killed: ``python -m tests.support.install_children FOLDER``."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from tests.support.distribution import edition, records


def versioned(version: int) -> list[tuple[bytes, bytes]]:
    """The records of a version, each marked with it; how many there are depends on it too."""
    return records(range(400 + version % 50), b"%d:" % version)


def install_for_ever(folder: Path) -> None:
    """Install one version after another, saying so before and after each."""
    writer = LmdbReplicaWriter(folder, SystemClock())
    held = writer.held()
    for version in count(held.version + 1 if held else 1):
        pairs = versioned(version)
        sys.stdout.write(f"begins {version}\n")
        sys.stdout.flush()
        writer.install(edition(version, len(pairs)), pairs)
        writer.vouch(version, 0.0)
        sys.stdout.write(f"installed {version}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    install_for_ever(Path(sys.argv[1]))
