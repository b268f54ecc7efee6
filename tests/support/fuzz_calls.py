"""A whole worker under hostile calls, and the judgement of what comes back."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from portcullis.domain.roles import MATRIX, Role
from portcullis.v1 import registry_service_pb2
from tests.support.wire_fuzz import Wire, Words, delimited, mutated

OURS: Final = "portcullis.v1."
DEADLINE_S: Final = 5.0
PATIENCE_S: Final = 30.0
"""A call that is late among others is made again by itself, with so long to answer."""

GOOD: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""What a call may end with while every part is up."""
_OF_THE_CLIENT: Final = "Internal error from Core"
"""What grpcio's client says of a stream that was refused while it still sent: the server's status is lost there."""
LEFT_OUT: Final = {"grpc.health.v1.Health/List"}
"""In the standard's descriptor, and not in the library's servicer."""
_SHRINKING_CALLS: Final = 150
_SHOWN_HEX: Final = 4096


@dataclass
class Case:
    """One call: its bodies, more than one for a client's stream alone, and who makes it."""

    method: str
    role: Role | None
    credential: str | None
    bodies: list[bytes]

    def __str__(self) -> str:
        shown = " ".join(body[:_SHOWN_HEX].hex() or "-" for body in self.bodies)
        return f"{self.method} as {self.role} with {shown}"


@dataclass
class Ending:
    """How a call ended: its code, all text of its error, what it answered."""

    code: grpc.StatusCode
    text: str = ""
    reason: str = ""
    answers: list[bytes] = field(default_factory=list)


class Heard(logging.Handler):
    """Everything that is logged meanwhile, by structlog and by the library's own loggers."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter().format(record))

    def taken(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


@contextmanager
def hearing() -> Iterator[Heard]:
    """Hear what is logged."""
    heard, root = Heard(), logging.getLogger()

    def keep(_logger: object, name: str, event: Any) -> Any:
        heard.lines.append(f"{name}: {event}")
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[keep])
    root.addHandler(heard)
    try:
        yield heard
    finally:
        root.removeHandler(heard)
        structlog.configure(processors=before)


class Fuzzer:
    """Makes calls on a running server.

    Args:
        channel: to the server.
        methods: what it serves, by full name.
        credentials: one of each role.
        words: what requests are written of.
        canaries: texts that stand for persons, and that no error may tell back.
        heard: what is logged.
        seed: of every case.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        methods: dict[str, MethodDescriptor],
        credentials: dict[Role | None, str | None],
        words: Words,
        canaries: Sequence[str],
        heard: Heard,
        seed: int,
    ) -> None:
        self._channel = channel
        self._methods = methods
        self._credentials = credentials
        self._words = words
        self._canaries = canaries
        self._heard = heard
        self._seed = seed
        self.calls: Counter[str] = Counter()
        self.codes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.faults: list[str] = []
        self._seen: set[str] = set()

    def case(self, number: int) -> Case:
        """Make the case of this number; the methods come round in turn."""
        rng = random.Random(f"{self._seed}/{number}")
        method = sorted(self._methods)[number % len(self._methods)]
        role, credential = self._caller(rng, method)
        kind, streams = self._methods[method].input_type, self._methods[method].client_streaming
        count = rng.choice((0, 1, 2, 5)) if streams else 1
        return Case(method, role, credential, [self._body(rng, kind, place) for place in range(count)])

    def _caller(self, rng: random.Random, method: str) -> tuple[Role | None, str | None]:
        roles = MATRIX[method]
        if Role.ANYONE in roles or rng.random() < 0.03:
            return None, None
        if rng.random() < 0.03:
            return None, rng.choice(("", "pcs_", "pcs_" + "a" * 300, "x" * 4000, "lender-key "))
        role = rng.choice(sorted(roles))
        return role, self._credentials[role]

    def _body(self, rng: random.Random, kind: Any, place: int) -> bytes:
        form = rng.random()
        if form < 0.08:
            return rng.randbytes(rng.choice((0, 1, 3, 17, 200, 5000)))
        hostility = 0.0 if form < 0.5 else rng.choice((0.02, 0.05, 0.15))
        wire = Wire(rng, self._words, self._canaries, hostility)
        body = wire.message(kind)
        if kind.name == "ImportEntriesRequest" and form < 0.7:
            body = _import_part(wire, place)
        return mutated(rng, body, wire.message(kind)) if form > 0.8 else body

    async def round(self, numbers: Sequence[int]) -> None:
        """Make some calls at once, and judge each; what is logged meanwhile is judged with them."""
        cases = [self.case(number) for number in numbers]
        endings = await asyncio.gather(*(self.make(case) for case in cases))
        for case, ending in zip(cases, endings, strict=True):
            fault = await self._judge(case, ending)
            if fault and self._is_new(f"{case.method} {fault}"):
                logged = self._heard.lines[:5]
                self.faults.append(f"{fault}: {await self._shrunk(case, fault)}\n  logged: {logged}")
        for line in self._judge_log(self._heard.taken()):
            if self._is_new(line):
                self.faults.append("\n  ".join([line, "in the round of:", *map(str, cases)]))

    def _is_new(self, fault: str) -> bool:
        """Say whether a fault was not seen before: each is shown once."""
        before = len(self._seen)
        self._seen.add(fault)
        return len(self._seen) > before

    async def _judge(self, case: Case, ending: Ending) -> str:
        self.calls[case.method] += 1
        if ending.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            ending = await self.make(case, PATIENCE_S)
        self.codes[case.method][ending.reason or ending.code.name] += 1
        return self.verdict(case, ending)

    def verdict(self, case: Case, ending: Ending) -> str:
        """Say what is wrong with an ending; "" for nothing."""
        if self._told(ending.text):
            return "an error told a person's number back"
        if self._methods[case.method].client_streaming and _OF_THE_CLIENT in ending.text:
            return ""
        if ending.code in GOOD:
            return self._look(case, ending)
        if case.method in LEFT_OUT and ending.code is grpc.StatusCode.UNIMPLEMENTED:
            return ""
        return f"it ended with {ending.code.name} {ending.reason}"

    def _look(self, case: Case, ending: Ending) -> str:
        """Look at answers: the errors within them, and words for later calls."""
        if not case.method.startswith(OURS):
            # Reflection gives requests back one level deeper, which is a level too deep for a parser at times.
            return ""
        kind = GetMessageClass(self._methods[case.method].output_type)
        for body in ending.answers:
            try:
                answer = kind.FromString(body)
            except DecodeError:
                return "its answer is no message of its kind"
            self._words.gather(answer)
            for error in errors_within(answer):
                if self._told(str(error)):
                    return "an item's error told a person's number back"
                if isinstance(error, status_pb2.Status) and error.code in {0, 2, 13, 14}:
                    return f"an item ended with code {error.code}"
        return ""

    def _told(self, text: str) -> bool:
        return any(canary in text for canary in self._canaries)

    def _judge_log(self, lines: Sequence[str]) -> list[str]:
        told = [f"a log told a person's number: {line[:300]}" for line in lines if self._told(line)]
        faults = [line for line in lines if "unexpected fault" in line or "Traceback" in line]
        return told + [f"logged: {line[:2000]}" for line in faults]

    async def _shrunk(self, case: Case, fault: str) -> Case:
        """Take pieces off a failing case for as long as it fails in the same way."""
        left = _SHRINKING_CALLS
        for place in range(len(case.bodies)):
            size = max(1, len(case.bodies[place]) // 2)
            while size and left:
                at = 0
                while at < len(case.bodies[place]) and left:
                    left -= 1
                    body = case.bodies[place]
                    smaller = [*case.bodies]
                    smaller[place] = body[:at] + body[at + size :]
                    tried = Case(case.method, case.role, case.credential, smaller)
                    if self.verdict(tried, await self.make(tried)) == fault:
                        case = tried
                    else:
                        at += size
                size //= 2
        return case

    async def make(self, case: Case, within_s: float = DEADLINE_S) -> Ending:
        """Make a call, and give how it ended; of a stream that goes on, the first answers."""
        metadata = [("authorization", f"Bearer {case.credential}")] if case.credential is not None else []
        try:
            return Ending(grpc.StatusCode.OK, answers=await self._answers(case, metadata, within_s))
        except grpc.aio.AioRpcError as error:
            return _ending_of(error)
        except (asyncio.CancelledError, TimeoutError):
            return Ending(grpc.StatusCode.DEADLINE_EXCEEDED)

    async def _answers(self, case: Case, metadata: list[tuple[str, str]], within_s: float) -> list[bytes]:
        method, path = self._methods[case.method], f"/{case.method}"
        options: Any = {"metadata": metadata, "timeout": within_s}
        if not method.server_streaming:
            if method.client_streaming:
                return [await self._channel.stream_unary(path)(_given(case.bodies), **options)]
            return [await self._channel.unary_unary(path)(case.bodies[0], **options)]
        if method.client_streaming:
            stream = self._channel.stream_stream(path)(_given(case.bodies), **options)
        else:
            stream = self._channel.unary_stream(path)(case.bodies[0], **options)
        answers: list[bytes] = []
        try:
            async for answer in stream:
                answers.append(answer)
                if not method.client_streaming:
                    break
        finally:
            stream.cancel()
        return answers


async def _given(bodies: Sequence[bytes]) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body


def _ending_of(error: grpc.aio.AioRpcError) -> Ending:
    info = error_details_pb2.ErrorInfo()
    trailing = str(error.trailing_metadata())
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        return Ending(grpc.StatusCode.UNKNOWN, f"{error.details()} {trailing}")
    for detail in status.details if status else ():
        detail.Unpack(info)
    return Ending(error.code(), f"{error.details()} {status} {trailing}", info.reason.removeprefix("ERROR_REASON_"))


def _import_part(wire: Wire, place: int) -> bytes:
    """An import as it should be: an opening, then rows."""
    kind = registry_service_pb2.ImportEntriesRequest.DESCRIPTOR
    field = kind.fields_by_name["opening" if place == 0 else "rows"]
    return delimited(field.number, wire.message(field.message_type))


def errors_within(message: Message) -> Iterator[Message]:
    """Give the errors that an answer holds about its items."""
    for each, value in message.ListFields():
        if each.message_type is None or (each.message_type.GetOptions().map_entry):
            continue
        for part in value if each.is_repeated else [value]:
            if each.message_type.full_name in {"google.rpc.Status", "portcullis.v1.ImportEntriesResponse.RowError"}:
                yield part
            elif each.message_type.full_name != "google.protobuf.Struct":
                yield from errors_within(part)


def resident_bytes() -> int:
    """Give how much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def open_descriptors() -> int:
    """Count this process's open descriptors."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
