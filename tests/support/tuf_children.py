"""Publishers' repositories that are killed as ``kill -9`` does: ``python -m tests.support.tuf_children FOLDER KILLS SEED``.

One process makes the keys, then forks a child for each kill. The child writes and signs version after version, and says
what it has begun and what it has done; after each kill the parent opens the folder and demands the last version or the next,
whole as a follower would have it. Writes one line for each kill: the version found, and whether it was the last or the next.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.repository import TufRepository
from tests.support.signed_snapshots import make_keys, make_trusted, put

LISTS = ("court", "carriers")
LONGEST_S = 0.12


def files_of(version: int) -> dict[str, bytes]:
    """What each version holds."""
    return {
        "head/head.json": f"head of {version}".encode(),
        "lists/court/manifest.json": f"manifest of {version}".encode(),
        f"lists/court/delta-{version}": f"delta {version} ".encode() * 2000,
        "lists/carriers/manifest.json": b"a manifest that stays",
    }


def sign_forever(folder: Path, keys: KeyDirectory, said: int) -> None:
    """Sign until killed."""
    clock = SystemClock()
    repository = TufRepository(folder, keys, clock)
    os.write(said, b"opened\n")
    while True:
        version = repository.version() + 1
        os.write(said, f"begun {version}\n".encode())
        for name, data in files_of(version).items():
            with repository.create(name) as out:
                out.write(data)
        repository.sign(version, now=clock.now(), targets=files_of(version))
        os.write(said, f"done {version}\n".encode())
        repository.vouch(now=clock.now())


def killed_after(folder: Path, keys: KeyDirectory, pause_s: float) -> list[str]:
    """Let a child sign for a while, kill it, and give what it said."""
    reader, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            sign_forever(folder, keys, said)
        finally:
            os._exit(1)
    os.close(said)
    with os.fdopen(reader, "rb") as lines:
        first = lines.readline()
        time.sleep(pause_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [line.decode().strip() for line in (first, *lines)]


def check(folder: Path, keys: KeyDirectory, lines: list[str], before: int) -> tuple[int, str]:
    """Open the folder, and demand that it holds what the child did last, or what it had begun."""
    done = max((int(line.split()[1]) for line in lines if line.startswith("done")), default=before)
    begun = max((int(line.split()[1]) for line in lines if line.startswith("begun")), default=before)
    clock = SystemClock()
    repository = TufRepository(folder, keys, clock)
    found = repository.version()
    assert found in {done, begun}, (found, done, begun)
    if found:
        assert not repository.due(now=clock.now())
        store = MemorySnapshotStore()
        put(repository, store)
        trusted = make_trusted(folder / f"trust-{len(list(folder.iterdir()))}", store, keys, clock)
        assert found == trusted.look().version
        for name, data in files_of(found).items():
            assert data == trusted.read(name, 1 << 20)
    return found, "last" if found == done else "next"


def main(folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    keys = make_keys(folder / "trust", *LISTS, clock=SystemClock())
    found = 0
    for _ in range(kills):
        lines = killed_after(folder / "repository", keys, chance.uniform(0, LONGEST_S))
        found, which = check(folder / "repository", keys, lines, found)
        print(found, which)
    # One more publisher clears away what the killed ones have left.
    repository = TufRepository(folder / "repository", keys, SystemClock())
    files = files_of(found + 1)
    for name, data in files.items():
        with repository.create(name) as out:
            out.write(data)
    repository.sign(found + 1, now=SystemClock().now(), targets=files)
    stored = {path for path in (folder / "repository" / "targets").rglob("*") if path.is_file()}
    assert stored == set(repository.publication().targets.values()), stored
    assert not list((folder / "repository" / "incoming").iterdir())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
