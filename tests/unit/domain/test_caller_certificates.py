"""Callers' certificates: which names count, when one is refused, and how a revoked one is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.caller_certificates import CallerCertificate, counted_names, is_certificate_name, read_mark
from portcullis.domain.errors import InvalidRequest

SPIFFE = "spiffe://bank.example/checkout"


def certificate(**changes: object) -> CallerCertificate:
    values: dict[str, object] = {
        "serial": "a1b",
        "key_digest": "0" * 64,
        "names": frozenset({SPIFFE}),
        "not_before": 100.0,
        "not_after": 200.0,
    }
    return CallerCertificate(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("now", "refused"), [(99.9, True), (100.0, False), (199.9, False), (200.0, True)])
def test_a_certificate_is_good_from_its_beginning_until_just_before_its_end(now: float, refused: bool) -> None:
    assert refused is certificate().is_refused(now, ())


@pytest.mark.parametrize("mark", ["a1b", "0" * 64])
def test_a_revoked_certificate_or_key_is_refused(mark: str) -> None:
    assert certificate().is_refused(150.0, {mark})
    assert not certificate().is_refused(150.0, {mark + "0", "b"})


def test_what_a_refused_proxy_tells_is_refused_with_it() -> None:
    told = certificate(via=certificate(serial="c2", not_after=160.0))
    assert [False, True, True] == [
        told.is_refused(150.0, ()),
        told.is_refused(170.0, ()),
        told.is_refused(150.0, {"c2"}),
    ]


@pytest.mark.parametrize(
    ("uris", "dns_names", "counted"),
    [
        ([SPIFFE], [], {SPIFFE}),
        ([SPIFFE], ["Bank.Example"], {SPIFFE, "bank.example"}),
        ([SPIFFE, "https://bank.example/x"], ["bank.example"], {"bank.example"}),
        ([SPIFFE, SPIFFE + "/2"], [], set()),
        (["https://bank.example/x", "urn:uuid:1"], [], {"https://bank.example/x"}),
        ([], ["*.bank.example", SPIFFE, "bank example", "a" * 64 + ".example"], set()),
    ],
)
def test_names_count_as_the_rules_say(uris: list[str], dns_names: list[str], counted: set[str]) -> None:
    assert counted == counted_names(uris, dns_names)


@pytest.mark.parametrize("name", [SPIFFE, "spiffe://bank.example/a/b-1", "bank.example", "https://bank.example/x", "host"])
def test_a_policy_names_a_certificate_by_a_spiffe_id_another_uri_or_a_dns_name(name: str) -> None:
    assert is_certificate_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*.bank.example",
        "Bank.example",
        "bank.example.",
        "a bank",
        "spiffe://",
        "spiffe://bank.example",
        "spiffe://bank.example/",
        "spiffe://Bank.example/x",
        "spiffe://bank.example/../x",
        "spiffe://bank.example/x?y",
        "x" * 256,
        "CN=bank",
    ],
)
def test_anything_else_names_no_certificate(name: str) -> None:
    assert not is_certificate_name(name)


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_a_dns_name_is_never_taken_for_a_uri(uris: list[str], dns_names: list[str]) -> None:
    counted = counted_names(uris, dns_names)
    assert {name for name in counted if "://" in name} <= set(uris)


@pytest.mark.parametrize("written", ["0A:1B", "a1b", "0x0a1b", " A1B\n", "00000a1b"])
def test_a_serial_number_is_read_however_it_is_written(written: str) -> None:
    assert "a1b" == read_mark(written)


@given(st.integers(1, 2**160 - 1))
def test_every_serial_number_is_its_own_mark(serial: int) -> None:
    assert f"{serial:x}" == read_mark(f"{serial:X}") == read_mark(serial.to_bytes(20, "big").hex(":"))


def test_a_keys_digest_keeps_its_zeros() -> None:
    assert "0" * 62 + "ab" == read_mark("00:" * 31 + "AB")


@pytest.mark.parametrize("written", ["", "0", "00:00", "nonsense", "a1b-", "-1", "f" * 41, "f" * 63, "f" * 65])
def test_what_is_neither_is_refused_without_being_repeated(written: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^certificate: ") as caught:
        read_mark(written)
    assert not written.strip("0:") or written not in str(caught.value)
