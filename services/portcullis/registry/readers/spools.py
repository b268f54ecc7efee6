"""Pipes as files: what can be read only once is written to the disk before it is imported, and removed at the end.

A source is measured and opened more than once (`portcullis.registry.readers.sources.Source`), which a pipe is not made for.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from tempfile import NamedTemporaryFile

from portcullis.domain.errors import SetupFault
from portcullis.registry.readers.sources import FileSource

STDIN = Path("-")
"""Stands for standard input."""


@contextmanager
def file_sources(files: Sequence[Path], folder: Path) -> Iterator[list[FileSource]]:
    """Open files, pipes and standard input as sources.

    Args:
        files: what to open; `STDIN` is standard input.
        folder: where what is no plain file is kept meanwhile, mode 0600; it is there.

    Raises:
        SetupFault: one is not there or can't be read, or does not fit into the folder.
        OSError: the folder can't be written.
    """
    with ExitStack() as spools:
        yield [spools.enter_context(_spooled(each, folder)) if _is_pipe(each) else FileSource(each) for each in files]


def _is_pipe(path: Path) -> bool:
    return path == STDIN or (path.exists() and not path.is_file())


@contextmanager
def _spooled(path: Path, folder: Path) -> Iterator[FileSource]:
    name = "standard input" if path == STDIN else str(path)
    with NamedTemporaryFile(dir=folder, prefix="importing-") as spool:
        try:
            with nullcontext(sys.stdin.buffer) if path == STDIN else path.open("rb") as pipe:
                shutil.copyfileobj(pipe, spool)
            spool.flush()
        except OSError as fault:
            raise SetupFault(f"can't take {name} into {folder}: {fault.strerror}; give it as a file") from fault
        yield FileSource(Path(spool.name), name)
