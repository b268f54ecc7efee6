"""RedressService over gRPC, on the real desks over SQLite: codes and sessions, disputes, redress numbers, erasure."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from portcullis.domain.roles import Role
from portcullis.v1 import redress_service_pb2 as pb
from portcullis.v1 import registry_service_pb2 as registry
from portcullis.v1 import types_pb2
from tests.support.decision_records import a_record
from tests.support.gateways import TOKENISER, refusal
from tests.support.people import resident_id
from tests.support.policies import a_list, policy
from tests.support.staff import Staff, an_entry, running_staff, staff_home

DAY_S = 86_400
WRONG = pb.DISPUTE_GROUND_WRONG_FACTS


@pytest.fixture
async def staff(tmp_path: Path) -> AsyncIterator[Staff]:
    with staff_home(tmp_path, policy(a_list("court"), a_list("bikes"))) as home:
        async with running_staff("grpcio", home) as running:
            yield running


def asked(method: str, /, **fields: Any) -> tuple[str, Message, Any]:
    """Name a method, its request and the type of its answer."""
    return f"RedressService/{method}", getattr(pb, f"{method}Request")(**fields), getattr(pb, f"{method}Response")


async def ask(staff: Staff, key: str, method: str, /, **fields: Any) -> Any:
    return await staff.call(*asked(method, **fields), key=key)


async def refused(
    staff: Staff, key: str | None, method: str, /, **fields: Any
) -> tuple[grpc.StatusCode, str, list[str], str]:
    name, request, _ = asked(method, **fields)
    return await refusal(staff.bench.call(name, request.SerializeToString(), key=key))


def identifier(number: int = 1) -> types_pb2.Identifier:
    person = resident_id(number)
    return types_pb2.Identifier(kind=person.kind, value=person.value)


async def session(staff: Staff, number: int = 1) -> str:
    """Let the holder of an identifier prove who they are."""
    code = (await ask(staff, "operator-key", "IssueSubjectCode", identifier=identifier(number))).code
    _, request, kind = asked("BeginSession", identifier=identifier(number), proof=code)
    begun = kind.FromString(await staff.bench.call("RedressService/BeginSession", request.SerializeToString(), key=None))
    assert abs(begun.expires_at.seconds - time.time() - 3600) < 60
    return str(begun.session)


async def a_case(staff: Staff, number: int = 1, **changes: Any) -> pb.Case:
    """Put an entry, and have a dispute of it opened at the counter and a reviewer named."""
    await staff.put(an_entry(number, **changes))
    where = {"list": changes.get("list", "court"), "key": f"key-{number}"}
    opened = (await ask(staff, "operator-key", "OpenDispute", **where, ground=WRONG)).case
    return (await ask(staff, "operator-key", "AssignReviewer", case_id=opened.case_id, reviewer="rita")).case


async def status(staff: Staff, number: int = 1) -> registry.EntryStatus.ValueType:
    request = registry.GetEntryRequest(list="court", key=f"key-{number}")
    answer = await staff.call("RegistryService/GetEntry", request, registry.GetEntryResponse, "auditor-key")
    return answer.entry.status


async def test_a_code_begins_one_session_and_the_session_gives_the_record(staff: Staff) -> None:
    await staff.put(an_entry())
    issued = await ask(staff, "reviewer-key", "IssueSubjectCode", identifier=identifier())
    assert abs(issued.expires_at.seconds - time.time() - DAY_S) < 60
    body = pb.BeginSessionRequest(identifier=identifier(), proof=issued.code).SerializeToString()
    begun = pb.BeginSessionResponse.FromString(await staff.bench.call("RedressService/BeginSession", body, key=None))
    record = await ask(staff, begun.session, "GetMyRecord", locale="zh-CN")
    (entry,) = record.record["entries"]
    assert ("zh", "case-1") == (record.locale, entry["case_reference"])
    assert "case-1" in record.text
    assert identifier().value not in str(record)
    again = await refused(staff, None, "BeginSession", identifier=identifier(), proof=issued.code)
    assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED") == again[:2]


async def test_a_session_that_never_was_opens_nothing(staff: Staff) -> None:
    for method, fields in (
        ("GetMyRecord", {}),
        ("OpenDispute", {"list": "court", "case_reference": "case-1", "ground": WRONG}),
        ("AddEvidence", {"case_id": "x", "reference": "letter/1"}),
        ("GetCase", {"case_id": "x"}),
    ):
        code, reason, _, _ = await refused(staff, "pcs_nonsense", method, **fields)
        assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED") == (code, reason), method


async def test_what_is_missing_is_told_by_field_and_no_identifier_with_it(staff: Staff) -> None:
    one = identifier()
    for key, method, fields, faulty in (
        ("operator-key", "IssueSubjectCode", {}, "identifier"),
        (None, "BeginSession", {"proof": "x"}, "identifier"),
        (None, "BeginSession", {"identifier": one}, "proof"),
        (None, "BeginSession", {"identifier": one, "proof": "x" * 257}, "proof"),
        ("reviewer-key", "IssueRedressNumber", {"own": one, "why": "x"}, "mistaken"),
        ("reviewer-key", "IssueRedressNumber", {"mistaken": one, "why": "x"}, "own"),
        ("operator-key", "EraseSubject", {"why": "x"}, "identifier"),
        ("operator-key", "EraseSubject", {"identifier": one}, "why"),
        ("reviewer-key", "RevokeRedressNumber", {"number_id": "x"}, "why"),
        ("operator-key", "OpenDispute", {"ground": WRONG, "key": "key-1"}, "list"),
        ("operator-key", "OpenDispute", {"ground": WRONG, "list": "court", "case_reference": "case-1"}, "key"),
        ("operator-key", "OpenDispute", {"list": "court", "key": "key-1"}, "ground"),
        ("operator-key", "OpenDispute", {"list": "court", "key": "key-1", "ground": 77}, "ground"),
        ("operator-key", "ListCases", {"page_size": 1001}, "page_size"),
        ("operator-key", "ListCases", {"state": 77}, "state"),
        ("reviewer-key", "Resolve", {"why": "x"}, "resolution"),
        ("reviewer-key", "Stay", {"why": "x", "expected_version": -1}, "expected_version"),
        ("reviewer-key", "Stay", {}, "why"),
    ):
        code, _, fields_told, text = await refused(staff, key, method, **fields)
        assert (grpc.StatusCode.INVALID_ARGUMENT, [faulty]) == (code, fields_told), method
        assert one.value not in text


async def test_a_subject_disputes_an_entry_of_theirs_by_its_case_reference(staff: Staff) -> None:
    await staff.put(an_entry())
    mine = await session(staff)
    by_key = await refused(staff, mine, "OpenDispute", list="court", key="key-1", ground=WRONG)
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["case_reference"]) == by_key[::2][:2]
    named = {"list": "court", "case_reference": "case-1", "ground": WRONG}
    case = (await ask(staff, mine, "OpenDispute", **named, evidence=["letter/1"])).case
    assert ("", "court", "case-1", pb.CASE_KIND_DISPUTE, WRONG, pb.CASE_STATE_OPEN, 1) == (
        *(case.key, case.list, case.case_reference),
        *(case.kind, case.ground, case.state, case.version),
    )
    assert abs(case.decide_by.seconds - time.time() - 30 * DAY_S) < 60
    assert ([("letter/1", "subject")], [("open", "subject")]) == (
        [(each.reference, each.added_by) for each in case.evidence],
        [(step.step, step.actor) for step in case.steps],
    )
    added = (await ask(staff, mine, "AddEvidence", case_id=case.case_id, reference="letter/2")).case
    assert (2, ["letter/1", "letter/2"]) == (added.version, [each.reference for each in added.evidence])
    shown = (await ask(staff, "reviewer-key", "GetCase", case_id=case.case_id)).case
    assert "key-1" == shown.key


async def test_another_subject_does_not_learn_that_a_case_or_an_entry_is_there(staff: Staff) -> None:
    case = await a_case(staff)
    other = await session(staff, 2)
    named = {"list": "court", "case_reference": "case-1", "ground": WRONG}
    for method, fields in (
        ("GetCase", {"case_id": case.case_id}),
        ("AddEvidence", {"case_id": case.case_id, "reference": "letter/1"}),
        ("OpenDispute", named),
    ):
        code, reason, _, text = await refused(staff, other, method, **fields)
        absent = fields | ({"case_id": "a" * 16} if "case_id" in fields else {"case_reference": "case-9"})
        assert (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") == (code, reason), method
        assert text == (await refused(staff, other, method, **absent))[3]


async def test_a_subject_reads_who_decides_and_the_names_of_nobody_else(staff: Staff) -> None:
    case = await a_case(staff)
    await ask(staff, "editor-key", "AddEvidence", case_id=case.case_id, reference="order/7")
    await ask(staff, "operator-key", "TellSource", case_id=case.case_id, document="letter/9")
    await ask(staff, "reviewer-key", "Stay", case_id=case.case_id, why="looking into it")
    own = (await ask(staff, await session(staff), "GetCase", case_id=case.case_id)).case
    assert ("", "rita", True) == (own.key, own.reviewer, own.stayed)
    assert [("open", ""), ("assign", ""), ("evidence", ""), ("tell-source", ""), ("stay", "rita")] == [
        (step.step, step.actor) for step in own.steps
    ]
    assert [("order/7", "")] == [(each.reference, each.added_by) for each in own.evidence]
    assert ["rita"] == [step.why for step in own.steps if step.step == "assign"]
    known = (await ask(staff, "auditor-key", "GetCase", case_id=case.case_id)).case
    assert ["olga", "olga", "edith", "olga", "rita"] == [step.actor for step in known.steps]
    assert known.HasField("source_told_at")


async def test_a_reviewer_stays_lifts_extends_and_decides(staff: Staff) -> None:
    case = await a_case(staff)
    assert ("rita", 2) == (case.reviewer, case.version)
    stayed = (await ask(staff, "reviewer-key", "Stay", case_id=case.case_id, why="looking", expected_version=2)).case
    assert (True, registry.ENTRY_STATUS_STAYED) == (stayed.stayed, await status(staff))
    lifted = (await ask(staff, "reviewer-key", "LiftStay", case_id=case.case_id, why="seen")).case
    assert (False, registry.ENTRY_STATUS_IN_FORCE) == (lifted.stayed, await status(staff))
    extended = (await ask(staff, "reviewer-key", "ExtendDispute", case_id=case.case_id, why="court's holidays")).case
    assert (True, 15 * DAY_S) == (extended.extended, extended.decide_by.seconds - case.decide_by.seconds)
    decision = {"resolution": pb.RESOLUTION_WITHDRAWN, "why": "another person", "document": "ruling/1"}
    decided = (await ask(staff, "reviewer-key", "Resolve", case_id=case.case_id, **decision)).case
    assert (pb.CASE_STATE_RESOLVED, pb.RESOLUTION_WITHDRAWN, True) == (
        decided.state,
        decided.resolution,
        decided.HasField("closed_at"),
    )
    assert registry.ENTRY_STATUS_WITHDRAWN_IN_ERROR == await status(staff)


async def test_who_has_missed_a_version_of_a_case_is_told_so(staff: Staff) -> None:
    case = await a_case(staff)
    code, reason, _, _ = await refused(staff, "reviewer-key", "Stay", case_id=case.case_id, why="x", expected_version=1)
    assert (grpc.StatusCode.ABORTED, "VERSION_MISSED") == (code, reason)


async def test_nobody_decides_who_is_not_the_reviewer_or_has_put_the_entry(staff: Staff) -> None:
    case = await a_case(staff)
    staff.home.give_key("other-reviewer-key", "remo", Role.REVIEWER)
    staff.home.give_key("ediths-other-key", "edith", Role.REVIEWER)
    await staff.home.publish(staff.bench)
    decision = {"case_id": case.case_id, "resolution": pb.RESOLUTION_UPHELD, "why": "right"}
    code, reason, _, _ = await refused(staff, "other-reviewer-key", "Resolve", **decision)
    assert (grpc.StatusCode.PERMISSION_DENIED, "SECOND_PERSON_REQUIRED") == (code, reason)
    code, reason, _, _ = await refused(staff, "operator-key", "AssignReviewer", case_id=case.case_id, reviewer="edith")
    assert (grpc.StatusCode.PERMISSION_DENIED, "SECOND_PERSON_REQUIRED") == (code, reason)
    code, _, fields, _ = await refused(staff, "operator-key", "AssignReviewer", case_id=case.case_id, reviewer="abel")
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["reviewer"]) == (code, fields)


async def test_cases_are_listed_page_by_page_and_without_their_steps(staff: Staff) -> None:
    ids = [(await a_case(staff, number)).case_id for number in range(3)]
    found, token = [], ""
    while True:
        page = await ask(staff, "auditor-key", "ListCases", page_size=2, page_token=token)
        found += [case.case_id for case in page.cases]
        assert not any(case.steps for case in page.cases)
        token = page.next_page_token
        if not token:
            break
    assert sorted(ids) == sorted(found)
    assert [] == list((await ask(staff, "auditor-key", "ListCases", state=pb.CASE_STATE_LAPSED)).cases)


async def test_a_limited_key_works_on_cases_of_its_lists_alone(staff: Staff) -> None:
    court, bikes = await a_case(staff, 1), await a_case(staff, 2, list="bikes")
    for key, lists in (("court-key", ["court"]), ("both-key", ["bikes", "court"])):
        staff.home.give_key(key, "rosa", Role.REVIEWER, lists=lists)
    await staff.home.publish(staff.bench)
    assert [court.case_id] == [case.case_id for case in (await ask(staff, "court-key", "ListCases")).cases]
    looks = list(staff.home.registry.looks("bikes", "key-2"))
    for method, fields in (
        ("GetCase", {}),
        ("AddEvidence", {"reference": "letter/1"}),
        ("AssignReviewer", {"reviewer": "rosa"}),
        ("TellSource", {}),
        ("Stay", {"why": "x"}),
        ("LiftStay", {"why": "x"}),
        ("ExtendDispute", {"why": "x"}),
        ("Resolve", {"why": "x", "resolution": pb.RESOLUTION_UPHELD}),
    ):
        code, reason, _, _ = await refused(staff, "court-key", method, case_id=bikes.case_id, **fields)
        assert (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") == (code, reason), method
    for method, fields in (
        ("OpenDispute", {"list": "bikes", "key": "key-2", "ground": WRONG}),
        ("ListCases", {"list": "bikes"}),
        ("IssueRedressNumber", {"list": "bikes", "mistaken": identifier(2), "own": identifier(3), "why": "x"}),
        ("IssueSubjectCode", {"identifier": identifier(2)}),
    ):
        code, reason, _, _ = await refused(staff, "court-key", method, **fields)
        assert (grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_SCOPE") == (code, reason), method
    assert looks == list(staff.home.registry.looks("bikes", "key-2"))
    code, _, fields_told, _ = await refused(staff, "both-key", "ListCases")
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["list"]) == (code, fields_told)


async def test_a_person_taken_for_the_subject_is_given_a_number_that_can_be_ended(staff: Staff) -> None:
    await staff.put(an_entry())
    own = types_pb2.Identifier(kind="passport", value="N00000009", country="XA")
    asking = {"list": "court", "key": "key-1", "mistaken": identifier(), "why": "a namesake"}
    given = await ask(staff, "reviewer-key", "IssueRedressNumber", **asking, own=own)
    assert given.redress_number.startswith("PCR-")
    staff.home.give_key("bikes-key", "rosa", Role.REVIEWER, lists=["bikes"])
    await staff.home.publish(staff.bench)
    ending = {"number_id": given.number_id, "why": "moved"}
    code, reason, _, _ = await refused(staff, "bikes-key", "RevokeRedressNumber", **ending)
    assert (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") == (code, reason)
    assert pb.RevokeRedressNumberResponse() == await ask(staff, "reviewer-key", "RevokeRedressNumber", **ending)
    same = await refused(staff, "reviewer-key", "IssueRedressNumber", **asking, own=identifier())
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["own"]) == same[::2][:2]
    assert identifier().value not in same[3]


async def test_what_tells_who_somebody_is_is_destroyed_once_no_list_needs_it(staff: Staff) -> None:
    await staff.put(an_entry())
    kept = await ask(staff, "operator-key", "EraseSubject", identifier=identifier(), why="asked for")
    assert (0, 1) == (kept.entries, kept.kept)
    request = registry.WithdrawEntryRequest(list="court", key="key-1", reason="over")
    await staff.call("RegistryService/WithdrawEntry", request, registry.WithdrawEntryResponse)
    erased = await ask(staff, "operator-key", "EraseSubject", identifier=identifier(), why="asked for")
    assert (1, 0) == (erased.entries, erased.kept)


async def test_an_erasure_tells_of_records_under_another_document_of_the_person(staff: Staff) -> None:
    first, second = (TOKENISER.index_tokens(resident_id(number))[0].hex() for number in (41, 42))
    staff.home.journal.record_decisions([a_record("d1", tokens=(first, second))])
    told = await ask(staff, "operator-key", "EraseSubject", identifier=identifier(42), why="asked for")
    assert (0, 1) == (told.keys, told.left)
    told = await ask(staff, "operator-key", "EraseSubject", identifier=identifier(41), why="asked for")
    assert (1, 0) == (told.keys, told.left)
