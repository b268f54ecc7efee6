"""Processes that write or read a replica until they are killed: ``python -m tests.support.install_children WHAT FOLDER``.

Everything follows from the version: which bodies there are, and which of them the step to it changed.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.domain.editions import Edition
from portcullis.domain.segments import Change, join_segments
from portcullis.ports import ReadTransaction
from tests.support.distribution import CARRIERS, COURT, body, edition, token

ROOT = Path(__file__).resolve().parents[2]
LISTS = (COURT, CARRIERS)
_NUMBERS = range(360)
_TURN = 3
"""How many versions it takes until every body was looked at anew."""

_PLACES = sorted((token(number), on, number) for number in _NUMBERS for on in LISTS if (number + on) % 3)


def body_in(version: int, number: int, on: int) -> bytes:
    """The body of a number on a list in a version; empty where it has none. It names the version that put it there."""
    put_in = version - (version + number + on) % _TURN
    return b"" if (put_in // _TURN + number) % 5 == 0 else body(number, f"{on}-{put_in}")


def bodies_in(version: int) -> list[Change]:
    """All bodies of a version, in ascending order."""
    return [(key, on, found) for key, on, number in _PLACES if (found := body_in(version, number, on))]


def changes_to(version: int) -> list[Change]:
    """What leads from the version before to this one."""
    return [(key, on, body_in(version, number, on)) for key, on, number in _PLACES if (version + number + on) % _TURN == 0]


def edition_of(version: int) -> Edition:
    """The edition of a version."""
    return edition(version, bodies_in(version), of=LISTS)


def check(transaction: ReadTransaction) -> int:
    """See that a transaction reads its own version and nothing else; gives the version."""
    version = transaction.edition.version
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for key, on, each in bodies_in(version):
        found.setdefault(key, []).append((on, each))
    for key, _, _ in _PLACES:
        expected = join_segments(found[key]) if key in found else None
        assert expected == transaction.get(key), "a token has not what its version says"
    return version


def say(*words: object) -> None:
    """Tell the parent."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def install_for_ever(folder: Path) -> None:
    """Install one version after another, saying so before and after each."""
    writer = LmdbReplicaWriter(folder, SystemClock())
    held = writer.held()
    for version in count(held.version + 1 if held else 1):
        of, bodies = edition_of(version), bodies_in(version)
        say("begins", version)
        writer.install(of, bodies)
        writer.vouch(version, 0.0)
        say("done", version)


def apply_for_ever(folder: Path, dies_at: int) -> None:
    """Apply one version after another, saying so before and after each; end by a signal at some change, if told to."""
    writer = LmdbReplicaWriter(folder, SystemClock())
    held = writer.held()
    assert held is not None
    steps = count(1)
    for version in count(held.version + 1):
        of, changes = edition_of(version), changes_to(version)
        say("begins", version)
        writer.apply(of, _deadly(changes, steps, dies_at))
        writer.vouch(version, 0.0)
        say("done", version)


def _deadly(changes: list[Change], steps: Iterator[int], dies_at: int) -> Iterator[Change]:
    for each in changes:
        if next(steps) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        yield each


def fork_writers(folder: Path) -> None:
    """For each line read, fork a process that installs or applies; say its id, and its end.

    A line is ``install 0``, or ``apply`` and the change to die at. So that a hundred of them need not import everything a
    hundred times.
    """
    for line in sys.stdin:
        what, dies_at = line.split()
        child = os.fork()
        if child == 0:
            try:
                if what == "install":
                    install_for_ever(folder)
                else:
                    apply_for_ever(folder, int(dies_at))
            finally:
                os._exit(1)
        say("forked", child)
        os.waitpid(child, 0)
        say("ended", child)


def read_for_ever(folder: Path) -> None:
    """Read every version that comes, through one transaction each, and say when it was right."""
    replica = LmdbReplica(folder, SystemClock())
    version = 0
    while True:
        replica.refresh()
        transaction = replica.begin()
        if transaction is not None and transaction.edition.version > version:
            replica.refresh()
            version = check(transaction)
            say("read", version)


def hold_for_ever(folder: Path) -> None:
    """Open the present version and never let it go."""
    transaction = LmdbReplica(folder, SystemClock()).begin()
    assert transaction is not None
    say("holds", transaction.edition.version)
    while True:
        time.sleep(60)


def read_in_little_space(folder: Path) -> None:
    """Read where a process may have no more than two gigabytes of addresses."""
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    transaction = LmdbReplica(folder, SystemClock()).begin()
    assert transaction is not None
    say("read", check(transaction))


def write_limited_files(folder: Path) -> None:
    """For each line read, write the next version with files that can't grow beyond some bytes, and say what came of it.

    A line is ``apply`` or ``install``, and the bytes.
    """
    writer = LmdbReplicaWriter(folder, SystemClock())
    for line in sys.stdin:
        what, longest = line.split()
        held = writer.held()
        assert held is not None
        following = held.version + 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(longest), resource.RLIM_INFINITY))
        try:
            if what == "apply":
                writer.apply(edition_of(following), changes_to(following))
            else:
                writer.install(edition_of(following), bodies_in(following))
            say("done", following)
        except OSError:
            say("refused", following)
    writer.close()


@contextmanager
def running(what: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run one of these; it is killed at the end."""
    argv = [sys.executable, "-m", "tests.support.install_children", what, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


_ROLES = {
    "fork-writers": fork_writers,
    "read": read_for_ever,
    "hold": hold_for_ever,
    "read-in-little-space": read_in_little_space,
    "write-limited-files": write_limited_files,
}

if __name__ == "__main__":
    _ROLES[sys.argv[1]](Path(sys.argv[2]))
