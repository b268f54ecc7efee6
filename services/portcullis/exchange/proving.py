"""Proofs for partners: that an event is in the log, and that the log of today adds to that of yesterday."""

from __future__ import annotations

from collections.abc import Sequence

from portcullis.domain.errors import InvalidRequest
from portcullis.domain.merkle import consistency_proof, inclusion_proof, root_of
from portcullis.ports import LogReader, StoredCheckpoint


class Prover:
    """Proves what a log holds, against its signed checkpoints. Every method blocks, and may raise JournalUnavailable.

    Args:
        reader: the log.
    """

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader

    def newest(self) -> StoredCheckpoint | None:
        """Give the newest checkpoint; None while there is none."""
        return self._reader.checkpoint()

    def inclusion(self, sequence: int) -> tuple[StoredCheckpoint | None, Sequence[bytes]]:
        """Prove that the newest checkpoint covers an entry; None and no proof where it does not, yet.

        Raises:
            HashesMissing: the log is damaged.
        """
        newest = self.newest()
        if newest is None or sequence >= newest.size:
            return None, ()
        return newest, inclusion_proof(self._reader, sequence, newest.size)

    def consistency(self, first: int, second: int) -> tuple[StoredCheckpoint, Sequence[bytes]]:
        """Prove that the log of the second size (0: of the newest checkpoint) adds to that of the first.

        Gives the checkpoint of the second size; where none was signed at that size, one with the root and an empty note.

        Raises:
            InvalidRequest: a size is less than 1 or more than the newest checkpoint's, or the first is the larger.
            HashesMissing: the log is damaged.
        """
        newest = self.newest()
        if newest is None:
            raise InvalidRequest.at("second_size", "no checkpoint is signed yet; ask again in a few seconds")
        until = second or newest.size
        if not 1 <= until <= newest.size:
            raise InvalidRequest.at(
                "second_size", f"it must be 0, or from 1 to {newest.size}, the size of the newest checkpoint"
            )
        if not 1 <= first <= until:
            raise InvalidRequest.at("first_size", f"it must be from 1 to {until}, the second size")
        later = self._reader.checkpoint(until) or self._unsigned(until)
        return later, consistency_proof(self._reader, first, until)

    def _unsigned(self, size: int) -> StoredCheckpoint:
        return StoredCheckpoint(size=size, root=root_of(self._reader, size), signed_at=0.0, note="")
