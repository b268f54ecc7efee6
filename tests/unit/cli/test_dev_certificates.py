"""``portcullis certs dev``, and the options of TLS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portcullis.gateway.transport.peers import read_certificate
from tests.support.command_homes import make_home, portcullis, write_policy


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose policy names a certificate of its one partner."""
    policy = write_policy(tmp_path / "policy")
    (file,) = (policy / "partners").glob("*.toml")
    text = file.read_text().replace("[partner]\n", '[partner]\ncredentials = "either"\n')
    file.write_text(text + '\n[[certificate]]\nsan = "lender.example"\n')
    home = make_home(tmp_path / "home")
    assert 0 == portcullis("policy", "apply", str(policy), "--home", str(home))
    return home


def test_the_partners_of_the_policy_have_certificates_of_the_names_in_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    folder = tmp_path / "certificates"
    assert 0 == portcullis("certs", "dev", str(folder), "--home", str(home), "--json")
    made = json.loads(capsys.readouterr().out)

    assert {"lender": ["lender.example"]} == made["partners"]
    assert [
        str(folder / f"{name}.{ending}") for name in ("ca", "server", "partners/lender") for ending in ("crt", "key")
    ] == (made["files"])
    assert {"lender.example"} == read_certificate((folder / "partners" / "lender.crt").read_bytes()).names


def test_a_partner_without_a_certificate_in_the_policy_is_told_what_to_put_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = (str(tmp_path / "certificates"), "--home", str(tmp_path / "nothing"))
    assert 0 == portcullis("certs", "dev", *where, "--partner", "bank")
    told = capsys.readouterr()

    assert "[[certificate]] san = 'spiffe://portcullis.example/partner/bank'" in told.out
    assert "for trying alone" in told.err
    assert 2 == portcullis("certs", "dev", *where, "--partner", "bank")
    assert "nothing is overwritten" in capsys.readouterr().err


def test_what_is_no_name_of_a_partner_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 != portcullis("certs", "dev", str(tmp_path / "certificates"), "--partner", "../bank")
    assert "partner: " in capsys.readouterr().err
    assert not (tmp_path / "certificates").exists()


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
@pytest.mark.parametrize(
    "command",
    [
        ("caller", "+447700900123"),
        ("watch",),
        ("case", "list"),
    ],
)
def test_a_certificate_and_its_key_are_given_together(
    command: tuple[str, ...], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (*command, "--target", "127.0.0.1:1", "--key", "a-key", option, str(tmp_path / "file"))
    assert 2 == portcullis(*asked)
    assert "give --tls-cert and --tls-key together" in capsys.readouterr().err


def test_a_file_that_cant_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("caller", "+447700900123", "--target", "127.0.0.1:1", "--key", "a-key", "--tls-ca", str(tmp_path / "nothing"))
    assert 2 == portcullis(*asked)
    assert "nothing can't be read" in capsys.readouterr().err
