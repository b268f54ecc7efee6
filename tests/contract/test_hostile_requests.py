"""Requests that no client of ours sends, on every transport: what fuzzing has found is refused in the usual way."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import grpc
import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from portcullis.config import Transport
from portcullis.domain.errors import InvalidRequest
from portcullis.gateway.messages.requests import bounded_reference, parse_texts
from portcullis.v1 import admin_service_pb2, redress_service_pb2, types_pb2
from portcullis.v1 import registry_service_pb2 as pb
from tests.support.gateways import refusal
from tests.support.staff import Staff, an_entry, running_staff, staff_home

NO_MESSAGE = b"\x0c"
"""The end of a group that has not begun."""


@pytest.fixture(params=get_args(Transport))
async def staff(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Staff]:
    with staff_home(tmp_path) as home:
        async with running_staff(request.param, home) as running:
            yield running


@pytest.mark.parametrize(
    ("method", "request_", "key", "field"),
    [
        ("RedressService/GetCase", redress_service_pb2.GetCaseRequest(case_id="a\0b"), "auditor-key", "case_id"),
        ("RegistryService/GetEntry", pb.GetEntryRequest(list="court", key="\0"), "auditor-key", "key"),
        ("RegistryService/RunBulk", pb.RunBulkRequest(query=pb.EntryQuery(list="\0")), "editor-key", "query.list"),
        ("AdminService/RevokeApiKey", admin_service_pb2.RevokeApiKeyRequest(key_id="\0"), "operator-key", "key_id"),
        ("AdminService/GetDecision", admin_service_pb2.GetDecisionRequest(decision_id="\0"), "auditor-key", "decision_id"),
    ],
)
async def test_nul_in_a_text_names_its_field_whatever_store_is_behind(
    staff: Staff, method: str, request_: pb.GetEntryRequest, key: str, field: str
) -> None:
    code, reason, fields, _ = await refusal(staff.bench.call(method, request_.SerializeToString(), key=key))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", [field]) == (code, reason, fields)


async def test_an_entry_with_nul_in_it_is_refused_field_by_field(staff: Staff) -> None:
    entry = an_entry(1, names=["fine", "\0"], case_reference="\0")
    _, _, fields, _ = await refusal(staff.put(entry))
    assert ["entry.names[1]", "entry.case_reference"] == fields


@pytest.mark.parametrize("method", ["CheckService/Check", "CheckService/BatchCheck", "CallerService/LookupCaller"])
async def test_a_call_that_is_refused_gets_its_status_alone_and_no_message(staff: Staff, method: str) -> None:
    # Envoy tries a call again by its status only where no message came before it.
    call = staff.bench.channel.unary_stream(f"/portcullis.v1.{method}")(NO_MESSAGE, timeout=10)
    code, *_ = await refusal(call.read())

    assert grpc.StatusCode.UNAUTHENTICATED == code


@pytest.mark.parametrize("method", ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"])
async def test_bytes_that_are_no_message_are_refused_by_health_too_and_fill_no_log(
    staff: Staff, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        call = staff.bench.channel.unary_stream(f"/{method}")(NO_MESSAGE, timeout=10)
        code, reason, _, _ = await refusal(call.read())
    assert (grpc.StatusCode.INVALID_ARGUMENT, "UNPARSABLE", []) == (code, reason, caplog.records)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_bytes_that_are_no_message_are_refused_by_reflection_too_and_fill_no_log(
    staff: Staff, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    with caplog.at_level(logging.WARNING):
        call = staff.bench.channel.stream_stream(path)(iter([NO_MESSAGE]), timeout=10)
        code, reason, _, _ = await refusal(call.read())
    assert (grpc.StatusCode.INVALID_ARGUMENT, "UNPARSABLE", []) == (code, reason, caplog.records)


async def test_health_answers_and_knows_no_strangers(staff: Staff) -> None:
    check = staff.bench.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = health_pb2.HealthCheckResponse.FromString(await check(b"", timeout=10))
    assert health_pb2.HealthCheckResponse.SERVING == answer.status
    code, _, _, _ = await refusal(check(health_pb2.HealthCheckRequest(service="x").SerializeToString(), timeout=10))
    assert grpc.StatusCode.NOT_FOUND == code


async def test_without_a_word_of_any_host_a_certificate_is_not_there_yet_and_says_why(staff: Staff) -> None:
    await staff.put(an_entry(1))
    release = pb.ReleaseEntryRequest(list="court", key="key-1", ground=pb.RELEASE_GROUND_PERFORMED, why="done")
    await staff.call("RegistryService/ReleaseEntry", release, pb.ReleaseEntryResponse, "editor-key")
    body = pb.GetReleaseCertificateRequest(list="court", key="key-1").SerializeToString()
    code, reason, _, _ = await refusal(staff.bench.call("RegistryService/GetReleaseCertificate", body, key="auditor-key"))
    assert (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE") == (code, reason)


@given(st.lists(st.text(max_size=8), max_size=4), st.text(max_size=8), st.integers(-(2**63), 2**63 - 1))
def test_exactly_the_texts_with_nul_are_named(names: list[str], key: str, version: int) -> None:
    entry = pb.Entry(names=names, key=key, identifiers=[types_pb2.Identifier(kind=key)])
    body = pb.PutEntryRequest(entry=entry, expected_version=version).SerializeToString()
    expected = {f"entry.names[{place}]" for place, name in enumerate(names) if "\0" in name}
    expected |= {"entry.key", "entry.identifiers[0].kind"} if "\0" in key else set()
    named: set[str] = set()
    try:
        parse_texts(pb.PutEntryRequest, body)
    except InvalidRequest as fault:
        named = {each.field for each in fault.violations}
    assert expected == named


def test_a_partners_reference_holds_no_nul() -> None:
    with pytest.raises(InvalidRequest) as caught:
        bounded_reference("order\0")
    assert ["partner_reference"] == [each.field for each in caught.value.violations]
