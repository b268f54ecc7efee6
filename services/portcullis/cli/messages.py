"""Showing a message of the contract to a reader: its fields, times and choices in words, what is empty left out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from portcullis.cli.output import print_fields, print_line

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

_TIMESTAMP = "google.protobuf.Timestamp"


def show_message(message: Message, *, indent: int = 0) -> None:
    """Print a message: its plain fields in two columns, then each message within it."""
    print_fields(_plain(message), indent=indent)
    for name, inner in _inner(message):
        print_line(" " * indent, (name, "dim"))
        show_message(inner, indent=indent + 2)


def field_text(field: FieldDescriptor, value: Any) -> str:
    """Write one value for a reader; "" where there is nothing to say."""
    if field.enum_type is not None:
        return enum_text(field, value)
    if field.message_type is not None:
        return stamp_text(value)
    if isinstance(value, bool):
        return "yes" if value else ""
    return str(value) if value else ""


def enum_text(field: FieldDescriptor, number: int) -> str:
    """Write a choice as words: ENTRY_STATUS_IN_FORCE as "in force"; "" for the unspecified one."""
    if number == 0:
        return ""
    kind = field.enum_type
    found = kind.values_by_number.get(number) if kind is not None else None
    if kind is None or found is None:
        return str(number)
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(found.name).removeprefix(prefix).replace("_", " ").lower()


def stamp_text(stamp: Any) -> str:
    """Write a Timestamp as UTC to the second."""
    if not (stamp.seconds or stamp.nanos):
        return ""
    return datetime.fromtimestamp(stamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _is_plain(field: FieldDescriptor) -> bool:
    return field.message_type is None or field.message_type.full_name == _TIMESTAMP


def _plain(message: Message) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        if not _is_plain(field):
            continue
        values = value if field.is_repeated else [value]
        yield field.name.replace("_", " "), ", ".join(field_text(field, each) for each in values)


def _inner(message: Message) -> Iterator[tuple[str, Message]]:
    for field, value in message.ListFields():
        if _is_plain(field):
            continue
        name = field.name.replace("_", " ")
        if not field.is_repeated:
            yield name, value
            continue
        for number, each in enumerate(value, start=1):
            yield f"{name} {number}", each
