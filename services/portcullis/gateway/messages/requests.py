"""Reading requests: what the contract asks of a check, as violations that name the field and never its value.

The check path takes a request as if it were good; only when something is wrong is every field looked at, so that the
partner learns of all faults at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from portcullis.domain.attributes import AttributeBinder
from portcullis.domain.decisions import Probe
from portcullis.domain.errors import FieldViolation, InvalidRequest, Unparsable
from portcullis.domain.identifiers import InvalidIdentifier
from portcullis.domain.notices import MAX_LOCALE, is_locale_tag
from portcullis.domain.policies import AttributeValue
from portcullis.domain.redress_numbers import read_number
from portcullis.gateway.messages.wire import fields
from portcullis.v1 import check_service_pb2, types_pb2

MAX_IDENTIFIERS = 8
MAX_ATTRIBUTES = 16
IDENTIFIER_AT = "identifiers["
"""How the name of a field of an identifier begins."""
MAX_NAME = 64
MAX_REFERENCE = 128
# Versions are milliseconds: ample for 29,000 years, and shorter than a resident ID put in the wrong field, which the
# answer that no such version is here would otherwise tell.
MAX_VERSION_DIGITS = 15

_ITEMS = 0x0A  # BatchCheckRequest.requests = 1, ReportEventsRequest.events = 1
_REQUEST_ID = 0x0A  # StreamCheckRequest.request_id = 1

_MOST_UNKNOWN = 1000
"""Fields of a batch that are not known here."""

_FIELDS_OF_AN_ITEM = 8
"""So many fields of a streamed check are looked at for its id, which stands first as a rule."""

_NUL = "holds the character NUL; write plain text"

_M = TypeVar("_M", bound=Message)


def parse(kind: type[_M], body: bytes) -> _M:
    """Read a message.

    Raises:
        Unparsable: the bytes are no such message.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        raise Unparsable(f"the request is no {kind.DESCRIPTOR.name} in protobuf") from None


def batch_items(body: bytes, most: int) -> list[bytes]:
    """Take the items of a batch from its bytes, however they are written; one more than ``most`` where there are more.

    They are as they came: whether one is a check, or an event, is seen when it is read.

    Raises:
        Unparsable: the bytes are no such message, or hold too many fields that are not known here.
    """
    items: list[bytes] = []
    for number, (tag, start, end) in enumerate(fields(body)):
        if tag == _ITEMS:
            items.append(body[start:end])
        if len(items) > most:
            break
        if number - len(items) > _MOST_UNKNOWN:
            raise Unparsable("the batch holds too many fields that are not known here")
    return items


def request_id_of(body: bytes) -> str:
    """Give the request id of a streamed check that is not read; "" where it has none, or is no such message."""
    found = b""
    try:
        for tag, start, end in islice(fields(body), _FIELDS_OF_AN_ITEM):
            if tag == _REQUEST_ID:
                found = body[start:end]
        return found.decode()
    except (Unparsable, UnicodeDecodeError):
        return ""


def parse_texts(kind: type[_M], body: bytes) -> _M:
    """Read a message whose texts may go to a database: none may hold the character NUL, which PostgreSQL has no place for.

    Raises:
        Unparsable: the bytes are no such message.
        InvalidRequest: a text holds NUL; every such field is named.
    """
    request = parse(kind, body)
    # Zero bytes stand in numbers too; without any there is nothing to look for.
    if b"\0" in body:
        found = list(_with_nul(request, ""))
        if found:
            raise InvalidRequest([FieldViolation(field, _NUL) for field in found])
    return request


def _with_nul(message: Message, within: str) -> Iterator[str]:
    """Name the fields whose text holds NUL."""
    for field, value in message.ListFields():
        if field.type not in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE}:
            continue
        for place, each in enumerate(value if field.is_repeated else (value,)):
            name = f"{within}{field.name}[{place}]" if field.is_repeated else f"{within}{field.name}"
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from _with_nul(each, f"{name}.")
            elif "\0" in each:
                yield name


AddProbes = Callable[[str, str, str, list[Probe]], None]
"""`Tokeniser.probes`: appends the probes of one identifier, given as kind, value and country."""


def read_attributes(given: Sequence[types_pb2.Attribute]) -> list[tuple[str, AttributeValue]]:
    """Give the attributes as pairs.

    Raises:
        InvalidRequest: one has no value, or there are too many.
    """
    if len(given) > MAX_ATTRIBUTES:
        raise InvalidRequest.at("attributes", f"at most {MAX_ATTRIBUTES}")
    return [(each.name, each.string_value or _value(each, place)) for place, each in enumerate(given)]


def bounded_reference(text: str) -> str:
    """Give the partner's reference.

    Raises:
        InvalidRequest: it is too long, or holds the character NUL.
    """
    if len(text) > MAX_REFERENCE:
        raise InvalidRequest.at("partner_reference", f"must be at most {MAX_REFERENCE} characters")
    if "\0" in text:
        raise InvalidRequest.at("partner_reference", _NUL)
    return text


def wanted_number(text: str) -> str:
    """Read redress_number; empty gives "".

    Raises:
        InvalidRequest: it is none, or was mistyped.
    """
    return read_number(text) if text else ""


def wanted_locale(text: str) -> str:
    """Give the language wanted; empty wants none. One that nobody knows is no fault: another is taken.

    Raises:
        InvalidRequest: it is not written as a language is.
    """
    if text and not is_locale_tag(text):
        raise InvalidRequest.at(
            "locale", f"must be a language as BCP 47 writes it, such as zh-CN, of at most {MAX_LOCALE} characters"
        )
    return text


def wanted_version(text: str) -> int:
    """Read at_least_snapshot; empty wants nothing.

    Raises:
        InvalidRequest: it is no version of ours.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_VERSION_DIGITS):
        raise InvalidRequest.at("at_least_snapshot", "must be a snapshot version as an answer gave it: a decimal number")
    return int(text)


def violations(
    request: check_service_pb2.CheckRequest, add: AddProbes, binder: AttributeBinder | None
) -> list[FieldViolation]:
    """Look at every field of a check and give all that is wrong.

    ``binder`` is None where the caller may not ask about the action: what it asks for is then no business of the caller's.
    """
    found: list[FieldViolation] = []
    if not 1 <= len(request.identifiers) <= MAX_IDENTIFIERS:
        found.append(identifier_count())
    found += identifier_violations(request.identifiers[:MAX_IDENTIFIERS], add)
    found += [
        FieldViolation(field, f"must be at most {MAX_NAME} characters" if name else "must not be empty")
        for field, name in (("action", request.action), ("purpose", request.purpose))
        if not 0 < len(name) <= MAX_NAME
    ]
    found += reference_violations(request)
    try:
        given = read_attributes(request.attributes)
        if binder is not None:
            binder.bind(given)
    except InvalidRequest as fault:
        found += fault.violations
    return found


def identifier_violations(identifiers: Sequence[types_pb2.Identifier], add: AddProbes) -> list[FieldViolation]:
    """Give what is wrong with each identifier."""
    found = []
    for place, identifier in enumerate(identifiers):
        try:
            add(identifier.kind, identifier.value, identifier.country, [])
        except InvalidIdentifier as fault:
            found.append(FieldViolation(f"{IDENTIFIER_AT}{place}].{fault.field}", fault.description))
    return found


def reference_violations(request: check_service_pb2.CheckRequest) -> list[FieldViolation]:
    """Look at the free reference, the snapshot asked for, the redress number and the language."""
    found: list[FieldViolation] = []
    fields: tuple[tuple[Callable[[str], object], str], ...] = (
        (bounded_reference, request.partner_reference),
        (wanted_version, request.at_least_snapshot),
        (wanted_number, request.redress_number),
        (wanted_locale, request.locale),
    )
    for read, text in fields:
        try:
            read(text)
        except InvalidRequest as fault:
            found += fault.violations
    return found


def identifier_count() -> FieldViolation:
    """Say how many identifiers a check takes."""
    return FieldViolation("identifiers", f"send 1 to {MAX_IDENTIFIERS}, all that you hold of this one customer")


def _value(attribute: types_pb2.Attribute, place: int) -> AttributeValue:
    which = attribute.WhichOneof("value")
    if which is None:
        raise InvalidRequest.at(f"attributes[{place}].value", "set one of string_value, int_value, double_value, bool_value")
    value: AttributeValue = getattr(attribute, which)
    return value
