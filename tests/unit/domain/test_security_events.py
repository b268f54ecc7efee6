"""The claims of Security Event Tokens: the examples of the specifications read, and what breaks them is refused."""

from __future__ import annotations

from typing import Any

import pytest

from portcullis.domain.changes import ChangeKind
from portcullis.domain.security_events import (
    CHANGE_TYPES,
    REPORT_TYPES,
    SetInvalid,
    check_shared_signals,
    read_claims,
)
from portcullis.domain.shared_events import EventKind

# RFC 8417, section 2.1: figures 1 to 4.
PASSWORD_RESET: dict[str, Any] = {
    "iss": "https://scim.example.com",
    "iat": 1458496025,
    "jti": "3d0c3cf797584bd193bd0fb1bd4e7d30",
    "aud": [
        "https://jhub.example.com/Feeds/98d52461fa5bbc879593b7754",
        "https://jhub.example.com/Feeds/5d7604516b1d08641d7676ee7",
    ],
    "sub": "https://scim.example.com/Users/44f6142df96bd6ab61e7521d9",
    "events": {
        "urn:ietf:params:scim:event:passwordReset": {"id": "44f6142df96bd6ab61e7521d9"},
        "https://example.com/scim/event/passwordResetExt": {"resetAttempts": 5},
    },
}
LOGOUT: dict[str, Any] = {
    "iss": "https://server.example.com",
    "sub": "248289761001",
    "aud": "s6BhdRkqt3",
    "iat": 1471566154,
    "jti": "bWJq",
    "sid": "08a5019c-17e1-4977-8f42-65a12843ea02",
    "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
}
CONSENT: dict[str, Any] = {
    "iss": "https://my.med.example.org",
    "iat": 1458496025,
    "jti": "fb4e75b5411e4e19b6c0fe87950f7749",
    "aud": ["https://rp.example.com"],
    "events": {
        "https://openid.net/heart/specs/consent.html": {
            "iss": "https://connect.example.com",
            "sub": "248289761001",
            "consentUri": ["https://terms.examplemed.org/labdisclosure.html#Agree"],
        }
    },
}
ACCOUNT_DISABLED: dict[str, Any] = {
    "iss": "https://idp.example.com/",
    "jti": "756E69717565206964656E746966696572",
    "iat": 1508184845,
    "aud": "636C69656E745F6964",
    "events": {
        "https://schemas.openid.net/secevent/risc/event-type/account-disabled": {
            "subject": {"subject_type": "iss-sub", "iss": "https://idp.example.com/", "sub": "7375626A656374"},
            "reason": "hijacking",
        }
    },
}

# Shared Signals 1.0, section 8.1: the verification and the stream-updated event.
VERIFICATION_SET: dict[str, Any] = {
    "jti": "123456",
    "iss": "https://transmitter.example.com",
    "aud": "receiver.example.com",
    "iat": 1493856000,
    "sub_id": {"format": "opaque", "id": "f67e39a0a4d34d56b3aa1bc4cff0069f"},
    "events": {
        "https://schemas.openid.net/secevent/ssf/event-type/verification": {
            "state": "VGhpcyBpcyBhbiBleGFtcGxlIHN0YXRlIHZhbHVlLgo="
        }
    },
}
STREAM_UPDATED_SET: dict[str, Any] = {
    "jti": "123456",
    "iss": "https://transmitter.example.com",
    "aud": "receiver.example.com",
    "iat": 1493856000,
    "sub_id": {"format": "opaque", "id": "f67e39a0a4d34d56b3aa1bc4cff0069f"},
    "events": {
        "https://schemas.openid.net/secevent/ssf/event-type/stream-updated": {
            "status": "paused",
            "reason": "License is not valid",
        }
    },
}


@pytest.mark.parametrize(
    "claims",
    [PASSWORD_RESET, LOGOUT, CONSENT, ACCOUNT_DISABLED, VERIFICATION_SET, STREAM_UPDATED_SET],
    ids=["password-reset", "logout", "consent", "account-disabled", "verification", "stream-updated"],
)
def test_the_examples_of_the_specifications_read(claims: dict[str, Any]) -> None:
    event = read_claims(claims)

    assert (claims["iss"], claims["iat"], claims["jti"]) == (event.issuer, event.issued_at, event.id)
    assert claims["events"] == event.events
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    assert tuple(audience) == event.audience


@pytest.mark.parametrize("claims", [VERIFICATION_SET, STREAM_UPDATED_SET], ids=["verification", "stream-updated"])
def test_the_examples_of_shared_signals_keep_its_profile(claims: dict[str, Any]) -> None:
    check_shared_signals(read_claims(claims))


@pytest.mark.parametrize("claims", [PASSWORD_RESET, LOGOUT, CONSENT, ACCOUNT_DISABLED])
def test_a_token_of_another_profile_is_none_of_shared_signals(claims: dict[str, Any]) -> None:
    with pytest.raises(SetInvalid):
        check_shared_signals(read_claims(claims))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": None},
        {"iss": ""},
        {"iss": 5},
        {"iat": None},
        {"iat": "1493856000"},
        {"iat": True},
        {"iat": -1},
        {"jti": None},
        {"jti": 7},
        {"aud": 5},
        {"aud": ["a", 5]},
        {"aud": [""]},
        {"events": None},
        {"events": {}},
        {"events": []},
        {"events": {"urn:x:y": None}},
        {"events": {"urn:x:y": []}},
        {"events": {"no uri": {}}},
        {"events": {"": {}}},
        {"sub": ""},
        {"sub_id": None},
        {"sub_id": "f67e"},
        {"sub_id": {"id": "f67e"}},
        {"sub_id": {"format": ""}},
        {"toe": "then"},
        {"txn": 5},
    ],
    ids=str,
)
def test_a_claim_that_breaks_the_specification_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SetInvalid) as refusal:
        read_claims(VERIFICATION_SET | change)

    assert refusal.value.message.startswith(next(iter(change)))


@pytest.mark.parametrize("claims", [None, [], "text", 5], ids=str)
def test_claims_that_are_no_object_are_refused(claims: object) -> None:
    with pytest.raises(SetInvalid):
        read_claims(claims)


@pytest.mark.parametrize(
    "change",
    [{"sub": "somebody"}, {"exp": 1493856001}, {"events": VERIFICATION_SET["events"] | STREAM_UPDATED_SET["events"]}],
    ids=["sub", "exp", "events"],
)
def test_what_shared_signals_forbids_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SetInvalid):
        check_shared_signals(read_claims(VERIFICATION_SET | change))


def test_every_kind_has_a_name_of_its_own_that_is_a_uri() -> None:
    names = [*CHANGE_TYPES.values(), *REPORT_TYPES.values()]

    assert len(ChangeKind) + len(EventKind) == len(set(names))
    assert "urn:portcullis:change:entry-added" == CHANGE_TYPES[ChangeKind.ENTRY_ADDED]
    assert "urn:portcullis:report:settlement-claimed" == REPORT_TYPES[EventKind.SETTLEMENT_CLAIMED]
    read_claims(VERIFICATION_SET | {"events": {name: {} for name in names}})
