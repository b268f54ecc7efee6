"""The throw-away authority: what it writes, what that is good for, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from portcullis.adapters.dev_ca import DevAuthority, general_name, write_dev_ca
from portcullis.domain.errors import SetupFault
from portcullis.gateway.transport.peers import read_certificate
from tests.support.imports import StillClock
from tests.support.policies import NOW

SPIFFE = "spiffe://portcullis.example/partner/bank"


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_it_writes_an_authority_a_server_and_a_partner_each_with_its_key_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    files = write_dev_ca(folder, {"bank": [SPIFFE], "shop": ["shop.example"]}, StillClock())
    names = ["ca", "server", "partners/bank", "partners/shop"]
    assert [folder / f"{name}.{ending}" for name in names for ending in ("crt", "key")] == list(files)
    assert {0o600} == {path.stat().st_mode & 0o777 for path in files}
    assert {0o700} == {path.stat().st_mode & 0o777 for path in (folder, folder / "partners")}
    assert [{SPIFFE}, {"shop.example"}, {"localhost"}] == [
        read_certificate((folder / f"{name}.crt").read_bytes()).names
        for name in ("partners/bank", "partners/shop", "server")
    ]


def test_what_it_signs_is_good_for_a_week(tmp_path: Path) -> None:
    write_dev_ca(tmp_path / "ca", {"bank": [SPIFFE]}, StillClock())
    now = datetime.fromtimestamp(NOW, UTC)
    authority, server = certificate(tmp_path / "ca" / "ca.crt"), certificate(tmp_path / "ca" / "server.crt")
    builder = PolicyBuilder().store(Store([authority]))
    localhost = x509.DNSName("localhost")
    for at in (now, now + timedelta(days=7)):
        assert [server, authority] == builder.time(at).build_server_verifier(localhost).verify(server, [])
    assert timedelta(days=7, minutes=5) == server.not_valid_after_utc - server.not_valid_before_utc
    with pytest.raises(x509.verification.VerificationError):
        builder.time(now + timedelta(days=8)).build_server_verifier(localhost).verify(server, [])


def test_two_authorities_of_one_name_are_told_apart() -> None:
    one, other = DevAuthority(StillClock()), DevAuthority(StillClock())
    made = other.issue("a caller", [general_name("bank.example")]).certificate
    builder = PolicyBuilder().time(datetime.fromtimestamp(NOW, UTC))
    both = Store([one.pair.certificate, other.pair.certificate])
    assert other.pair.certificate == builder.store(both).build_client_verifier().verify(made, []).chain[-1]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_dev_ca(tmp_path / "empty", {}, StillClock())
    before = {path: path.read_bytes() for path in (tmp_path / "empty").glob("*.*")}
    (tmp_path / "file").write_text("mine")
    for place in ("empty", "file"):
        with pytest.raises(SetupFault, match="nothing is overwritten"):
            write_dev_ca(tmp_path / place, {}, StillClock())
    assert before == {path: path.read_bytes() for path in (tmp_path / "empty").glob("*.*")}
    assert "mine" == (tmp_path / "file").read_text()
