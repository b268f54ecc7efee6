"""The shipper's side of the spool: every segment of the host, in order, read as it grows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from portcullis.adapters.durable_files import make_private_folder
from portcullis.adapters.folder_hold import hold_folder, unwritable
from portcullis.adapters.spool.reading import Faults, SegmentReading
from portcullis.adapters.spool.segments import clear_unbegun, segments_in
from portcullis.ports import Backlog, DecisionRecord, Spooled

_LOCK: Final = "reader.lock"
_WHAT: Final = "spool"
_SETTING: Final = "PORTCULLIS_SPOOL_DIR"


class SpoolDirectoryReader:
    """Reads the spool of a host; one reader a host. Implements `portcullis.ports.SpoolReader`; not for several threads.

    Records of one writer come in the order in which they were written; segments in the order of their numbers.

    Args:
        folder: the host's spool; made where it is missing.
        faults: is told of each fault of a segment.

    Raises:
        FolderHeld: another reader has it.
        SetupFault: the folder can't be written.
    """

    def __init__(self, folder: Path, *, faults: Faults = lambda fault: None) -> None:  # noqa: ARG005 - a Faults
        self._folder = folder
        self._faults = faults
        self._lock = _held(folder)
        clear_unbegun(folder)
        self._segments: dict[str, SegmentReading] = {}

    def read(self, limit: int) -> Spooled:
        """Give the next records that were neither released nor read by this reader before, ``limit`` at most; none is empty.

        A segment that can't be read holds up no other: the fault is raised where nothing else is there to give.

        Raises:
            OSError: the disk refused.
        """
        self._look()
        records: list[DecisionRecord] = []
        mark: dict[str, int] = {}
        fault: OSError | None = None
        for name, segment in self._segments.items():
            if len(records) >= limit:
                break
            try:
                records += segment.take(limit - len(records))
            except FileNotFoundError:
                continue
            except OSError as caught:
                fault = caught
            mark[name] = segment.given
        self._sweep()
        if fault is not None and not records:
            raise fault
        return Spooled(records, mark)

    def release(self, mark: object) -> None:
        """Let go of what was read up to a mark, because it is in the journal; what can't be deleted now is later.

        Raises:
            TypeError: the mark is not one of `read`.
        """
        if not isinstance(mark, Mapping):
            raise TypeError("a mark is what read gave")
        for name, end in mark.items():
            segment = self._segments.get(name)
            if segment is not None:
                segment.release(end)
        self._sweep()

    def backlog(self) -> Backlog:
        """Say what waits.

        Raises:
            OSError: the disk refused.
        """
        self._look()
        waiting = []
        for segment in self._segments.values():
            with suppress(FileNotFoundError):
                waiting.append(segment.waiting())
        begins = [each.oldest_at for each in waiting if each.oldest_at is not None]
        return Backlog(sum(each.size for each in waiting), min(begins, default=None))

    def close(self) -> None:
        """Give up the files; what was not released is read again by the next reader."""
        os.close(self._lock)

    def _look(self) -> None:
        """Follow the folder: new segments are taken up, in order, and those that are gone are forgotten."""
        found = segments_in(self._folder)
        if found.keys() != self._segments.keys():
            known = self._segments
            self._segments = {
                name: known.get(name) or SegmentReading(self._folder / name, read, self._faults)
                for name, read in found.items()
            }

    def _sweep(self) -> None:
        """Take away what nobody wants any more; where the disk refuses that is tried again at the next read."""
        for name, segment in list(self._segments.items()):
            if segment.is_done():
                with suppress(OSError):
                    segment.remove()
                    del self._segments[name]


def _held(folder: Path) -> int:
    try:
        make_private_folder(folder)
    except OSError as fault:
        raise unwritable(folder, fault, what=_WHAT, setting=_SETTING) from fault
    return hold_folder(folder, _LOCK, what=_WHAT, holder="shipper", does="reads", setting=_SETTING)
