"""Release certificates: a golden one, and every way in which one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from portcullis.adapters.log_signing import LogSigner
from portcullis.domain.certificates import (
    ORIGIN,
    CertificateInvalid,
    Dropped,
    ReleaseCertificate,
    parse_certificate,
    read_certificate,
    read_certificate_key,
    sign_certificate,
)
from portcullis.domain.checkpoints import Checkpoint, CheckpointInvalid, read_checkpoint, sign_checkpoint
from portcullis.domain.signed_notes import sign_note, verifier_key

LOG = "portcullis/journal/a1b2c3"
SEED = bytes(range(32))
PRIVATE = Ed25519PrivateKey.from_private_bytes(SEED)
KEY = verifier_key(LOG, PRIVATE)
CERTIFICATE = ReleaseCertificate(
    log=LOG,
    list="court",
    authority="Demonstration Court",
    case_reference="(2090) 示范 1",
    step="release",
    ground="PERFORMED",
    status="released",
    left_at=1_800_000_000,
    change=42,
    certified_at=1_800_000_002,
    hosts=(
        Dropped(host="gateway-1", version=17, registry_seq=42, at=1_800_000_001),
        Dropped(host="gateway-2", version=18, registry_seq=45, at=1_800_000_002),
    ),
)
# Ed25519 signatures are deterministic, so this note never changes.
GOLDEN = Path(__file__).with_name("golden") / "release-certificate.txt"


def test_a_certificate_is_signed_to_the_letter() -> None:
    assert GOLDEN.read_text(encoding="utf-8") == sign_certificate(CERTIFICATE, PRIVATE)


def test_a_certificate_is_proven_with_the_journals_verifier_key_alone() -> None:
    note = GOLDEN.read_text(encoding="utf-8")
    assert CERTIFICATE == read_certificate(note, read_certificate_key(str(KEY)))
    assert CERTIFICATE == parse_certificate(note)


def test_the_journals_signer_signs_it(tmp_path: Path) -> None:
    signer = LogSigner(SEED, tmp_path)
    assert CERTIFICATE == read_certificate(signer.certify(CERTIFICATE), signer.key(LOG))


def test_one_without_a_ground_says_so() -> None:
    withdrawn = msgspec.structs.replace(CERTIFICATE, step="withdraw", ground="")
    assert "\nground: -\n" in withdrawn.text()
    assert withdrawn == read_certificate(sign_certificate(withdrawn, PRIVATE), KEY)


def test_neither_a_certificate_nor_a_checkpoint_is_taken_for_the_other() -> None:
    checkpoint = sign_checkpoint(Checkpoint(origin=LOG, size=1, root=bytes(32)), PRIVATE)
    with pytest.raises(CertificateInvalid, match="first line"):
        read_certificate(checkpoint, KEY)
    with pytest.raises(CheckpointInvalid, match="three lines"):
        read_checkpoint(sign_certificate(CERTIFICATE, PRIVATE), KEY)


def test_a_certificate_of_another_journal_or_key_is_refused() -> None:
    note = sign_certificate(CERTIFICATE, PRIVATE)
    with pytest.raises(CertificateInvalid, match="another journal"):
        read_certificate(note, verifier_key("portcullis/journal/other", PRIVATE))
    with pytest.raises(CertificateInvalid, match="not signed by this key"):
        read_certificate(note, verifier_key(LOG, Ed25519PrivateKey.from_private_bytes(bytes(32))))


def test_a_verifier_key_that_is_none_is_refused() -> None:
    with pytest.raises(CertificateInvalid, match="verifier key"):
        read_certificate_key("portcullis/journal/a1b2c3")


@given(st.data())
def test_a_certificate_that_was_changed_anywhere_is_refused(data: st.DataObject) -> None:
    note = sign_certificate(CERTIFICATE, PRIVATE)
    place = data.draw(st.integers(0, len(note) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != note[place]))
    with pytest.raises(CertificateInvalid):
        read_certificate(note[:place] + other + note[place + 1 :], KEY)


def signed(change: Callable[[str], str]) -> str:
    return sign_note(change(CERTIFICATE.text()), LOG, PRIVATE)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda text: text.replace(ORIGIN, "certificate/"), "first line"),
        (lambda text: text.replace("list: court\n", ""), "in this order"),
        (lambda text: text.replace("list: court\nauthority: Demonstration Court\n", "authority: a\nlist: b\n"), "order"),
        (lambda text: text.replace("list: court\n", "list: court\nlist: court\n"), "order"),
        (lambda text: text.replace("list: court\n", "list: \n"), "list is empty"),
        (lambda text: text.replace("list: court\n", "list: co\u202eurt\n"), "list is empty, or has"),
        (lambda text: text.replace("change: 42", "change: 042"), "number"),
        (lambda text: text.replace("change: 42", "change: 43"), "does not include the change"),
        (lambda text: text.replace("left at: 2027", "left at: 27"), "time"),
        (lambda text: text.replace("left at: 2027", "left at: 1927"), "time"),
        (lambda text: text.replace("hosts: 2", "hosts: 3"), "as many host lines"),
        (lambda text: text.replace("gateway-2", "gateway-1"), "order of their names"),
        (lambda text: text.replace("gateway-2", "a"), "order of their names"),
        (lambda text: text.replace("host: gateway-2 18", "host: gateway-2 18 18"), "host: NAME"),
        (lambda text: text.replace("host: gateway-2", "hosts: gateway-2"), "host: NAME"),
        (lambda text: text + "more\n", "host: NAME"),
    ],
)
def test_a_certificate_in_another_form_is_refused_even_when_it_is_signed(change: Callable[[str], str], what: str) -> None:
    with pytest.raises(CertificateInvalid, match=what):
        read_certificate(signed(change), KEY)


def test_one_without_hosts_is_refused() -> None:
    none = msgspec.structs.replace(CERTIFICATE, hosts=())
    with pytest.raises(CertificateInvalid, match="or none"):
        read_certificate(sign_note(none.text(), LOG, PRIVATE), KEY)
    with pytest.raises(ValueError, match="or none"):
        sign_certificate(none, PRIVATE)


@pytest.mark.parametrize(
    "changes",
    [
        {"log": "two words"},
        {"case_reference": "one\nlist: two"},
        {"case_reference": ""},
        {"ground": "-"},
        {"change": 43},
        {"hosts": (Dropped(host="a b", version=1, registry_seq=42, at=0),)},
    ],
)
def test_what_could_not_be_read_is_not_signed(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="certificate"):
        sign_certificate(msgspec.structs.replace(CERTIFICATE, **changes), PRIVATE)
