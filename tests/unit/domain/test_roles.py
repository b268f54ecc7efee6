"""The table of roles: a row for every method that can be served, and no other."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from portcullis.domain.entry_life import BULK_STEPS, Step
from portcullis.domain.roles import BULK, KEY_ROLES, MATRIX, ROWS, Role, roles_of
from portcullis.v1 import (
    admin_service_pb2,
    caller_service_pb2,
    check_service_pb2,
    redress_service_pb2,
    registry_service_pb2,
    sharing_service_pb2,
)
from tools.roles_page import PAGE, page

OURS = (
    admin_service_pb2,
    caller_service_pb2,
    check_service_pb2,
    redress_service_pb2,
    registry_service_pb2,
    sharing_service_pb2,
)
STANDARD = (health_pb2, reflection_pb2)
CHANGING = frozenset(
    f"portcullis.v1.{method}"
    for method in (
        "RegistryService/ImportEntries",
        "RegistryService/ApproveImport",
        "RegistryService/RejectImport",
        "RegistryService/PutEntry",
        "RegistryService/AddIdentifiers",
        "RegistryService/ApproveEntry",
        "RegistryService/RejectEntry",
        "RegistryService/ReleaseEntry",
        "RegistryService/WithdrawEntry",
        "RegistryService/RunBulk",
        "RegistryService/SuspendList",
        "RegistryService/ResumeList",
        "RegistryService/ObjectToRelease",
        "RegistryService/RunRetention",
        "RedressService/IssueSubjectCode",
        "RedressService/OpenDispute",
        "RedressService/AddEvidence",
        "RedressService/AssignReviewer",
        "RedressService/TellSource",
        "RedressService/Stay",
        "RedressService/LiftStay",
        "RedressService/ExtendDispute",
        "RedressService/Resolve",
        "RedressService/IssueRedressNumber",
        "RedressService/RevokeRedressNumber",
        "RedressService/EraseSubject",
        "AdminService/CreateApiKey",
        "AdminService/RevokeApiKey",
        "AdminService/RotateApiKey",
        "SharingService/ReportEvents",
        "SharingService/StreamEvents",
    )
)


def served() -> set[str]:
    """Every method of every service, as its descriptor names it; reflection is served under its later name too."""
    services = [service for file in (*OURS, *STANDARD) for service in file.DESCRIPTOR.services_by_name.values()]
    names = {f"{service.full_name}/{method}" for service in services for method in methods(service)}
    return names | {"grpc.reflection.v1.ServerReflection/ServerReflectionInfo"}


def methods(service: ServiceDescriptor) -> list[str]:
    return [method.name for method in service.methods]


def test_every_method_has_a_row_and_no_row_is_of_another() -> None:
    assert served() == set(MATRIX)


def test_each_method_has_one_row_with_somebody_in_it() -> None:
    assert len(ROWS) == len(MATRIX)
    assert all(row.roles for row in ROWS)


def test_a_method_without_a_row_is_refused_by_its_name() -> None:
    with pytest.raises(LookupError, match=r"RegistryService/DropEverything has no row in portcullis\.domain\.roles"):
        roles_of("portcullis.v1.RegistryService/DropEverything")


def test_whoever_needs_no_credential_is_named_alone() -> None:
    assert {frozenset({Role.ANYONE})} == {row.roles for row in ROWS if Role.ANYONE in row.roles}


def test_an_auditor_changes_nothing() -> None:
    assert set() == {row.method for row in ROWS if Role.AUDITOR in row.roles} & CHANGING


def test_no_one_person_both_puts_in_and_decides_disputes() -> None:
    deciding = MATRIX["portcullis.v1.RedressService/Resolve"]
    for method in ("PutEntry", "ImportEntries", "ApproveEntry", "ApproveImport"):
        assert frozenset() == deciding & MATRIX[f"portcullis.v1.RegistryService/{method}"]


def test_an_operator_does_not_see_who_an_entry_is_about_and_decides_no_dispute() -> None:
    denied = ("RegistryService/RevealEntry", "RedressService/Resolve", "RedressService/Stay", "RedressService/GetMyRecord")
    assert [False] * 4 == [Role.OPERATOR in MATRIX[f"portcullis.v1.{method}"] for method in denied]


def test_no_key_is_a_subjects_or_anyones() -> None:
    assert {*Role} - {Role.SUBJECT, Role.ANYONE} == {*KEY_ROLES}


def test_a_step_on_many_entries_is_for_those_who_may_take_it_on_one() -> None:
    ones = {Step.APPROVE: "ApproveEntry", Step.RENEW: "PutEntry", Step.RELEASE: "ReleaseEntry"}
    assert {step: MATRIX[f"portcullis.v1.RegistryService/{ones[step]}"] for step in BULK_STEPS} == dict(BULK)
    running = MATRIX["portcullis.v1.RegistryService/RunBulk"]
    assert running == frozenset().union(*BULK.values())


def test_the_page_of_roles_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python tools/roles_page.py`"
