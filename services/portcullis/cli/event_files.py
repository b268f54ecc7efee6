"""The files that `portcullis report` reads and writes: events in, receipts out.

Events come in the JSON form of the contract's `Event`: one object a line, or one array of objects. Nothing of what is read
is ever repeated in a message, for it may name a person.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from portcullis.client import Event, Receipt

MAX_LINE = 64 * 1024
"""Characters of a line; an event takes less than a tenth."""

_FAILED_FIELD = re.compile(r"Failed to parse (\w+) field")
_ENUMERATION = re.compile(r" for enum type portcullis\.v1\.(\w+)")
_SNAKE = re.compile(r"(?<!^)(?=[A-Z])")


class Unusable(typer.BadParameter):
    """The input is no events at all from some place on."""


class Fault(NamedTuple):
    """What is wrong with one event: the field as the contract calls it, and why, without its value."""

    field: str
    description: str


class Read(NamedTuple):
    """One item of the input: its place, as "line 7" or "item 3", and the event, or what is wrong with it."""

    place: str
    event: Event | None
    fault: Fault | None = None


def read_events(text: IO[str]) -> Iterator[Read]:
    """Read events one by one; an array is read whole first, lines are not.

    Raises:
        Unusable: what comes next is no JSON object; what came before stands.
    """
    first = _first_line(text)
    if first is None:
        return
    number, line = first
    if line.lstrip().startswith("["):
        yield from _from_array(line + text.read())
        return
    yield _read_line(number, line)
    for further, other in enumerate(_lines(text), start=number + 1):
        if other.strip():
            yield _read_line(further, other)


class ReceiptFile:
    """Receipts, one JSON object a line, durable before the event is said to be taken.

    Opening it again after a crash removes the rest of a line that was cut, and takes no receipt twice.

    Args:
        file: made if it is not there, for its owner alone.

    Raises:
        BlockingIOError: another process has it open.
        OSError: it can't be read or written.
        ValueError: it holds other things than receipts.
    """

    def __init__(self, file: Path) -> None:
        self._known: set[tuple[str, int]] = set()
        is_new = not file.exists()
        self._opened = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            # Two writers would write over each other's receipts.
            fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._take_up()
            if is_new:
                _sync_folder(file.parent)
        except BaseException:
            self._opened.close()
            raise

    def add(self, receipts: Iterable[Receipt]) -> None:
        """Write receipts; when it returns they are on the disk."""
        fresh = [each for each in receipts if (each.event_id, each.sequence) not in self._known]
        if not fresh:
            return
        self._opened.write(b"".join(json.dumps(receipt_document(each)).encode() + b"\n" for each in fresh))
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self._known.update((each.event_id, each.sequence) for each in fresh)

    def close(self) -> None:
        """Give up the file."""
        self._opened.close()

    def _take_up(self) -> None:
        whole = 0
        for line in self._opened:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self._known.add(_named(json.loads(line)))
        self._opened.seek(whole)
        self._opened.truncate()


def receipt_document(receipt: Receipt) -> dict[str, object]:
    """Give a receipt as JSON has it."""
    return {
        "event_id": receipt.event_id,
        "sequence": receipt.sequence,
        "recorded_at": receipt.recorded_at.isoformat(),
        "entry_hash": receipt.entry_hash.hex(),
    }


def replace_file(file: Path, text: str) -> None:
    """Put a text in the place of a file's, wholly or not at all, durably.

    Raises:
        OSError: it can't be written.
    """
    is_new = not file.exists()
    beside = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        with beside.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    # Should a later replacement be lost with the power, the text before it stands; a first one would leave nothing.
    if is_new:
        _sync_folder(file.parent)


def _named(document: object) -> tuple[str, int]:
    match document:
        case {"event_id": str(event_id), "sequence": int(sequence)}:
            return event_id, sequence
    raise ValueError("no receipt")


def _first_line(text: IO[str]) -> tuple[int, str] | None:
    for number, line in enumerate(_lines(text), start=1):
        if line.strip():
            return number, line
    return None


def _lines(text: IO[str]) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        yield line


def _from_array(text: str) -> Iterator[Read]:
    items = _decoded("the input", text)
    if not isinstance(items, list):
        raise Unusable("the input is no array of events; write one JSON object a line, or one array of objects")
    for number, item in enumerate(items, start=1):
        yield _read_item(f"item {number}", item)


def _read_line(number: int, line: str) -> Read:
    place = f"line {number}"
    return _read_item(place, _decoded(place, line))


def _decoded(place: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unusable(f"{place} is no JSON; write one JSON object a line, or one array of objects") from None


def _read_item(place: str, item: object) -> Read:
    # Imported here because gRPC and protobuf would slow `--help` down.
    from google.protobuf import json_format  # noqa: PLC0415

    from portcullis.client.event_messages import event_of  # noqa: PLC0415
    from portcullis.v1 import sharing_service_pb2  # noqa: PLC0415

    if not isinstance(item, dict):
        raise Unusable(f"{place} is no JSON object; write one JSON object a line, or one array of objects")
    try:
        return Read(place, event_of(json_format.ParseDict(item, sharing_service_pb2.Event())))
    except json_format.ParseError as fault:
        return Read(place, None, _fault_of(str(fault)))
    except ValueError as fault:
        field, _, description = str(fault).partition(": ")
        return Read(place, None, Fault(field, description))


def _fault_of(text: str) -> Fault:
    """Say what protobuf found without repeating its words: they hold what was read."""
    field = ".".join(_SNAKE.sub("_", name).lower() for name in _FAILED_FIELD.findall(text))
    if "has no field named" in text:
        return Fault(field, "it has a field that the contract does not name; an event says what happened and nothing else")
    if "oneof" in text:
        return Fault("detail", "it says twice what happened; report two events")
    if enumeration := _ENUMERATION.search(text):
        return Fault(field, f"write it in JSON as one of {', '.join(_values_of(enumeration[1]))}")
    if field == "occurred_at":
        return Fault(field, "write it with its zone, as in 2026-11-20T10:00:00Z")
    return Fault(field, "it is not written as the contract has it")


def _values_of(enumeration: str) -> list[str]:
    from portcullis.v1 import sharing_service_pb2  # noqa: PLC0415 - protobuf would slow `--help` down

    values = sharing_service_pb2.DESCRIPTOR.enum_types_by_name[enumeration].values
    return [each.name for each in values if each.number]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
