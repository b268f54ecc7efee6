"""What is loaded over the network: the echo and Check, each on a server of its own, and the proof of right answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import echo, h2load
from benchmarks.http2 import Call
from benchmarks.processes import SERVER_CPU, line_with, running
from benchmarks.world import World
from portcullis.config import Transport
from portcullis.gateway.messages.padding import batch_bytes
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2

CHECK = "/portcullis.v1.CheckService/Check"


_HEAD_BYTES = 5
"""What gRPC puts before a message."""

_ANSWERED = 0.98
"""The least share of a load's calls that got an answer; h2load counts some bytes of calls that it does not count."""


class Target(NamedTuple):
    """One method under load. ``outcome`` is what a Check must answer; None: an echo of ``answer_size`` bytes."""

    name: str
    address: str
    path: str
    message: bytes
    body: Path
    headers: dict[str, str]
    answer_size: int
    outcome: int | None

    @property
    def call(self) -> Call:
        """What a driver sends."""
        host, _, port = self.address.rpartition(":")
        return Call(host=host, port=int(port), path=self.path, headers=self.headers, message=self.message)


class Gateway(NamedTuple):
    """A gateway under measurement."""

    address: str
    pid: int


class WrongAnswer(Exception):
    """A target's answer is not what its figure claims to measure."""


def verify(target: Target) -> int:
    """Make one real call: the status must be OK and the answer right. Gives the answer's size in bytes.

    Raises:
        WrongAnswer: the answer is another one.
        grpc.RpcError: the status is not OK.
    """
    with grpc.insecure_channel(target.address) as channel:
        answer: bytes = channel.unary_unary(target.path)(
            target.message, metadata=tuple(target.headers.items()), timeout=10, wait_for_ready=True
        )
    if target.outcome is None:
        if len(answer) != target.answer_size:
            raise WrongAnswer(f"{target.name}: the answer has {len(answer)} bytes where {target.answer_size} were expected")
    elif _outcome(answer) != target.outcome:
        raise WrongAnswer(f"{target.name}: the outcome is {_outcome(answer)} where {target.outcome} was expected")
    return len(answer)


def load(target: Target, *, seconds: float, warm_up_s: float, streams: int = h2load.STREAMS) -> h2load.Load:
    """Load a target with h2load.

    Raises:
        LoadFailed: a call failed on the HTTP level, or calls were refused.
        WrongAnswer: the target answers something else.
    """
    size = verify(target) + _HEAD_BYTES
    found = h2load.drive(
        target.address, target.path, target.body, target.headers, seconds=seconds, warm_up_s=warm_up_s, streams=streams
    )
    answered = found.data_bytes / size
    if answered < found.calls * _ANSWERED:
        raise h2load.LoadFailed(f"{target.name}: of {found.calls} calls some {found.calls - answered:.0f} were refused")
    return found


def _outcome(answer: bytes) -> int | None:
    try:
        return pb.CheckResponse.FromString(answer).outcome
    except DecodeError:
        return None


@contextmanager
def gateway(world: World, transport: Transport, *, prefix: tuple[str, ...] = ("-m", "portcullis")) -> Iterator[Gateway]:
    """Run ``portcullis serve gateway``, the real one, on one processor.

    ``prefix`` is what Python is given before the command's own arguments.
    """
    port, http_port = _free_port(), _free_port()
    log = world.home / f"gateway-{transport}.log"
    settings = {
        "PORTCULLIS_HOME": str(world.home),
        "PORTCULLIS_GRPC_PORT": str(port),
        "PORTCULLIS_HTTP_PORT": str(http_port),
        "PORTCULLIS_TRANSPORT": transport,
        "PORTCULLIS_LOG_LEVEL": "warning",
    }
    world.vouch()
    address = f"127.0.0.1:{port}"
    with running([*prefix, "serve", "gateway"], cpu=SERVER_CPU, log=log, environment=settings) as process:
        _wait_until_serving(address, process.poll, log)
        yield Gateway(address, process.pid)


@contextmanager
def echo_server(world: World, transport: Transport, sizes: dict[str, int]) -> Iterator[str]:
    """Run the echo on one processor; gives its address."""
    log = world.home / f"echo-{transport}.log"
    arguments = ["-m", "benchmarks.echo", "--transport", transport, *(f"{name}={size}" for name, size in sizes.items())]
    with running(arguments, cpu=SERVER_CPU, log=log, environment={"PORTCULLIS_HOME": str(world.home)}) as process:
        yield line_with(process, "echo ready", log=log).split()[-1]


def check_target(world: World, address: str, name: str, request: pb.CheckRequest, outcome: int) -> Target:
    """Describe a Check of one question."""
    message = request.SerializeToString()
    return Target(name, address, CHECK, message, _body(world, name, message), world.headers, 0, outcome)


def batch_target(world: World, address: str, request: pb.CheckRequest, checks: int) -> Target:
    """Describe a batch of one question, again and again: about one person, it does not look like going through numbers.

    It must fit a stream's first window (`benchmarks.http2`), and so must its answer, which holds for 390 checks.
    """
    message = pb.BatchCheckRequest(requests=[request] * checks).SerializeToString()
    name = f"BatchCheck({checks})"
    path = CHECK.removesuffix("Check") + "BatchCheck"
    return Target(name, address, path, message, _body(world, name, message), world.headers, batch_bytes(checks), None)


def echo_of(check: Target, world: World, address: str, method: str, answer_size: int) -> Target:
    """Describe an echo of the same sizes as a Check."""
    name = f"echo of {check.name.partition(', ')[2]}"
    message = echo.sized_message(len(check.message))
    path = f"/{echo.SERVICE}/{method}"
    return Target(name, address, path, message, _body(world, name, message), world.headers, answer_size, None)


def _body(world: World, name: str, message: bytes) -> Path:
    """Write what h2load posts."""
    file = world.home / f"{name.replace(' ', '-')}.body"
    file.write_bytes(h2load.frame(message))
    return file


@contextmanager
def targets(world: World, transport: Transport) -> Iterator[tuple[Target, ...]]:
    """Start both servers and give the four targets: each Check after an echo of its sizes. All answer rightly."""
    with gateway(world, transport) as (address, _):
        miss = check_target(world, address, "Check, miss", world.miss, types_pb2.OUTCOME_ALLOW)
        hit = check_target(world, address, "Check, hit", world.hit, types_pb2.OUTCOME_RESTRICT)
        sizes = {"Miss": verify(miss), "Hit": verify(hit)}
        with echo_server(world, transport, sizes) as echo_address:
            found = []
            for check, (method, size) in zip((miss, hit), sizes.items(), strict=True):
                found += [echo_of(check, world, echo_address, method, size), check]
            for each in found:
                verify(each)
            yield tuple(found)


def _wait_until_serving(address: str, poll: Callable[[], int | None], log: Path, patience_s: float = 60.0) -> None:
    """Ask for health until it is SERVING.

    Raises:
        RuntimeError: the gateway ended, or did not serve in time; the message shows the end of its log.
    """
    deadline = time.monotonic() + patience_s
    with grpc.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 200)]) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        while poll() is None and time.monotonic() < deadline:
            try:
                if ask(health_pb2.HealthCheckRequest(), timeout=2).status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass
            time.sleep(0.05)
    raise RuntimeError(f"the gateway does not serve; its log ends with:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
