"""Certificates of callers: which names count, and how one that is refused is written down.

In words:

1. A certificate names whoever a policy has given one of its names. Names are URI and DNS subject alternative names,
   compared whole: a wildcard stands for nothing, and the common name counts for nothing.
2. A certificate with a SPIFFE ID has that one URI and no other (SPIFFE X.509-SVID, section 2); else its URIs name nobody.
3. A certificate that ended, has not begun, or was revoked is refused at every call, on connections that stand as well.
4. What is revoked is either one certificate, by its serial number (RFC 5280, 4.1.2.2: up to 20 bytes), or every certificate
   of one key pair, by the SHA-256 digest of the key (the DER of SubjectPublicKeyInfo). Their lengths tell them apart.

Example: ``0A:1B`` and ``a1b`` are the same serial number; 64 hexadecimal digits are a key's digest.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from portcullis.domain.errors import InvalidRequest

MAX_CERTIFICATE_NAME = 255
"""The most characters of a name in a policy; longer names of a certificate match nothing."""

_SPIFFE = "spiffe://"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+")
_OTHER_URI = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+")
_SERIAL = re.compile(r"[0-9a-f]{1,40}")
_KEY_DIGEST = re.compile(r"[0-9a-f]{64}")


class CallerCertificate(NamedTuple):
    """What counts of a caller's certificate, its chain and signature proven by whoever ended the TLS.

    Attributes:
        serial: the serial number, in small hexadecimal digits without leading zeros.
        key_digest: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
        names: the names that may name a partner.
        not_before: when it begins, Unix seconds.
        not_after: when it ends, Unix seconds.
        via: the certificate of the proxy that told of it; None where the caller showed it here, or the proxy has none.
    """

    serial: str
    key_digest: str
    names: frozenset[str]
    not_before: float
    not_after: float
    via: CallerCertificate | None = None

    def is_refused(self, now: float, revoked: Collection[str]) -> bool:
        """Say whether it, or that of the proxy before it, is out of force at a time (Unix seconds); rule 3."""
        own = not self.not_before <= now < self.not_after or self.serial in revoked or self.key_digest in revoked
        return own or (self.via is not None and self.via.is_refused(now, revoked))


def counted_names(uris: Collection[str], dns_names: Collection[str]) -> frozenset[str]:
    """Give the names of a certificate that count; rules 1 and 2."""
    spiffe = any(uri.lower().startswith(_SPIFFE) for uri in uris)
    counted = () if spiffe and len(uris) > 1 else (uri for uri in uris if "://" in uri)
    # A URI and a DNS name can't be taken for each other: only one of them has "://".
    return frozenset({*counted, *(name.lower() for name in dns_names if _DNS_NAME.fullmatch(name.lower()))})


def is_certificate_name(name: str) -> bool:
    """Say whether a policy may name a certificate so: a SPIFFE ID, another URI, or a DNS name in small letters."""
    if len(name) > MAX_CERTIFICATE_NAME:
        return False
    if name.startswith(_SPIFFE):
        return bool(_SPIFFE_ID.fullmatch(name)) and not {".", ".."} & set(name.split("/"))
    return bool(_OTHER_URI.fullmatch(name) or _DNS_NAME.fullmatch(name))


def read_mark(text: str) -> str:
    """Read what a certificate is revoked by: its serial number or its key's digest, in hexadecimal, with colons or without.

    Raises:
        InvalidRequest: it is neither.
    """
    digits = text.strip().lower().removeprefix("0x").replace(":", "")
    if _KEY_DIGEST.fullmatch(digits):
        return digits
    if _SERIAL.fullmatch(digits) and digits.strip("0"):
        return digits.lstrip("0")
    raise InvalidRequest.at(
        "certificate",
        "write the serial number as `openssl x509 -noout -serial` shows it, or the SHA-256 digest of the public key: "
        "hexadecimal digits",
    )
