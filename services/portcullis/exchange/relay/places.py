"""Moving a stream's place on, whatever an operator or a receiver sets meanwhile."""

from __future__ import annotations

import msgspec

from portcullis.domain.errors import NotFound
from portcullis.ports.relay import Place, RelayStore, Stream

_TRIES = 5


def move(store: RelayStore, stream: Stream, place: Place) -> Stream | None:
    """Write a stream's new place; gives the stream as it stands then, with the settings of now. Blocks.

    What was added to the stream meanwhile (settings, notices) stays. None when somebody else has moved the place, or the
    stream is gone: what was done for it may be done again.

    Raises:
        JournalUnavailable: the database can't be used.
    """
    wanted = msgspec.structs.replace(stream, place=place)
    for _ in range(_TRIES):
        if store.put(wanted):
            return msgspec.structs.replace(wanted, turn=wanted.turn + 1)
        try:
            now = store.stream(stream.stream_id)
        except NotFound:
            return None
        if _moved(stream.place, now.place):
            return None
        wanted = msgspec.structs.replace(now, place=_with_newer_notices(stream.place, now.place, place))
    return None


def past(place: Place, position: int) -> Place:
    """Give a place with everything up to a position behind it."""
    return msgspec.structs.replace(
        place, position=position, acked=tuple(sorted(each for each in set(place.acked) if each > position))
    )


def _moved(read: Place, now: Place) -> bool:
    """Whether anything but added notices has changed."""
    return msgspec.structs.replace(now, notices=(), notices_made=0, verify_asked_at=0.0) != msgspec.structs.replace(
        read, notices=(), notices_made=0, verify_asked_at=0.0
    )


def _with_newer_notices(read: Place, now: Place, wanted: Place) -> Place:
    added = tuple(each for each in now.notices if each.number > read.notices_made)
    return msgspec.structs.replace(
        wanted,
        notices=wanted.notices + added,
        notices_made=now.notices_made,
        verify_asked_at=now.verify_asked_at,
    )
