"""Admission: which caller a header names, and whom a method lets in."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from portcullis.domain.caller_certificates import CallerCertificate
from portcullis.domain.errors import RoleRequired, Unauthenticated
from portcullis.domain.policies import Credentials, Partner
from portcullis.domain.roles import Role, roles_of
from portcullis.gateway import admission
from portcullis.gateway.admission import Caller, Callers
from portcullis.gateway.front import Front
from portcullis.metrics import CheckTally
from portcullis.v1 import registry_service_pb2 as pb
from tests.support.gateways import credential

SESSION = "pcs_a-session-of-a-test"
ASKING = roles_of("portcullis.v1.CheckService/Check")
READING = roles_of("portcullis.v1.RegistryService/GetEntry")
OBJECTING = roles_of("portcullis.v1.RedressService/OpenDispute")


@pytest.fixture
def callers() -> Callers:
    return Callers([credential("lender-key", "lender"), credential("rita-key", "rita", "reviewer")])


def header(key: str) -> list[tuple[str, str | bytes]]:
    return [("user-agent", "test"), ("authorization", f"Bearer {key}")]


def test_a_key_names_its_holder_role_and_id(callers: Callers) -> None:
    assert Caller("lender", "partner", "id-lender-key") == callers.admit(header("lender-key"), ASKING)
    assert "rita" == callers.admit(header("rita-key"), READING).holder


def test_a_good_key_of_another_role_is_told_which_roles_may(callers: Callers) -> None:
    with pytest.raises(RoleRequired) as caught:
        callers.admit(header("lender-key"), READING)
    assert {"role": "auditor, authority-approver, authority-editor, operator, reviewer"} == caught.value.metadata
    assert "lender" not in caught.value.message


GIVEN = ["Basic lender-key", "Bearer", "Bearer ", "Bearer other-key", "lender-key", "Bearer ended-key", "Bearer revoked-key"]


@pytest.mark.parametrize("given", GIVEN)
def test_what_is_no_key_in_force_has_one_answer(given: str) -> None:
    # Of a revoked key, an edition has nothing any more; of one that ends by the clock it has.
    before = [credential("lender-key", "lender"), credential("revoked-key", "lender")]
    assert "lender" == Callers(before).admit(header("revoked-key"), ASKING).holder
    callers = Callers([before[0], credential("ended-key", "lender", expires_at=100.0)], now=lambda: 100.0)
    answers = []
    for metadata in ([("authorization", given)], []):
        with pytest.raises(Unauthenticated) as caught:
            callers.admit(metadata, ASKING)
        answers.append((type(caught.value), caught.value.message, caught.value.metadata))
    assert 1 == len({repr(each) for each in answers})


def test_a_digest_is_compared_in_constant_time(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    monkeypatch.setattr(admission, "compare_digest", compare)
    assert "lender" == callers.admit(header("lender-key"), ASKING).holder
    digest = sha256(b"lender-key").digest()
    assert [(digest, digest)] == [(bytes(one), bytes(other)) for one, other in compared]


def test_a_role_that_this_release_does_not_know_opens_nothing() -> None:
    later = Callers([credential("key", "someone", "role-of-a-later-release")])
    for roles in (ASKING, READING, OBJECTING):
        with pytest.raises(RoleRequired):
            later.admit(header("key"), roles)


def test_a_subjects_session_opens_what_subjects_may_and_nothing_else(callers: Callers) -> None:
    assert (Role.SUBJECT, SESSION) == callers.admit(header(SESSION), OBJECTING)[1::2]
    for roles in (ASKING, READING):
        with pytest.raises(RoleRequired):
            callers.admit(header(SESSION), roles)


def test_a_session_is_neither_shown_nor_kept_nor_longer_than_one_can_be(callers: Callers) -> None:
    for number in range(100):
        caller = callers.admit(header(f"{SESSION}{number}"), OBJECTING)
        assert SESSION not in repr(caller)
    assert {} == callers._by_header
    with pytest.raises(Unauthenticated):
        callers.admit(header(SESSION + "x" * 256), OBJECTING)


def test_a_key_ends_by_the_clock_without_a_new_edition() -> None:
    now = 100.0
    callers = Callers([credential("lender-key", "lender", expires_at=200.0)], now=lambda: now)
    assert 200.0 == callers.admit(header("lender-key"), ASKING).until
    now = 199.9
    assert "lender" == callers.admit(header("lender-key"), ASKING).holder
    now = 200.0
    with pytest.raises(Unauthenticated):
        callers.admit(header("lender-key"), ASKING)


def test_a_key_that_has_ended_does_not_tell_by_another_roles_method_that_it_was_one() -> None:
    callers = Callers([credential("olgas-key", "olga", Role.OPERATOR, expires_at=100.0)], now=lambda: 100.0)
    with pytest.raises(Unauthenticated):
        callers.admit(header("olgas-key"), ASKING)


def test_keys_whose_digests_begin_alike_are_told_apart() -> None:
    one, other = credential("one-key", "one"), credential("other-key", "other")
    alike = msgspec.structs.replace(other, digest=one.digest[:32] + other.digest[32:])
    callers = Callers([alike, one])
    assert "one" == callers.admit(header("one-key"), ASKING).holder
    with pytest.raises(Unauthenticated):
        callers.admit(header("other-key"), ASKING)


def test_a_key_that_wants_a_certificate_beside_it_is_not_remembered_as_one_that_does_not() -> None:
    bank = Partner("bank", "A bank", (), credentials=Credentials.BOTH, certificates=("bank.example",))
    callers = Callers([credential("bank-key", "bank")], [bank], now=lambda: 150.0)
    shown = CallerCertificate("a1", "0" * 64, frozenset({"bank.example"}), 100.0, 200.0)
    assert Caller("bank", "partner", "id-bank-key") == callers.admit(header("bank-key"), ASKING, shown)
    for certificate in (None, shown._replace(names=frozenset())):
        with pytest.raises(Unauthenticated):
            callers.admit(header("bank-key"), ASKING, certificate)


def test_a_certificate_opens_what_partners_may_and_a_session_what_subjects_may() -> None:
    bank = Partner("bank", "A bank", (), credentials=Credentials.EITHER, certificates=("bank.example",))
    callers = Callers([credential("rita-key", "rita", "reviewer")], [bank], ["b2"], now=lambda: 150.0)
    shown = CallerCertificate("a1", "0" * 64, frozenset({"bank.example"}), 100.0, 200.0)
    nobodys = shown._replace(names=frozenset())
    assert Caller("bank", "partner", "") == callers.admit([], ASKING, shown)
    assert "rita" == callers.admit(header("rita-key"), READING, nobodys).holder
    assert SESSION == callers.admit(header(SESSION), OBJECTING, shown).session
    with pytest.raises(RoleRequired):
        callers.admit([], READING, shown)
    for metadata, certificate in (
        (header("rita-key"), shown),  # a person's key beside a partner's certificate
        (header("rita-key"), nobodys._replace(serial="b2")),
        (header(SESSION), shown._replace(not_after=150.0)),
        ([], nobodys),
    ):
        with pytest.raises(Unauthenticated):
            callers.admit(metadata, READING, certificate)


async def nothing(caller: Caller, request: pb.GetListRequest) -> pb.GetListResponse:
    raise NotImplementedError


def test_no_handler_is_made_for_a_method_without_a_row(callers: Callers) -> None:
    front = Front(lambda: callers, CheckTally(CollectorRegistry()))
    assert front.unary("portcullis.v1.RegistryService/GetList", pb.GetListRequest, nothing)
    with pytest.raises(LookupError, match="GetEverything has no row"):
        front.unary("portcullis.v1.RegistryService/GetEverything", pb.GetListRequest, nothing)
    for make in (front.raw_unary, front.raw_stream, front.raw_client_stream, front.raw_server_stream):
        with pytest.raises(LookupError, match="GetEverything has no row"):
            make("portcullis.v1.RegistryService/GetEverything", nothing)  # type: ignore[operator]
