"""What a store holds, read through trusted metadata: the documents of the snapshot in force, and the bodies of its lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from portcullis.domain.documents import Documents, ListDocuments, Read, read_documents
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC, Bodies, read_frames
from portcullis.domain.manifests import MAX_DOCUMENT_BYTES, Base, Delta
from portcullis.domain.records import is_body
from portcullis.ports import TrustedSnapshots

Advance = Callable[[int], None]
"""Told how many frames were read since it was told last."""

_ADVANCE_EVERY = 10_000


def reader_of(trusted: TrustedSnapshots) -> Read:
    """Give what reads a document of the snapshot last looked at."""
    return lambda name: trusted.read(name, MAX_DOCUMENT_BYTES)


def read_published(trusted: TrustedSnapshots) -> Documents:
    """Look at the store, and read every document of the snapshot in force.

    Raises:
        SnapshotInvalid: one is missing, malformed or of another version.
        StoreUnavailable: the store can't be reached.
    """
    return read_documents(reader_of(trusted), trusted.look().version)


class ListFiles:
    """The base and deltas of one list. Those opened are proven whole, and stay for as long as the block that opened them."""

    def __init__(self, trusted: TrustedSnapshots, documents: ListDocuments, advance: Advance = lambda _: None) -> None:
        self._trusted = trusted
        self._legal_rows = len(documents.terms.legal)
        self._advance = advance

    @contextmanager
    def opened(self, *files: Base | Delta) -> Iterator[list[Bodies]]:
        """Fetch files, and give the bodies of each.

        Raises:
            SnapshotInvalid: a file is not what was signed; what is read of it raises that too, where a body is malformed or
                it has not as many frames as its manifest says.
            StoreUnavailable: the store can't be reached.
            OSError: the disk has no room for them.
        """
        with ExitStack() as held:
            yield [self._open(held, file) for file in files]

    def _open(self, held: ExitStack, file: Base | Delta) -> Bodies:
        frames = file.records if isinstance(file, Base) else file.changes
        magic = BASE_MAGIC if isinstance(file, Base) else DELTA_MAGIC
        opened = held.enter_context(self._trusted.open(file.target))
        length = opened.seek(0, 2)
        opened.seek(0)
        if length != file.length:
            raise SnapshotInvalid("a target is not as long as its manifest says", refusal=Refusal.MANIFEST_MALFORMED)
        return self._proven(read_frames(magic, opened), frames, empty_allowed=isinstance(file, Delta))

    def _proven(self, bodies: Bodies, frames: int, *, empty_allowed: bool) -> Bodies:
        count = 0
        for token, body in bodies:
            if not (is_body(body, self._legal_rows) or (empty_allowed and not body)):
                raise SnapshotInvalid("a body is malformed", refusal=Refusal.RECORDS_MALFORMED)
            yield token, body
            count += 1
            if count % _ADVANCE_EVERY == 0:
                self._advance(_ADVANCE_EVERY)
        self._advance(count % _ADVANCE_EVERY)
        if count != frames:
            raise SnapshotInvalid("a target has not as many frames as its manifest says", refusal=Refusal.MANIFEST_MALFORMED)
