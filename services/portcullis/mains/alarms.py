"""The alarm board, joined to a worker's watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing

from prometheus_client import CollectorRegistry

from portcullis.adapters.memory.alarms import MemoryAlarmBoard
from portcullis.adapters.redis.alarms import RedisAlarmBoard
from portcullis.config import Settings
from portcullis.domain.alarms import Board
from portcullis.domain.errors import SetupFault
from portcullis.domain.probing import Sign
from portcullis.gateway.quotas.alarm_look import looking_at_alarms
from portcullis.gateway.quotas.watches import Watches
from portcullis.mains.stack_file import locate_store
from portcullis.metrics import AlarmMetrics
from portcullis.ports import AlarmBoard


def look_at_alarms(settings: Settings) -> Board:
    """Give what is on the board.

    Raises:
        SetupFault: this host knows of no store.
        StoreUnavailable: it can't be reached.
    """
    with closing(RedisAlarmBoard(locate_store(settings))) as board:
        return board.look()


@asynccontextmanager
async def open_alarm_look(settings: Settings, watches: Watches, metrics: CollectorRegistry) -> AsyncIterator[None]:
    """Have a worker's watches and the board know of one another while the context lasts.

    A gateway that serves from a replica which is already there needs no store; its workers then go by what each has seen.
    """
    with ExitStack() as held:
        try:
            board: AlarmBoard = held.enter_context(closing(RedisAlarmBoard(locate_store(settings))))
        except SetupFault:
            board = MemoryAlarmBoard()
        async with looking_at_alarms(watches, board, AlarmMetrics(metrics, map(str, Sign))):
            yield
