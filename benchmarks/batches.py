"""A closed-loop driver of BatchCheck: another process keeps a few batches under way, so that the worker never waits for it.

The batch is serialised once and the answers stay bytes, so that the client's own protobuf work does not bound the figure;
the answers of the first and of the last batch are read and must all be ALLOW.
Run as a module it reads a `Plan` as JSON from standard input and prints the checks a second.
"""

from __future__ import annotations

import sys
import time
from collections import deque

import grpc
import msgspec

from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2

METHOD = "/portcullis.v1.CheckService/BatchCheck"
_UNDER_WAY = 3
_LARGEST = 32 * 1024 * 1024


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to drive: the batch's bytes, how many checks it holds, and for how many seconds."""

    address: str
    key: str
    batch: bytes
    checks: int
    seconds: float


class WrongAnswer(Exception):
    """A batch was not answered by as many ALLOWs as it has checks."""


def run(plan: Plan) -> float:
    """Drive the plan; gives checks a second.

    Raises:
        WrongAnswer: the answers are not what was expected.
        grpc.RpcError: a call failed.
    """
    options = [("grpc.max_receive_message_length", _LARGEST), ("grpc.max_send_message_length", _LARGEST)]
    metadata = (("authorization", f"Bearer {plan.key}"),)
    with grpc.insecure_channel(plan.address, options=options) as channel:
        call = channel.unary_unary(METHOD)
        first: bytes = call(plan.batch, metadata=metadata, timeout=60)
        under_way = deque(call.future(plan.batch, metadata=metadata, timeout=60) for _ in range(_UNDER_WAY))
        batches = 0
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < plan.seconds:
            last: bytes = under_way.popleft().result()
            under_way.append(call.future(plan.batch, metadata=metadata, timeout=60))
            batches += 1
        for future in under_way:
            last = future.result()
    for answer in (first, last):
        _verify(plan, answer)
    return batches * plan.checks / elapsed


def _verify(plan: Plan, answer: bytes) -> None:
    results = pb.BatchCheckResponse.FromString(answer).results
    allowed = sum(result.response.outcome == types_pb2.OUTCOME_ALLOW for result in results)
    if not len(results) == allowed == plan.checks:
        raise WrongAnswer(f"{allowed} of {plan.checks} checks were allowed")


if __name__ == "__main__":
    print(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
