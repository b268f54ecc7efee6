"""The certificate that a call's caller has proven, here or to the proxy before us.

Where this server ends the TLS, the transport has proven the chain and tells of the certificate. Where a proxy ends it,
the proxy writes the certificate into the header ``x-forwarded-client-cert`` (Envoy, "HTTP header manipulation"), and that
header is read only from the one peer that the settings name: by a name in the proxy's own certificate, or as any peer on
the loopback of this host. From every other peer it is as if it were not there.

On the native transport a call whose caller streams comes through a Unix socket of the transport's own, and the peer that
it tells is that socket. There the header admits nobody, since anybody may have written it, but it may refuse: a certificate
in it that is revoked or has ended takes the call with it, as it takes the proxy's other calls. Who forges one can have
their own call refused and nothing else.

The proxy must set that header and nobody else's (``forward_client_cert_details: SANITIZE_SET``), with the certificate
itself (``set_current_client_cert_details: {cert: true}``); several certificates, or one that can't be read, are no
credential.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from portcullis.config import FORWARDED_BY_LOOPBACK
from portcullis.domain.caller_certificates import CallerCertificate, counted_names
from portcullis.domain.errors import Unauthenticated

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

FORWARDED = "x-forwarded-client-cert"

_LOOPBACK = re.compile(r"(?:ipv4:)?127\.\d+\.\d+\.\d+:\d+|(?:ipv6:)?(?:\[::1\]|%5B::1%5D):\d+", re.IGNORECASE)
_SOCKET = "unix:"
_PAIR = re.compile(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;,"]*)(?:;|$)')
_MAX_KEPT = 1024


class Peers:
    """Reads callers' certificates; what was read once is kept, in bounds.

    Args:
        forwarded_by: whose header is believed: a name of the proxy's certificate, ``loopback``, or "" for nobody's.
    """

    def __init__(self, forwarded_by: str = "") -> None:
        self._forwarded_by = forwarded_by
        self._kept: dict[bytes | str, CallerCertificate] = {}

    def certificate_of(self, context: Any, metadata: Any) -> CallerCertificate | None:
        """Give the certificate of a call's caller; None where it has shown none.

        A proxy that says nothing about its caller stands for a certificate that names nobody, and so does what came
        through a Unix socket with a proxy's header: it may be refused for its certificate, never admitted by it.

        Args:
            context: the call's, of either transport.
            metadata: its metadata as pairs.

        Raises:
            Unauthenticated: the proxy's header is not one certificate.
        """
        shown = context.auth_context().get("x509_pem_cert")
        own = self._read(bytes(shown[0]), read_certificate) if shown else None
        if not self._forwarded_by:
            return own
        if self._is_proxy(context, own):
            told = self._told(metadata)
            if told is not None:
                return told._replace(via=own)
            return own._replace(names=frozenset()) if own is not None else None
        if own is None and context.peer().startswith(_SOCKET) and (told := self._told(metadata)) is not None:
            return told._replace(names=frozenset())
        return own

    def _told(self, metadata: Any) -> CallerCertificate | None:
        """Read the certificate of the header; None where there is no header."""
        headers = [value for key, value in metadata if key == FORWARDED]
        if len(headers) > 1:
            raise Unauthenticated
        return self._read(headers[0], read_forwarded) if headers else None

    def _is_proxy(self, context: Any, own: CallerCertificate | None) -> bool:
        if self._forwarded_by == FORWARDED_BY_LOOPBACK:
            return bool(_LOOPBACK.fullmatch(context.peer()))
        return own is not None and self._forwarded_by in own.names

    def _read(self, given: bytes | str, read: Callable[[Any], CallerCertificate]) -> CallerCertificate:
        known = self._kept.get(given)
        if known is None:
            known = read(given)
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[given] = known
        return known


def read_certificate(pem: bytes) -> CallerCertificate:
    """Read what counts of a certificate; who issued it is proven elsewhere.

    Raises:
        Unauthenticated: it can't be read.
    """
    # Only a server with TLS, or behind a proxy, has a use for the library.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        return CallerCertificate(
            serial=f"{certificate.serial_number:x}",
            key_digest=_key_digest(certificate),
            names=_names(certificate),
            not_before=certificate.not_valid_before_utc.timestamp(),
            # The moment named is still a part of its time (RFC 5280, 4.1.2.5).
            not_after=certificate.not_valid_after_utc.timestamp() + 1,
        )
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ):
        # Not chained: the fault may carry the bytes.
        raise Unauthenticated from None


def read_forwarded(header: str | bytes) -> CallerCertificate:
    """Read the certificate of a proxy's header: one element, its certificate as PEM in URL encoding.

    Raises:
        Unauthenticated: it is several elements, or holds no certificate, or more than one.
    """
    text = header if isinstance(header, str) else header.decode("ascii", "replace")
    place, found = 0, []
    while place < len(text):
        pair = _PAIR.match(text, place)
        if pair is None:
            raise Unauthenticated
        if pair[1].lower() == "cert":
            found.append(unquote(pair[2].strip('"')))
        place = pair.end()
    if len(found) != 1:
        raise Unauthenticated
    return read_certificate(found[0].encode())


def _key_digest(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(key).hexdigest()


def _names(certificate: Certificate) -> frozenset[str]:
    from cryptography import x509  # noqa: PLC0415

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return counted_names(names.get_values_for_type(x509.UniformResourceIdentifier), names.get_values_for_type(x509.DNSName))
