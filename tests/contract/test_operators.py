"""RegistryService and AdminService over the real desks and a registry in SQLite, on every transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.config import Transport
from portcullis.domain.roles import Role, roles_of
from portcullis.gateway.messages import entries
from portcullis.gateway.registry_knowledge import RegistryKnowledge
from portcullis.v1 import admin_service_pb2 as admin
from portcullis.v1 import registry_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.decision_records import a_reason, a_record
from tests.support.gateways import Bench, arrival, refusal
from tests.support.people import resident_id
from tests.support.policies import a_list, policy
from tests.support.staff import UNTIL, StaffHome, an_entry, running_staff, staff_home

_M = TypeVar("_M", bound=Message)
PARTNER = roles_of("portcullis.v1.CheckService/Check")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StaffHome]:
    with staff_home(tmp_path) as home:
        yield home


@pytest.fixture
def registry(home: StaffHome) -> SqlRegistry:
    return home.registry


@pytest.fixture(params=get_args(Transport))
async def bench(request: pytest.FixtureRequest, home: StaffHome) -> AsyncIterator[Bench]:
    async with running_staff(request.param, home) as staff:
        yield staff.bench


async def call(bench: Bench, method: str, request: Message, kind: type[_M], key: str = "operator-key") -> _M:
    return kind.FromString(await bench.call(method, request.SerializeToString(), key=key))


async def put(bench: Bench, entry: pb.Entry) -> pb.PutEntryResponse:
    return await call(bench, "RegistryService/PutEntry", pb.PutEntryRequest(entry=entry), pb.PutEntryResponse)


async def test_an_entry_is_put_once_and_given_back_without_its_identifiers(bench: Bench) -> None:
    first, again = await put(bench, an_entry()), await put(bench, an_entry())
    assert (True, False) == (first.changed, again.changed)
    request = pb.GetEntryRequest(list="court", key="key-1")
    entry = (await call(bench, "RegistryService/GetEntry", request, pb.GetEntryResponse)).entry
    assert ("case-1", "Demonstration Act, section 1", UNTIL) == (
        entry.case_reference,
        entry.legal_basis,
        entry.until.seconds,
    )
    assert (0, 0, pb.ENTRY_STATUS_IN_FORCE) == (len(entry.identifiers), len(entry.names), entry.status)


def looks(registry: SqlRegistry, key: str = "key-1") -> list[tuple[str, str]]:
    return [(look.actor, look.purpose) for look in registry.looks("court", key)]


async def test_a_look_at_an_entry_is_noted_with_who_and_why(bench: Bench, registry: SqlRegistry) -> None:
    await put(bench, an_entry())
    for purpose in ("complaint 12", ""):
        request = pb.GetEntryRequest(list="court", key="key-1", purpose=purpose)
        await call(bench, "RegistryService/GetEntry", request, pb.GetEntryResponse)
    assert [("olga", "complaint 12"), ("olga", "operator inquiry")] == looks(registry)


async def test_each_entry_of_a_page_is_noted_as_looked_at_and_no_other(bench: Bench, registry: SqlRegistry) -> None:
    for number in range(3):
        await put(bench, an_entry(number))
    request = pb.ListEntriesRequest(list="court", page_size=2, purpose="audit 7")
    await call(bench, "RegistryService/ListEntries", request, pb.ListEntriesResponse)
    audit = [("olga", "audit 7")]
    assert [audit, audit, []] == [looks(registry, f"key-{number}") for number in range(3)]


async def test_a_purpose_that_is_too_long_is_named_and_nothing_is_given_or_noted(
    bench: Bench, registry: SqlRegistry
) -> None:
    await put(bench, an_entry())
    for method, request in (
        ("GetEntry", pb.GetEntryRequest(list="court", key="key-1", purpose="x" * 129)),
        ("ListEntries", pb.ListEntriesRequest(list="court", purpose="x" * 129)),
    ):
        code, _, fields, text = await refusal(
            bench.call(f"RegistryService/{method}", request.SerializeToString(), key="operator-key")
        )
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["purpose"]) == (code, fields)
        assert "xxx" not in text
    assert [] == looks(registry)


async def test_an_entry_that_is_not_there_is_noted_by_no_look(bench: Bench, registry: SqlRegistry) -> None:
    request = pb.GetEntryRequest(list="court", key="key-1", purpose="complaint 12")
    code, _, _, _ = await refusal(bench.call("RegistryService/GetEntry", request.SerializeToString(), key="operator-key"))
    await put(bench, an_entry())
    assert (grpc.StatusCode.NOT_FOUND, []) == (code, looks(registry))


async def test_an_amended_entry_takes_the_next_version(bench: Bench) -> None:
    await put(bench, an_entry())
    amended = await put(bench, an_entry(case_reference="case-1b"))
    assert (True, 2, "case-1b") == (amended.changed, amended.entry.version, amended.entry.case_reference)


async def test_an_entry_without_an_end_is_rejected_by_name(bench: Bench) -> None:
    entry = an_entry()
    entry.ClearField("until")
    code, reason, fields, text = await refusal(put(bench, entry))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "ENTRY_REJECTED") == (code, reason)
    assert any("until" in field for field in fields)
    assert resident_id(1).value not in text


async def test_a_withdrawn_entry_says_so(bench: Bench) -> None:
    await put(bench, an_entry())
    request = pb.WithdrawEntryRequest(list="court", key="key-1", reason="entered in error")
    gone = await call(bench, "RegistryService/WithdrawEntry", request, pb.WithdrawEntryResponse)
    assert pb.ENTRY_STATUS_WITHDRAWN == gone.entry.status


async def test_what_is_not_there_is_not_found(bench: Bench) -> None:
    for method, request in (
        ("GetEntry", pb.GetEntryRequest(list="court", key="none")),
        ("GetList", pb.GetListRequest(name="none")),
        ("WithdrawEntry", pb.WithdrawEntryRequest(list="court", key="none", reason="a slip")),
    ):
        code, reason, _, _ = await refusal(
            bench.call(f"RegistryService/{method}", request.SerializeToString(), key="operator-key")
        )
        assert (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") == (code, reason)


async def test_entries_are_listed_page_by_page_in_one_order(bench: Bench) -> None:
    for number in range(5):
        await put(bench, an_entry(number))
    keys, token = [], ""
    while True:
        request = pb.ListEntriesRequest(list="court", page_size=2, page_token=token)
        page = await call(bench, "RegistryService/ListEntries", request, pb.ListEntriesResponse)
        keys += [entry.key for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert [f"key-{number}" for number in range(5)] == keys


async def test_lists_are_given_with_their_measures_and_counts(bench: Bench) -> None:
    await put(bench, an_entry())
    answer = await call(bench, "RegistryService/ListLists", pb.ListListsRequest(), pb.ListListsResponse)
    assert [("bikes", 0), ("court", 1)] == [(each.name, each.entries) for each in answer.lists]
    one = await call(bench, "RegistryService/GetList", pb.GetListRequest(name="court"), pb.GetListResponse)
    assert [("loans", types_pb2.EFFECT_RESTRICT, "ALLOW")] == [
        (measure.name, measure.effect, measure.on_stale) for measure in one.list.measures
    ]


async def import_rows(bench: Bench, *parts: pb.ImportEntriesRequest) -> pb.ImportEntriesResponse:
    stream = bench.channel.stream_unary("/portcullis.v1.RegistryService/ImportEntries")(
        iter([part.SerializeToString() for part in parts]), metadata=[("authorization", "Bearer operator-key")], timeout=10
    )
    return pb.ImportEntriesResponse.FromString(await stream)


def opening(**changes: Any) -> pb.ImportEntriesRequest:
    return pb.ImportEntriesRequest(opening=pb.ImportEntriesRequest.Opening(list="court", **changes))


def rows(*entries: pb.Entry) -> pb.ImportEntriesRequest:
    return pb.ImportEntriesRequest(rows=pb.ImportEntriesRequest.Rows(entries=entries))


async def test_a_stream_of_rows_is_imported_and_its_bad_row_reported(bench: Bench) -> None:
    bad = an_entry(3)
    bad.identifiers[0].value = "110101209001011234"
    answer = await import_rows(bench, opening(), rows(an_entry(1), an_entry(2)), rows(bad))
    assert (2, 1) == (answer.added, answer.rejected)
    assert [3] == [error.row for error in answer.errors]
    assert bad.identifiers[0].value not in str(answer)


@pytest.mark.parametrize("more", [True, False])
async def test_an_import_whose_key_is_revoked_meanwhile_has_no_effect(
    bench: Bench, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    read = 0

    def read_draft(entry: pb.Entry) -> Any:
        nonlocal read
        read += 1
        return entries.read_draft(entry)

    monkeypatch.setattr("portcullis.gateway.servicers.registry.read_draft", read_draft)
    metadata = [("authorization", "Bearer operator-key")]
    stream = bench.channel.stream_unary("/portcullis.v1.RegistryService/ImportEntries")(metadata=metadata, timeout=20)
    for part in (opening(), rows(an_entry(1))):
        await stream.write(part.SerializeToString())
    deadline = time.monotonic() + 10
    while not read:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    bench.credentials[:] = [each for each in bench.credentials if each.holder != "olga"]
    await arrival(bench, bench.publish(registry.policy(), {}))
    if more:
        await stream.write(rows(an_entry(2)).SerializeToString())
    await stream.done_writing()
    assert grpc.StatusCode.UNAUTHENTICATED == (await refusal(stream))[0]
    assert 0 == registry.count_in_force("court")


async def test_a_full_import_withdraws_what_it_does_not_bring(bench: Bench) -> None:
    await import_rows(bench, opening(), rows(an_entry(1), an_entry(2)))
    answer = await import_rows(bench, opening(mode=pb.IMPORT_MODE_FULL), rows(an_entry(2)))
    assert (1, 1) == (answer.unchanged, answer.withdrawn)


async def held_import(bench: Bench, registry: SqlRegistry) -> pb.ImportEntriesResponse:
    """Have an import of the court's list held, by olga."""
    registry.apply_policy(policy(a_list("court", guard_percent=0, guard_entries=1), a_list("bikes")), actor="test")
    await import_rows(bench, opening(), rows(*(an_entry(number) for number in range(4))))
    return await import_rows(bench, opening(mode=pb.IMPORT_MODE_FULL), rows(an_entry(1), an_entry(5)))


async def test_an_import_that_takes_away_too_much_is_held(bench: Bench, registry: SqlRegistry) -> None:
    answer = await held_import(bench, registry)
    assert (True, 2, 1, 1, 3) == (answer.held, answer.import_id, answer.added, answer.unchanged, answer.withdrawn)
    assert pb.Shrinkage(lost=3, in_force=4, guard=1) == answer.shrinkage
    assert 4 == registry.count_in_force("court")
    listed = await call(bench, "RegistryService/ListHeldImports", pb.ListHeldImportsRequest(), pb.ListHeldImportsResponse)
    (held,) = listed.held_imports
    assert (2, "court", pb.IMPORT_MODE_FULL, "olga", 1, 0, 1, 3) == (
        *(held.import_id, held.list, held.mode, held.importer),
        *(held.added, held.amended, held.unchanged, held.withdrawn),
    )
    assert pb.Shrinkage(lost=3, in_force=4, guard=1) == held.shrinkage
    assert abs(time.time() - held.held_at.seconds) < 60


async def test_an_import_that_is_not_held_says_its_number_alone(bench: Bench) -> None:
    answer = await import_rows(bench, opening(), rows(an_entry(1)))
    assert (False, 1, False) == (answer.held, answer.import_id, answer.HasField("shrinkage"))


async def test_a_held_import_is_approved_by_another_operator_alone(bench: Bench, registry: SqlRegistry) -> None:
    request = pb.ApproveImportRequest(import_id=(await held_import(bench, registry)).import_id, purpose="confirmed")
    code, reason, _, text = await refusal(
        bench.call("RegistryService/ApproveImport", request.SerializeToString(), key="operator-key")
    )
    assert (grpc.StatusCode.PERMISSION_DENIED, "SECOND_OPERATOR_REQUIRED") == (code, reason)
    assert "olga has imported it" in text
    approved = await call(
        bench, "RegistryService/ApproveImport", request, pb.ApproveImportResponse, key="other-operator-key"
    )
    assert pb.ApproveImportResponse(added=1, unchanged=1, withdrawn=3) == approved
    assert 2 == registry.count_in_force("court")


async def test_a_held_import_is_rejected_once(bench: Bench, registry: SqlRegistry) -> None:
    request = pb.RejectImportRequest(import_id=(await held_import(bench, registry)).import_id, purpose="half a file")
    rejected = await call(bench, "RegistryService/RejectImport", request, pb.RejectImportResponse)
    assert (2, "court") == (rejected.held_import.import_id, rejected.held_import.list)
    for method in ("ApproveImport", "RejectImport"):
        code, reason, _, _ = await refusal(
            bench.call(f"RegistryService/{method}", request.SerializeToString(), key="other-operator-key")
        )
        assert (grpc.StatusCode.FAILED_PRECONDITION, "IMPORT_NOT_HELD") == (code, reason)


async def test_an_import_that_never_was_is_not_found(bench: Bench) -> None:
    for import_id in (0, 99, -1):
        request = pb.ApproveImportRequest(import_id=import_id)
        code, reason, _, _ = await refusal(
            bench.call("RegistryService/ApproveImport", request.SerializeToString(), key="operator-key")
        )
        assert (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") == (code, reason)


async def test_an_import_that_does_not_open_takes_nothing(bench: Bench, registry: SqlRegistry) -> None:
    code, _, fields, _ = await refusal(import_rows(bench, rows(an_entry(1))))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["opening"], 0) == (code, fields, registry.count_in_force("court"))


async def test_an_import_broken_off_takes_nothing(bench: Bench, registry: SqlRegistry) -> None:
    code, _, _, _ = await refusal(import_rows(bench, opening(), rows(an_entry(1)), opening()))
    assert (grpc.StatusCode.INVALID_ARGUMENT, 0) == (code, registry.count_in_force("court"))


async def test_status_names_the_snapshot_and_the_transport(bench: Bench) -> None:
    status = await call(bench, "AdminService/GetStatus", admin.GetStatusRequest(), admin.GetStatusResponse)
    assert (str(bench.version), bench.gateway.settings.transport, 2) == (
        status.snapshot.version,
        status.transport,
        status.lists,
    )


async def test_a_key_is_made_listed_and_revoked(bench: Bench, registry: SqlRegistry) -> None:
    request = admin.CreateApiKeyRequest(partner="lender", note="till 3")
    made = await call(bench, "AdminService/CreateApiKey", request, admin.CreateApiKeyResponse)
    callers = RegistryKnowledge(registry)
    callers.look()
    assert "lender" == callers.callers().admit([("authorization", f"Bearer {made.key}")], PARTNER).holder
    await call(bench, "AdminService/RevokeApiKey", admin.RevokeApiKeyRequest(key_id=made.key_id), admin.RevokeApiKeyResponse)
    listed = await call(
        bench, "AdminService/ListApiKeys", admin.ListApiKeysRequest(partner="lender"), admin.ListApiKeysResponse
    )
    assert [("id-lender-key", "", False), (made.key_id, "till 3", True)] == [
        (key.key_id, key.note, key.HasField("revoked_at")) for key in listed.keys
    ]
    assert made.key not in str(listed)
    callers.look()
    with pytest.raises(Exception, match="a valid API key"):
        callers.callers().admit([("authorization", f"Bearer {made.key}")], PARTNER)


async def test_a_key_is_rotated_with_an_overlap_and_an_end(bench: Bench, registry: SqlRegistry) -> None:
    end = int(time.time()) + 3600
    request = admin.CreateApiKeyRequest(partner="lender", note="till 3", expires_at=Timestamp(seconds=end))
    made = await call(bench, "AdminService/CreateApiKey", request, admin.CreateApiKeyResponse)
    rotation = admin.RotateApiKeyRequest(
        key_id=made.key_id, overlap=Duration(seconds=60), expires_at=Timestamp(seconds=end + 5)
    )
    successor = await call(bench, "AdminService/RotateApiKey", rotation, admin.RotateApiKeyResponse)
    listing = admin.ListApiKeysRequest(partner="lender")
    listed = await call(bench, "AdminService/ListApiKeys", listing, admin.ListApiKeysResponse)
    _, before, after = listed.keys
    assert (successor.key_id, end + 5) == (before.successor, after.expires_at.seconds)
    assert 0 < before.expires_at.seconds - time.time() <= 60
    callers = RegistryKnowledge(registry)
    callers.look()
    for key in (made.key, successor.key):
        assert "lender" == callers.callers().admit([("authorization", f"Bearer {key}")], PARTNER).holder
    code, reason, _, _ = await refusal(
        bench.call("AdminService/RotateApiKey", rotation.SerializeToString(), key="operator-key")
    )
    assert (grpc.StatusCode.FAILED_PRECONDITION, "STEP_NOT_ALLOWED") == (code, reason)


async def test_a_key_is_of_a_role_and_good_for_some_lists(bench: Bench, registry: SqlRegistry) -> None:
    request = admin.CreateApiKeyRequest(partner="rosa", role="reviewer", lists=["court"])
    made = await call(bench, "AdminService/CreateApiKey", request, admin.CreateApiKeyResponse)
    listed = await call(
        bench, "AdminService/ListApiKeys", admin.ListApiKeysRequest(partner="rosa"), admin.ListApiKeysResponse, "auditor-key"
    )
    assert [(made.key_id, "rosa", "reviewer", ["court"])] == [
        (key.key_id, key.partner, key.role, list(key.lists)) for key in listed.keys
    ]
    callers = RegistryKnowledge(registry)
    callers.look()
    reviewers = roles_of("portcullis.v1.RedressService/Resolve")
    assert Role.REVIEWER == callers.callers().admit([("authorization", f"Bearer {made.key}")], reviewers).role


async def test_no_key_is_made_for_a_subject_or_for_a_list_that_is_not_there(bench: Bench) -> None:
    for field, request in (
        ("role", admin.CreateApiKeyRequest(partner="rosa", role="subject")),
        ("lists", admin.CreateApiKeyRequest(partner="rosa", role="reviewer", lists=["moon"])),
        ("lists", admin.CreateApiKeyRequest(partner="lender", lists=["court"])),
    ):
        code, _, fields, _ = await refusal(
            bench.call("AdminService/CreateApiKey", request.SerializeToString(), key="operator-key")
        )
        assert (grpc.StatusCode.INVALID_ARGUMENT, [field]) == (code, fields)


async def test_a_key_that_is_limited_to_lists_makes_and_ends_no_keys_and_reads_no_decision_of_others(
    bench: Bench, home: StaffHome
) -> None:
    home.give_key("court-operator-key", "olaf", Role.OPERATOR, lists=["court"])
    await home.publish(bench)
    ids = {"court": "1" * 32, "bikes": "2" * 32}
    home.journal.record_decisions([a_record(each, reasons=(a_reason(list=name),)) for name, each in ids.items()])
    for method, request in (
        ("CreateApiKey", admin.CreateApiKeyRequest(partner="rosa", role="reviewer", lists=["court"])),
        ("RotateApiKey", admin.RotateApiKeyRequest(key_id="id-auditor-key")),
        ("RevokeApiKey", admin.RevokeApiKeyRequest(key_id="id-auditor-key")),
        ("ListApiKeys", admin.ListApiKeysRequest()),
    ):
        code, reason, _, _ = await refusal(
            bench.call(f"AdminService/{method}", request.SerializeToString(), key="court-operator-key")
        )
        assert (grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_SCOPE") == (code, reason), method
    for unseen in (ids["bikes"], "3" * 32):
        asked = admin.GetDecisionRequest(decision_id=unseen).SerializeToString()
        code, _, _, _ = await refusal(bench.call("AdminService/GetDecision", asked, key="court-operator-key"))
        assert grpc.StatusCode.NOT_FOUND == code
    own = admin.GetDecisionRequest(decision_id=ids["court"])
    for key in ("court-operator-key", "reviewer-key", "auditor-key"):
        given = await call(bench, "AdminService/GetDecision", own, admin.GetDecisionResponse, key)
        assert ids["court"] == given.decision_id


async def test_a_decision_that_is_not_there_is_not_found(bench: Bench) -> None:
    request = admin.GetDecisionRequest(decision_id="0" * 32)
    code, _, _, _ = await refusal(bench.call("AdminService/GetDecision", request.SerializeToString(), key="operator-key"))
    assert grpc.StatusCode.NOT_FOUND == code
