"""Callers' certificates as a transport or a proxy tells of them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.dev_ca import DevAuthority, general_name
from portcullis.domain.errors import Unauthenticated
from portcullis.gateway.transport.peers import FORWARDED, Peers, read_certificate, read_forwarded

NAME = "spiffe://bank.example/checkout"
AUTHORITY = DevAuthority(SystemClock())
PAIR = AUTHORITY.issue("a caller", [general_name(NAME), general_name("bank.example")])
PEM = PAIR.pem()[0]
QUOTED = quote(PEM.decode(), safe="")


class Context:
    """A call, in so far as it is looked at here."""

    def __init__(self, *pems: bytes, peer: str = "ipv4:10.0.0.1:5") -> None:
        self.pems, self._peer, self.looks = pems, peer, 0

    def auth_context(self) -> dict[str, list[bytes]]:
        self.looks += 1
        return {"x509_pem_cert": list(self.pems)} if self.pems else {}

    def peer(self) -> str:
        return self._peer


def test_what_counts_of_a_certificate_is_read() -> None:
    read, certificate = read_certificate(PEM), PAIR.certificate
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (f"{certificate.serial_number:x}", sha256(key).hexdigest(), {NAME, "bank.example"}, None) == (
        read.serial,
        read.key_digest,
        read.names,
        read.via,
    )
    assert certificate.not_valid_before_utc.timestamp() == read.not_before
    assert certificate.not_valid_after_utc.timestamp() + 1 == read.not_after


def test_a_certificate_without_names_names_nobody() -> None:
    assert frozenset() == read_certificate(AUTHORITY.pair.pem()[0]).names


@pytest.mark.parametrize(
    "header",
    [
        f'Cert="{QUOTED}"',
        f"Cert={QUOTED}",
        f'By=spiffe://gateway.example/a;Hash=00;Cert="{QUOTED}";Subject="CN=\\"a, b; c\\"";URI={NAME};DNS=',
        f'Subject="Cert=nonsense";cert="{QUOTED}";URI={NAME}',
    ],
)
def test_the_certificate_of_a_proxys_header_is_read(header: str) -> None:
    assert read_certificate(PEM) == read_forwarded(header) == read_forwarded(header.encode())


@given(st.text(alphabet='Cert="%;,\\ab1/', max_size=60))
def test_no_header_is_a_fault_of_ours(header: str) -> None:
    with pytest.raises(Unauthenticated):
        read_forwarded(header)


@pytest.mark.parametrize(
    "header",
    [f'Cert="{QUOTED}",Cert="{QUOTED}"', f'Cert="{QUOTED}"x', f'Cert="{QUOTED}";Cert="{QUOTED}"', f'Chain="{QUOTED}"', ""],
)
def test_more_or_less_than_one_certificate_is_no_credential(header: str) -> None:
    with pytest.raises(Unauthenticated):
        read_forwarded(header)


def test_a_certificate_is_read_once_and_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portcullis.gateway.transport.peers._MAX_KEPT", 2)
    peers = Peers()
    first = peers.certificate_of(Context(PEM), ())
    assert first is peers.certificate_of(Context(PEM), ())
    for number in range(5):
        peers.certificate_of(Context(AUTHORITY.issue(str(number), [general_name(NAME)]).pem()[0]), ())
    assert len(peers._kept) <= 2


def test_without_a_certificate_there_is_none() -> None:
    assert Peers().certificate_of(Context(), [(FORWARDED, f"Cert={QUOTED}")]) is None


@pytest.mark.parametrize("forwarded_by", ["loopback", "envoy.example"])
def test_what_came_through_a_socket_is_judged_by_the_header_and_named_by_nothing(forwarded_by: str) -> None:
    peers, header = Peers(forwarded_by), (FORWARDED, f"Cert={QUOTED}")
    told = peers.certificate_of(Context(peer="unix:"), [header])
    assert told == read_certificate(PEM)._replace(names=frozenset())
    assert peers.certificate_of(Context(peer="unix:"), []) is None
    assert peers.certificate_of(Context(), [header]) is None
    assert Peers().certificate_of(Context(peer="unix:"), [header]) is None
    for unreadable in ([header, header], [(FORWARDED, "Cert=nonsense")]):
        with pytest.raises(Unauthenticated):
            peers.certificate_of(Context(peer="unix:"), unreadable)


def test_the_header_is_read_from_the_proxy_of_the_settings_alone() -> None:
    header: list[tuple[str, Any]] = [("user-agent", "test"), (FORWARDED, f"Cert={QUOTED}")]
    proxy = AUTHORITY.issue("a proxy", [general_name("envoy.example")]).pem()[0]
    peers = Peers("envoy.example")
    told = peers.certificate_of(Context(proxy), header)
    assert told == read_certificate(PEM)._replace(via=read_certificate(proxy))
    assert read_certificate(PEM) == peers.certificate_of(Context(PEM), header)
    assert peers.certificate_of(Context(), header) is None
    silent = peers.certificate_of(Context(proxy), header[:1])
    assert silent == read_certificate(proxy)._replace(names=frozenset())
