"""A closed-loop driver of Check: one caller asks about a listed and an unlisted person by turns, each call after the last.

Run as a module it reads a `Plan` as JSON from standard input and prints the `Medians` as JSON.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import grpc
import msgspec

from benchmarks.targets import CHECK
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2

_WARM_UP = 20


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, and how often each."""

    address: str
    key: str
    miss: bytes
    hit: bytes
    calls: int


class Medians(msgspec.Struct, frozen=True):
    """Half of the calls were answered within so many microseconds."""

    allow_us: float
    restrict_us: float


class WrongAnswer(Exception):
    """A check was not decided as it was to be."""


def run(plan: Plan) -> Medians:
    """Drive the plan.

    Raises:
        WrongAnswer: a listed person was let through, or another was not.
        grpc.RpcError: a call failed.
    """
    times: dict[int, list[float]] = {types_pb2.OUTCOME_ALLOW: [], types_pb2.OUTCOME_RESTRICT: []}
    questions = {types_pb2.OUTCOME_ALLOW: plan.miss, types_pb2.OUTCOME_RESTRICT: plan.hit}
    metadata = (("authorization", f"Bearer {plan.key}"),)
    with grpc.insecure_channel(plan.address) as channel:
        ask = channel.unary_unary(CHECK)
        for turn in range(_WARM_UP + plan.calls):
            for outcome, body in questions.items():
                begin = time.perf_counter()
                answer: bytes = ask(body, metadata=metadata, timeout=10)
                seconds = time.perf_counter() - begin
                if pb.CheckResponse.FromString(answer).outcome != outcome:
                    raise WrongAnswer
                if turn >= _WARM_UP:
                    times[outcome].append(seconds * 1e6)
    return Medians(median(times[types_pb2.OUTCOME_ALLOW]), median(times[types_pb2.OUTCOME_RESTRICT]))


if __name__ == "__main__":
    print(msgspec.json.encode(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan))).decode())
