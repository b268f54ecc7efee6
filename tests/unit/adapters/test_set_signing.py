"""Signing tokens with the key file, and reading them as a receiver does."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey

from portcullis.adapters.set_reading import MAX_TOKEN_BYTES, parse_set
from portcullis.adapters.set_signing import SET_KEY, FileSigner, ensure_set_key, rotate_set_key
from portcullis.domain.errors import SetupFault
from portcullis.domain.security_events import VERIFICATION, SetInvalid

ISSUER = "https://portcullis.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "receiver.example",
    "iat": 1493856000,
    "jti": "stream-1",
    "sub_id": {"format": "opaque", "id": "stream"},
    "events": {VERIFICATION: {"state": "s"}},
}


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    ensure_set_key(tmp_path)
    return FileSigner(tmp_path)


def parsed(signer: FileSigner, token: str, **given: Any) -> Any:
    return parse_set(token, given.pop("jwks", signer.jwks()), **({"issuer": ISSUER, "audience": "receiver.example"} | given))


def signed(key: Any, alg: str, header: dict[str, str] | None = None, claims: object = CLAIMS) -> str:
    head = {"alg": alg, "typ": "secevent+jwt", "kid": key.kid} | (header or {})
    return jws.serialize_compact(head, json.dumps(claims).encode(), key, algorithms=[alg])


def test_the_key_file_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    assert ensure_set_key(tmp_path)
    before = (tmp_path / SET_KEY).read_bytes()

    assert not ensure_set_key(tmp_path)

    assert before == (tmp_path / SET_KEY).read_bytes()
    assert 0o600 == stat.S_IMODE((tmp_path / SET_KEY).stat().st_mode)


def test_a_token_is_typed_and_is_believed(signer: FileSigner) -> None:
    token = signer.sign(CLAIMS)

    header = jws.extract_compact(token.encode()).protected
    assert ("ES256", "secevent+jwt", signer.jwks()["keys"][0]["kid"]) == (header["alg"], header["typ"], header["kid"])
    event = parsed(signer, token)
    assert ("stream-1", {VERIFICATION: {"state": "s"}}) == (event.id, event.events)


def test_after_a_rotation_both_keys_are_shown_and_the_new_one_signs(signer: FileSigner, tmp_path: Path) -> None:
    old = signer.sign(CLAIMS)

    kid = rotate_set_key(tmp_path)

    new = signer.sign(CLAIMS)
    assert kid == jws.extract_compact(new.encode()).protected["kid"]
    assert 2 == len(signer.jwks()["keys"])
    for token in (old, new):
        assert "stream-1" == parsed(signer, token).id
    rotate_set_key(tmp_path)
    with pytest.raises(SetInvalid) as refusal:
        parsed(signer, old)
    assert "invalid_key" == refusal.value.err
    assert 0o600 == stat.S_IMODE((tmp_path / SET_KEY).stat().st_mode)
    assert 1 == sum("d" in each for each in json.loads((tmp_path / SET_KEY).read_text())["keys"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "EC"}]}', '{"keys": [5]}', "\x00"])
def test_a_key_file_that_holds_no_key_is_a_fault_of_the_setup(tmp_path: Path, text: str) -> None:
    (tmp_path / SET_KEY).write_text(text)

    with pytest.raises(SetupFault, match=r"set\.key"):
        FileSigner(tmp_path)
    with pytest.raises(SetupFault, match=r"set\.key"):
        rotate_set_key(tmp_path)


def test_a_public_key_alone_does_not_sign(tmp_path: Path) -> None:
    key = ECKey.generate_key("P-256", auto_kid=True)
    (tmp_path / SET_KEY).write_text(json.dumps({"keys": [key.as_dict(private=False)]}))

    with pytest.raises(SetupFault, match="private"):
        FileSigner(tmp_path)


def test_a_key_file_that_is_missing_is_a_fault_of_the_setup(tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match=r"set\.key"):
        FileSigner(tmp_path)


# --- what is not believed ------------------------------------------------------------


def test_a_token_by_ed25519_is_believed_too(signer: FileSigner) -> None:
    key = OKPKey.generate_key("Ed25519", auto_kid=True)

    event = parsed(signer, signed(key, "Ed25519"), jwks={"keys": [key.as_dict(private=False)]})

    assert "stream-1" == event.id


@pytest.mark.parametrize(
    ("given", "err"),
    [({"issuer": "https://other.example"}, "invalid_issuer"), ({"audience": "other.example"}, "invalid_audience")],
)
def test_a_token_of_others_is_not_believed(signer: FileSigner, given: dict[str, str], err: str) -> None:
    with pytest.raises(SetInvalid) as refusal:
        parsed(signer, signer.sign(CLAIMS), **given)

    assert err == refusal.value.err


def test_a_token_that_was_changed_is_not_believed(signer: FileSigner) -> None:
    head, payload, mark = signer.sign(CLAIMS).split(".")
    other = base64.urlsafe_b64encode(json.dumps(CLAIMS | {"jti": "other"}).encode()).decode().rstrip("=")

    for token in (f"{head}.{other}.{mark}", f"{head}.{payload}.{mark[:-4]}AAAA"):
        with pytest.raises(SetInvalid) as refusal:
            parsed(signer, token)
        assert "authentication_failed" == refusal.value.err


def test_an_unsecured_token_is_not_believed(signer: FileSigner) -> None:
    # The header of the unsecured example of RFC 8417, section 2.4.
    payload = base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).decode().rstrip("=")

    with pytest.raises(SetInvalid) as refusal:
        parsed(signer, f"eyJ0eXAiOiJzZWNldmVudCtqd3QiLCJhbGciOiJub25lIn0.{payload}.")

    assert "invalid_key" == refusal.value.err


def test_a_token_by_a_shared_secret_is_not_believed(signer: FileSigner) -> None:
    # The public key taken for a secret is the classic confusion.
    secret = OctKey.import_key(b"0" * 32, {"kid": signer.jwks()["keys"][0]["kid"]})

    with pytest.raises(SetInvalid):
        parsed(signer, signed(secret, "HS256"))


@pytest.mark.parametrize("typ", ["JWT", "application/secevent+jwt", ""])
def test_a_token_of_another_type_is_not_believed(signer: FileSigner, tmp_path: Path, typ: str) -> None:
    key = ECKey.import_key(json.loads((tmp_path / SET_KEY).read_text())["keys"][0])

    with pytest.raises(SetInvalid, match="typ"):
        parsed(signer, signed(key, "ES256", {"typ": typ}))


@pytest.mark.parametrize("change", [{"exp": 1}, {"sub": "x"}, {"sub_id": {}}, {"events": {}}, {"iat": None}], ids=str)
def test_claims_that_break_the_profile_are_not_believed(signer: FileSigner, change: dict[str, Any]) -> None:
    with pytest.raises(SetInvalid) as refusal:
        parsed(signer, signer.sign(CLAIMS | change))

    assert "invalid_request" == refusal.value.err


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "..", "\N{GREEK SMALL LETTER ALPHA}.b.c", "a" * (MAX_TOKEN_BYTES + 1)]
)
def test_what_is_no_token_is_refused(signer: FileSigner, token: str) -> None:
    with pytest.raises(SetInvalid) as refusal:
        parsed(signer, token)

    assert "invalid_request" == refusal.value.err


def test_claims_that_are_no_json_are_refused(signer: FileSigner, tmp_path: Path) -> None:
    key = ECKey.import_key(json.loads((tmp_path / SET_KEY).read_text())["keys"][0])
    token = jws.serialize_compact(
        {"alg": "ES256", "typ": "secevent+jwt", "kid": key.kid}, b"\xff{", key, algorithms=["ES256"]
    )

    with pytest.raises(SetInvalid):
        parsed(signer, token)
