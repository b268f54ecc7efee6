"""The gateway's side of the spool: decisions become durable in segments of this process alone, by group commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from portcullis.adapters.group_commit import GroupCommit, ItemRefused
from portcullis.adapters.spool.segments import Segment
from portcullis.domain.errors import RecordUnavailable
from portcullis.ports import Clock, DecisionRecord

SEGMENT_BYTES: Final = 4 * 1024 * 1024
SEGMENT_S: Final = 10.0

_log = structlog.get_logger(__name__)


class FileSpool:
    """A worker's spool in the folder of its host. Implements `portcullis.ports.DecisionSpool`; safe for threads and loops.

    Nothing is opened before the first record, and a disk that refuses costs the calls of that moment alone: the next append
    tries a new segment, so service resumes by itself. A segment is left after ``segment_s``, or twice that where no records
    come, so that a reader can delete it, and with it the only copy of personal data that no erasure reaches.

    Args:
        folder: the host's spool; several processes may share it.
        clock: measures a segment's age.
        waiting_records: how many records may wait for the disk before more are refused.
        segment_bytes: a segment of this size is followed by the next.
        segment_s: so is one that has stood for so many seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        waiting_records: int = 10_000,
        segment_bytes: int = SEGMENT_BYTES,
        segment_s: float = SEGMENT_S,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._segment_s = segment_s
        self._encoder = msgspec.json.Encoder()
        self._lock = threading.Lock()
        self._segment: Segment | None = None
        self._begun_at = 0.0
        self._last_number = 0
        self._fault = ""
        self._closing = threading.Event()
        self._commits: GroupCommit[DecisionRecord, None] = GroupCommit(
            self._write, waiting_items=waiting_records, refusal=RecordUnavailable, name="portcullis-spool"
        )
        self._retiring = threading.Thread(target=self._keep_retiring, name="portcullis-spool-age", daemon=True)
        self._retiring.start()

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Make records durable; concurrent calls share one commit.

        Raises:
            RecordUnavailable: they are not durable, too many wait already, or the spool is closed.
        """
        if records:
            await self._commits.add(records)

    def retire(self) -> None:
        """Let go of the segment if it has stood long enough; the next append makes another. May block on the disk."""
        with self._lock:
            if self._segment is not None and self._clock.monotonic() - self._begun_at >= self._segment_s:
                self._seal()

    def close(self) -> None:
        """Write what is waiting, then give up the segment."""
        self._commits.close()
        self._closing.set()
        self._retiring.join()
        with self._lock:
            self._seal()

    def _keep_retiring(self) -> None:
        while not self._closing.wait(self._segment_s):
            self.retire()

    def _write(self, records: Sequence[DecisionRecord]) -> Sequence[None]:
        try:
            payloads = [self._encoder.encode(record) for record in records]
        except (TypeError, ValueError, msgspec.MsgspecError) as fault:
            raise ItemRefused from fault
        with self._lock:
            try:
                self._append(payloads)
            except OSError as fault:
                self._give_up(fault)
                raise
            if self._fault:
                self._fault = ""
                _log.info("decisions are recorded again")
        return [None] * len(records)

    def _append(self, payloads: Sequence[bytes]) -> None:
        if self._segment is not None and (self._segment.size >= self._segment_bytes or not self._segment.is_linked()):
            self._seal()
        if self._segment is None:
            self._segment = Segment.create(self._folder, after=self._last_number)
            self._begun_at = self._clock.monotonic()
            self._last_number = self._segment.number
        self._segment.append(payloads)

    def _seal(self) -> None:
        if self._segment is not None:
            self._segment.seal()
            self._segment = None

    def _give_up(self, fault: OSError) -> None:
        """Never write the segment again (rule 2), and say so once."""
        if self._segment is not None:
            self._segment.give_up()
            self._segment = None
        what = fault.strerror or type(fault).__name__
        if what != self._fault:
            self._fault = what
            _log.error("decisions can't be recorded, and those that need a record are refused", fault=what)
