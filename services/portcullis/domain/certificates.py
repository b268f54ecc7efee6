"""Release certificates: signed notes (`portcullis.domain.signed_notes`) that say that every gateway has dropped an entry.

The text has these lines in this order, one ``host`` line for each host, by name::

    portcullis/release-certificate/LOG
    list: court
    authority: Demonstration Court
    case reference: (2090) Demo 1
    step: release
    ground: PERFORMED
    status: released
    left at: 2026-11-23T10:00:00Z
    change: 42
    certified at: 2026-11-23T10:00:02Z
    hosts: 2
    host: gateway-1 17 42 2026-11-23T10:00:01Z
    host: gateway-2 18 45 2026-11-23T10:00:02Z

``LOG`` is the origin of the journal, whose key signs in the same name: whoever has the verifier key of the journal's
checkpoints can prove a certificate without asking anybody. No checkpoint begins with that line, so neither can be taken for
the other. ``step`` took the entry off its list, as number ``change`` of the registry's changes; ``status`` is where it stood
when this was certified. A host's line gives its name, the snapshot that it serves, the registry's change that this snapshot
includes up to, and when it said so. A host that has said nothing for a day is not counted.

The rules of reading are those of signed notes, and: a text that is not in this form to the letter, or whose hosts include a
change below ``change``, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portcullis.domain.notices import neutral
from portcullis.domain.signed_notes import (
    KEY_NAME,
    NoteInvalid,
    VerifierKey,
    parse_key,
    prove_signed,
    sign_note,
    split_note,
)

ORIGIN: Final = "portcullis/release-certificate/"
"""What the first line begins with."""

MAX_LENGTH: Final = 1 << 20
"""Certificates of more characters are refused unread: some ten thousand hosts fit."""

_FIELDS: Final = (
    "list",
    "authority",
    "case reference",
    "step",
    "ground",
    "status",
    "left at",
    "change",
    "certified at",
    "hosts",
)
_HOST: Final = re.compile(r"[!-~]{1,255}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class CertificateInvalid(NoteInvalid):
    """A certificate that can't be believed; the message says what is wrong with it."""

    kind = "certificate"


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A host without the entry: the snapshot that it serves, the change that this includes up to, and when it said so.

    ``at`` is Unix seconds.
    """

    host: str
    version: int
    registry_seq: int
    at: int


class ReleaseCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says. ``log`` is the journal's origin; times are Unix seconds; ``hosts`` ascend by name."""

    log: str
    list: str
    authority: str
    case_reference: str
    step: str
    ground: str
    status: str
    left_at: int
    change: int
    certified_at: int
    hosts: tuple[Dropped, ...]

    def text(self) -> str:
        """Give the text that is signed."""
        values = (
            self.list,
            self.authority,
            self.case_reference,
            self.step,
            self.ground or "-",
            self.status,
            _written(self.left_at),
            str(self.change),
            _written(self.certified_at),
            str(len(self.hosts)),
        )
        lines = [ORIGIN + self.log, *map(": ".join, zip(_FIELDS, values, strict=True))]
        lines += [f"host: {each.host} {each.version} {each.registry_seq} {_written(each.at)}" for each in self.hosts]
        return "".join(f"{line}\n" for line in lines)


def sign_certificate(certificate: ReleaseCertificate, key: Ed25519PrivateKey) -> str:
    """Give the signed note of a certificate, signed in the name of its log.

    Raises:
        ValueError: it would be refused when it is read; a value is empty or has control characters, or a host is missing or
            behind the change.
    """
    text = certificate.text()
    try:
        read = _parsed(text[:-1].split("\n"))
    except CertificateInvalid as fault:
        raise ValueError(fault.message) from None
    if read != certificate:
        raise ValueError("no certificate: a value of it can't be written on one line")
    return sign_note(text, certificate.log, key)


def read_certificate(note: str, key: VerifierKey) -> ReleaseCertificate:
    """Read a certificate and prove that the key of its journal has signed it. Asks nobody.

    Raises:
        CertificateInvalid: it is none, of another journal, or not signed by this key.
    """
    lines, signatures = split_note(note, CertificateInvalid, max_length=MAX_LENGTH)
    certificate = _parsed(lines)
    if certificate.log != key.name:
        raise CertificateInvalid("the certificate is of another journal than the key; give the key of its journal")
    prove_signed("".join(f"{line}\n" for line in lines), signatures, key, CertificateInvalid)
    return certificate


def parse_certificate(note: str) -> ReleaseCertificate:
    """Read what a certificate says without asking who signed it; not to be believed.

    Raises:
        CertificateInvalid: it is none.
    """
    return _parsed(split_note(note, CertificateInvalid, max_length=MAX_LENGTH)[0])


def read_certificate_key(text: str) -> VerifierKey:
    """Read the verifier key of a journal.

    Raises:
        CertificateInvalid: it is none, or not one of Ed25519.
    """
    return parse_key(text, CertificateInvalid)


def _parsed(lines: Sequence[str]) -> ReleaseCertificate:
    if not lines[0].startswith(ORIGIN) or not KEY_NAME.fullmatch(lines[0].removeprefix(ORIGIN)):
        raise CertificateInvalid(f"the certificate's first line does not begin with {ORIGIN} and name a journal")
    values = _values(lines[1 : len(_FIELDS) + 1])
    hosts = tuple(_host(line) for line in lines[len(_FIELDS) + 1 :])
    certificate = ReleaseCertificate(
        log=lines[0].removeprefix(ORIGIN),
        list=values["list"],
        authority=values["authority"],
        case_reference=values["case reference"],
        step=values["step"],
        ground="" if values["ground"] == "-" else values["ground"],
        status=values["status"],
        left_at=_time(values["left at"]),
        change=_number(values["change"]),
        certified_at=_time(values["certified at"]),
        hosts=hosts,
    )
    if _number(values["hosts"]) != len(hosts) or not hosts:
        raise CertificateInvalid("the certificate does not have as many host lines as it says, or none")
    names = [each.host for each in hosts]
    if names != sorted(set(names)):
        raise CertificateInvalid("the certificate's hosts are not in the order of their names, each once")
    if any(each.registry_seq < certificate.change for each in hosts):
        raise CertificateInvalid("the certificate counts a host whose snapshot does not include the change")
    return certificate


def _values(lines: Sequence[str]) -> dict[str, str]:
    values = dict(line.partition(": ")[::2] for line in lines)
    if tuple(values) != _FIELDS:
        raise CertificateInvalid(f"the certificate's lines are not {', '.join(_FIELDS)}, in this order")
    for field, value in values.items():
        if not value or neutral(value) != value:
            raise CertificateInvalid(f"the certificate's {field} is empty, or has characters that can't be seen")
    return values


def _host(line: str) -> Dropped:
    name, _, rest = line.partition(": ")
    parts = rest.split(" ")
    if name != "host" or len(parts) != 4 or not _HOST.fullmatch(parts[0]):
        raise CertificateInvalid("a line after the certificate's hosts is not host: NAME SNAPSHOT CHANGE TIME")
    return Dropped(host=parts[0], version=_number(parts[1]), registry_seq=_number(parts[2]), at=_time(parts[3]))


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise CertificateInvalid("the certificate has a number that is not written in decimal digits without leading zeroes")
    return int(text)


def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def _time(text: str) -> int:
    try:
        seconds = int(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        seconds = -1
    if seconds < 0 or _written(seconds) != text:
        raise CertificateInvalid("the certificate has a time that is not written as 2026-11-23T10:00:00Z")
    return seconds
