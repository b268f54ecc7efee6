"""One delivery: parcels to the receiver of a stream, by the stream's own way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from portcullis.domain.errors import SetupFault
from portcullis.exchange.relay.envelopes import Parcel
from portcullis.exchange.relay.judging import Trouble, judge
from portcullis.ports.relay import DeliveryFault, DeliveryMethod, Fault, LineFiles, Poster, RelayStore, Stream

FILE_BATCH = 256
"""How many lines share one fsync."""

_DISK_THREADS = 4


class Deliveries:
    """Delivers what `portcullis.exchange.relay.relay` hands it.

    Args:
        store: gives the authorization headers.
        poster: posts to push endpoints and webhooks.
        files: adds lines to files.
    """

    def __init__(self, store: RelayStore, *, poster: Poster, files: LineFiles) -> None:
        self._store = store
        self._poster = poster
        self._files = files
        # Threads of their own: a disk that hangs shall not keep the other streams from the database.
        self._disk = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="relay-files")

    async def deliver(self, stream: Stream, parcels: Sequence[Parcel]) -> Trouble | None:
        """Deliver parcels of one stream, several only to a file; says why they were not taken, or None.

        Raises:
            JournalUnavailable: the stream's header can't be read.
        """
        try:
            if stream.settings.method is DeliveryMethod.FILE:
                lines = [parcel.body for parcel in parcels]
                append = partial(self._files.append, stream.settings.endpoint, lines)
                await asyncio.get_running_loop().run_in_executor(self._disk, append)
                return None
            return await self._post(stream, parcels[0])
        except DeliveryFault as fault:
            return Trouble(fault=fault.fault, reason=fault.message)
        except SetupFault as fault:
            return Trouble(fault=Fault.INTERNAL, reason=fault.message)

    async def close(self) -> None:
        """Give up the connections; a write under way ends by itself."""
        self._disk.shutdown(wait=False, cancel_futures=True)
        await self._poster.close()

    async def _post(self, stream: Stream, parcel: Parcel) -> Trouble | None:
        authorization = await asyncio.to_thread(self._store.secret, stream.stream_id)
        reply = await self._poster.post(
            stream.settings.endpoint, parcel.body, content_type=parcel.content_type, authorization=authorization
        )
        return judge(reply)


def batch_size(stream: Stream) -> int:
    """Give how many parcels one delivery of a stream may hold."""
    return FILE_BATCH if stream.settings.method is DeliveryMethod.FILE else 1
