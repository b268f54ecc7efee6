"""A throw-away certificate authority, for trying TLS on one machine: never for a partner.

Everything it signs ends after a week. The authority's own key lies beside what it signed, readable by its owner alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portcullis.adapters.durable_files import make_private_folder, write_whole
from portcullis.domain.errors import SetupFault
from portcullis.ports import Clock

LIFE = timedelta(days=7)
"""How long what it signs is good."""

_BEGUN = timedelta(minutes=5)
"""Clocks of one machine's containers may differ by this."""
_HOSTS = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)
_USES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey

    def pem(self) -> tuple[bytes, bytes]:
        """Give (certificate, key) as PEM."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self.certificate.public_bytes(Encoding.PEM), key


class DevAuthority:
    """An authority in memory.

    Args:
        clock: says when its certificates begin and end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        key = generate_private_key(SECP256R1())
        name = _name("Portcullis throw-away CA")
        builder = self._begun(name, name, key, None)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = (
            builder.add_extension(constraints, critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        self.pair = Pair(builder.sign(key, hashes.SHA256()), key)

    def issue(
        self,
        name: str,
        names: Collection[x509.GeneralName],
        *,
        begins: datetime | None = None,
        ends: datetime | None = None,
    ) -> Pair:
        """Sign a certificate for a new key, for servers and clients alike.

        Args:
            name: its common name, for people.
            names: its subject alternative names.
            begins: when it begins; a few minutes ago where not given.
            ends: when it ends; after a week where not given.
        """
        key = generate_private_key(SECP256R1())
        builder = self._begun(_name(name), self.pair.certificate.subject, key, (begins, ends))
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_USES), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            # By this two authorities of one name are told apart.
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.pair.key.public_key()), critical=False)
        )
        return Pair(builder.sign(self.pair.key, hashes.SHA256()), key)

    def _begun(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: EllipticCurvePrivateKey,
        times: tuple[datetime | None, datetime | None] | None,
    ) -> x509.CertificateBuilder:
        begins, ends = times or (None, None)
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or now - _BEGUN)
            .not_valid_after(ends or now + LIFE)
        )


def general_name(name: str) -> x509.GeneralName:
    """Give a policy's name of a certificate as its subject alternative name."""
    return x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)


def write_dev_ca(folder: Path, partners: Mapping[str, Sequence[str]], clock: Clock) -> Sequence[Path]:
    """Make an authority, a server's certificate for this machine, and one for each partner; gives the files written.

    ``ca.crt`` and ``ca.key``, ``server.crt`` and ``server.key``, ``partners/NAME.crt`` and ``partners/NAME.key``. Blocks on
    the disk.

    Args:
        folder: where to; it must not be there, or be empty.
        partners: the names that each partner's certificate carries.
        clock: says when they begin and end.

    Raises:
        SetupFault: something lies in the folder, or it can't be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SetupFault(f"{folder} holds something, and nothing is overwritten; name a new folder, or remove it")
        return list(_written(folder, partners, clock))
    except OSError as fault:
        raise SetupFault(f"{folder} can't be written ({fault.strerror}); name a folder of yours") from fault


def _written(folder: Path, partners: Mapping[str, Sequence[str]], clock: Clock) -> Sequence[Path]:
    authority = DevAuthority(clock)
    pairs = {"ca": authority.pair, "server": authority.issue("localhost", _HOSTS)}
    for partner, names in partners.items():
        pairs[f"partners/{partner}"] = authority.issue(partner, [general_name(name) for name in names])
    make_private_folder(folder)
    make_private_folder(folder / "partners")
    files: list[Path] = []
    for place, pair in pairs.items():
        for ending, data in zip(("crt", "key"), pair.pem(), strict=True):
            files.append(folder / f"{place}.{ending}")
            write_whole(files[-1], data)
    return files


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
