"""The registries of a run: one for each size, made once by the importer itself and copied for the next size to grow from.

``python -m benchmarks.snapshots.registries HOME BEGIN END`` imports entries into a home and prints what it took; it is a
process of its own so that its peak memory is its own.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

import portcullis.demo
from benchmarks.processes import REPOSITORY
from benchmarks.snapshots.population import LISTS, Share
from benchmarks.snapshots.watching import peak_bytes
from portcullis.adapters.clock import SystemClock
from portcullis.config import Settings
from portcullis.mains.keys import ensure_keys
from portcullis.mains.parts import open_entry_namer, open_registry, open_token_keys
from portcullis.registry.imports import Importer
from portcullis.registry.policy_files import load_policy

DONE_FILE = "registry.json"


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """One registry: how many entries it holds, and what importing the last ``imported`` of them took."""

    entries: int
    imported: int
    import_s: float
    import_peak_bytes: int
    database_bytes: int

    @property
    def rows_per_s(self) -> float:
        """Rows imported a second."""
        return self.imported / self.import_s


def build(folder: Path, sizes: Sequence[int]) -> Iterator[tuple[Path, Built]]:
    """Give a home for each size, in ascending order; one that is there already is taken as it is."""
    before: Path | None = None
    begun = 0
    for size in sorted(sizes):
        home = folder / str(size)
        if not (home / DONE_FILE).exists():
            shutil.rmtree(home, ignore_errors=True)
            if before is None:
                home.mkdir(mode=0o700, parents=True)
            else:
                _copy(before, home)
            _import(home, begun, size)
        # A registry that was kept may be older than a kind of key.
        ensure_keys(home / "keys")
        yield home, msgspec.json.decode((home / DONE_FILE).read_bytes(), type=Built)
        before, begun = home, size


def _copy(before: Path, home: Path) -> None:
    home.mkdir(mode=0o700, parents=True)
    shutil.copytree(before / "keys", home / "keys")
    source, copy = sqlite3.connect(before / "registry.db"), sqlite3.connect(home / "registry.db")
    with source, copy:
        source.backup(copy)
    source.close()
    copy.close()


def _import(home: Path, begin: int, end: int) -> None:
    arguments = [sys.executable, "-m", "benchmarks.snapshots.registries", str(home), str(begin), str(end)]
    subprocess.run(arguments, cwd=REPOSITORY, check=True)


def main() -> None:
    """Import one span of entries into a home."""
    home, begin, end = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    settings = Settings(home=home)
    ensure_keys(settings.keys_path)
    clock = SystemClock()
    started = time.monotonic()
    with open_registry(settings, open_token_keys(settings), clock) as store:
        store.apply_policy(load_policy(Path(portcullis.demo.__file__).parent / "policy"), actor="benchmark")
        importer = Importer(store, index_tokens=open_entry_namer(settings).index_tokens, clock=clock)
        for place, name in enumerate(LISTS):
            report = importer.run(name, "jsonl", [Share(place, begin, end)], actor="benchmark")
            if report.rejected:
                raise SystemExit(f"{name}: {report.rejected:,} rows were rejected: {report.faults[0]}")
    built = Built(
        entries=end,
        imported=end - begin,
        import_s=time.monotonic() - started,
        import_peak_bytes=peak_bytes("self"),
        database_bytes=(home / "registry.db").stat().st_size,
    )
    (home / DONE_FILE).write_bytes(msgspec.json.encode(built))
    print(
        f"{home.name}: {built.imported:,} rows at {built.rows_per_s:,.0f}/s, peak {built.import_peak_bytes / 2**20:,.0f} MiB"
    )


if __name__ == "__main__":
    main()
