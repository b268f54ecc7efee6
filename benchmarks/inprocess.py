"""What is measured within one process: look-ups, tokens, deciding, and a whole check short of its transport.

Each function gives the microseconds of one call. The questions go round over a thousand people, so that no cache holds one
answer ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.world import ACTION, KIND, PARTNER, PURPOSE, World
from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb import LmdbReplica
from portcullis.adapters.memory.spool import MemorySpool
from portcullis.config import Settings
from portcullis.domain.decisions import ALLOWED, Probe, decide
from portcullis.domain.plans import Plans
from portcullis.domain.tokens import Tokeniser
from portcullis.gateway.server import Gateway
from portcullis.gateway.servicers.check import SERVICE
from portcullis.metrics import CheckTally
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2

Measure = Callable[[int], float]
"""Gives microseconds a call, over so many calls."""

LOOK_UP = "LMDB get alone"
LOOK_UP_IN_TRANSACTION = "begin, get and close"
PROBE = "normalise and tokenise one resident ID"
DECIDE = "decide(), miss"
HANDLER = "the handler of Check without a transport, miss"


class UnexpectedAnswer(Exception):
    """A question that was to miss did not."""


@contextmanager
def measures(world: World) -> Iterator[dict[str, Measure]]:
    """Open the replica as a worker does, and give what can be measured on it."""
    replica, tokeniser, clock = world.replica(), world.tokeniser(), SystemClock()
    transaction = replica.begin()
    if transaction is None:
        raise UnexpectedAnswer("the replica holds nothing")
    plan = Plans(world.edition.policy, world.edition.lists).plan(PARTNER, ACTION, PURPOSE, clock.now())
    attributes = plan.binder.bind([("train", "G101")])
    probes = [_probes(tokeniser.probes, number) for number in world.unlisted]
    get, now, fresh = transaction.get, clock.now(), frozenset[int]()

    def judge(each: list[Probe]) -> None:
        if decide(plan, each, attributes, get, now, fresh) is not ALLOWED:
            raise UnexpectedAnswer("a miss was none")

    def look_up(token: bytes) -> None:
        opened = replica.begin()
        opened.get(token)
        opened.close()

    tokens = [token for each in probes for token, _ in each]
    try:
        yield {
            LOOK_UP: _over(get, tokens),
            LOOK_UP_IN_TRANSACTION: _over(look_up, tokens),
            PROBE: _over(lambda number: tokeniser.probes(KIND, number, "", []), list(world.unlisted)),
            DECIDE: _over(judge, probes),
            HANDLER: _over(_handler(world, replica, tokeniser), [each.SerializeToString() for each in world.batch.requests]),
        }
    finally:
        transaction.close()
        replica.close()


class Call:
    """What a handler looks at of its call: the metadata, as h2load sends it."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._metadata = tuple(headers.items())

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Give the metadata as pairs."""
        return self._metadata


def gateway_of(world: World, replica: LmdbReplica, tokeniser: Tokeniser) -> Gateway:
    """Wire a gateway without a transport, whose records are kept in memory: nothing in it waits for anything."""
    gateway = Gateway(
        settings=Settings(home=world.home),
        replica=replica,
        spool=MemorySpool(),
        tokeniser=tokeniser,
        subjects=world.subjects(),
        clock=SystemClock(),
        tally=CheckTally(CollectorRegistry()),
    )
    gateway.gates.follow(gateway.policy())
    return gateway


def _handler(world: World, replica: LmdbReplica, tokeniser: Tokeniser) -> Callable[[bytes], None]:
    """Give the gateway's own handler of Check, as a transport would call it. On a miss it never waits for anything."""
    method = gateway_of(world, replica, tokeniser).services[SERVICE]["Check"].unary_unary
    call = Call(world.headers)

    def answer(body: bytes) -> None:
        try:
            method(body, call).send(None)
        except StopIteration:
            return
        raise UnexpectedAnswer("a miss waited")

    body = world.miss.SerializeToString()
    try:
        method(body, call).send(None)
    except StopIteration as done:
        if pb.CheckResponse.FromString(done.value).outcome != types_pb2.OUTCOME_ALLOW:
            raise UnexpectedAnswer("a miss was none") from None
    return answer


def _probes(probe: Callable[[str, str, str, list[Probe]], None], number: str) -> list[Probe]:
    found: list[Probe] = []
    probe(KIND, number, "", found)
    return found


def _over(function: Callable[[Any], object], arguments: list[Any]) -> Measure:
    def measure(calls: int) -> float:
        turns = list(islice(cycle(arguments), calls))
        begin = time.perf_counter()
        for argument in turns:
            function(argument)
        return (time.perf_counter() - begin) / calls * 1e6

    return measure
