"""This server's own certificate and its callers' authorities, from files that may change while it serves.

gRPC asks for the certificate before every handshake, on a thread of its own. The files are looked at then, by their inodes,
sizes and times, so a new certificate is used from the next connection on, and connections that stand are left alone: nothing
is dropped, and no worker has to be told. A certificate whose key has not followed yet, or a file that can't be read, changes
nothing: the pair of before goes on, and the log says so once.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import grpc
import structlog

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault

_log = structlog.get_logger(__name__)


class _Files(NamedTuple):
    cert: Path
    key: Path
    client_ca: Path | None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Give what is another when a file is; raises OSError."""
        found = (path.stat() for path in self if path is not None)
        return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Give the credentials of the server's port, which follow their files; None where the settings name no certificate.

    With ``tls_client_ca`` every caller has to show a certificate of one of these authorities.

    Raises:
        SetupFault: a file can't be read, or they don't belong together; names the setting.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    files = _Files(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    following = _Following(files)
    return grpc.dynamic_ssl_server_credentials(
        following.first,
        following.fetch,  # type: ignore[arg-type] # the stubs leave out that None is allowed
        require_client_authentication=files.client_ca is not None,
    )


class _Following:
    """Reads the files anew when they have changed. gRPC calls `fetch` on any of its threads."""

    def __init__(self, files: _Files) -> None:
        self._files = files
        try:
            self._stamp = files.stamp()
            self.first = _read(files)
        except OSError as fault:
            raise SetupFault(_unreadable(fault)) from None
        self._fault = ""

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Give another certificate, where there is one; None to go on with the present one. Raises nothing."""
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return None
            fresh = _read(self._files)
        except (OSError, SetupFault) as fault:
            self._tell(fault.message if isinstance(fault, SetupFault) else _unreadable(fault))
            return None
        # Read after they were looked at: if they change in between, the next handshake reads them once more.
        self._stamp, self._fault = stamp, ""
        _log.info("the server's certificate was read anew")
        return fresh

    def _tell(self, fault: str) -> None:
        if fault != self._fault:
            self._fault = fault
            _log.warning("the server's new certificate can't be used; going on with the one before", fault=fault)


def _read(files: _Files) -> grpc.ServerCertificateConfiguration:
    """Read the files; raises OSError, or SetupFault where they don't belong together."""
    cert, key = files.cert.read_bytes(), files.key.read_bytes()
    client_ca = files.client_ca.read_bytes() if files.client_ca is not None else None
    _demand_pair(cert, key)
    if client_ca is not None:
        _demand_authorities(client_ca)
    return grpc.ssl_server_certificate_configuration([(key, cert)], client_ca)


def _demand_pair(cert: bytes, key: bytes) -> None:
    from cryptography import x509  # noqa: PLC0415 - only a server with TLS has a use for it
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        certified = x509.load_pem_x509_certificates(cert)[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise SetupFault("PORTCULLIS_TLS_CERT: the file is no PEM certificate; name the chain, the server's first") from None
    try:
        own = load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SetupFault("PORTCULLIS_TLS_KEY: the file is no PEM key without a passphrase; name the server's key") from None
    if own != certified:
        raise SetupFault("PORTCULLIS_TLS_KEY: it is not the key of the certificate in PORTCULLIS_TLS_CERT; name its pair")


def _demand_authorities(pem: bytes) -> None:
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise SetupFault(
            "PORTCULLIS_TLS_CLIENT_CA: the file holds no PEM certificate; name the authorities of the callers"
        ) from None


def _unreadable(fault: OSError) -> str:
    return f"{fault.filename} can't be read ({fault.strerror}); see PORTCULLIS_TLS_CERT, _KEY and _CLIENT_CA"
