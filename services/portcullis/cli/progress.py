"""A bar on stderr for what takes long: only on a terminal, for a log needs none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Progress = Callable[[int, int], None]
"""Told (done, in all), in the unit of whoever tells it."""


def byte_bar() -> AbstractContextManager[Progress | None]:
    """Show a bar of bytes for as long as the block runs; gives what it is to be told, None where there is no terminal."""
    from rich.progress import DownloadColumn, TransferSpeedColumn  # noqa: PLC0415 - only what takes long shows a bar

    return _bar(DownloadColumn(), TransferSpeedColumn())


def count_bar() -> AbstractContextManager[Progress | None]:
    """Show a bar of things that are counted; as `byte_bar`."""
    from rich.progress import MofNCompleteColumn, TaskProgressColumn  # noqa: PLC0415 - likewise

    return _bar(TaskProgressColumn(), MofNCompleteColumn())


@contextmanager
def _bar(*measures: ProgressColumn) -> Iterator[Progress | None]:
    from rich.console import Console  # noqa: PLC0415 - likewise
    from rich.progress import BarColumn, TimeRemainingColumn  # noqa: PLC0415 - likewise
    from rich.progress import Progress as Bar  # noqa: PLC0415 - likewise

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Bar(BarColumn(), *measures, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
