"""The steps of entries and lists over gRPC, on the real desks over SQLite."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from portcullis.domain.certificates import read_certificate
from portcullis.domain.roles import Role
from portcullis.ports import Acknowledgement, Settlement
from portcullis.v1 import registry_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.decision_records import a_reason, a_record
from tests.support.gateways import refusal
from tests.support.people import resident_id
from tests.support.policies import a_list, policy
from tests.support.staff import UNTIL, Staff, an_entry, running_staff, staff_home

KEY = {"list": "court", "key": "key-1"}
DAY_S = 86_400


@pytest.fixture
async def staff(tmp_path: Path) -> AsyncIterator[Staff]:
    lists = (a_list("court", four_eyes=True), a_list("bikes"), a_list("loans", lapse_s=10 * DAY_S))
    with staff_home(tmp_path, policy(*lists)) as home:
        async with running_staff("grpcio", home) as running:
            yield running


def asked(method: str, /, **fields: Any) -> tuple[str, Message, Any]:
    """Name a method, its request and the type of its answer."""
    return f"RegistryService/{method}", getattr(pb, f"{method}Request")(**fields), getattr(pb, f"{method}Response")


async def ask(staff: Staff, key: str, method: str, /, **fields: Any) -> Any:
    return await staff.call(*asked(method, **fields), key=key)


async def refused(staff: Staff, key: str, method: str, /, **fields: Any) -> tuple[grpc.StatusCode, str, list[str], str]:
    name, request, _ = asked(method, **fields)
    return await refusal(staff.bench.call(name, request.SerializeToString(), key=key))


async def stand(staff: Staff, number: int = 1, **changes: Any) -> pb.Entry:
    """Have an entry of the court's proposed and approved."""
    put = await staff.put(an_entry(number, **changes))
    where = {"list": changes.get("list", "court"), "key": f"key-{number}", "expected_version": put.entry.version}
    return (await ask(staff, "approver-key", "ApproveEntry", **where)).entry


async def test_an_entry_of_a_list_of_four_eyes_is_proposed_by_one_and_approved_by_another(staff: Staff) -> None:
    put = await staff.put(an_entry(), why="ordered", document="order/7")
    assert (True, True, pb.ENTRY_STATUS_PROPOSED) == (put.changed, put.pending, put.entry.status)
    (waiting,) = (await ask(staff, "auditor-key", "ListProposals")).proposals
    assert ("court", "key-1", False, "edith", 1) == (
        *(waiting.list, waiting.key, waiting.amendment),
        *(waiting.proposer, waiting.version),
    )
    approved = await ask(staff, "approver-key", "ApproveEntry", **KEY, why="seen", expected_version=1)
    assert (pb.ENTRY_STATUS_IN_FORCE, 2, UNTIL) == (
        approved.entry.status,
        approved.entry.version,
        approved.entry.effective_until.seconds,
    )
    assert [] == list((await ask(staff, "auditor-key", "ListProposals", list="court")).proposals)


async def test_who_has_proposed_an_entry_does_not_approve_it(staff: Staff) -> None:
    await staff.put(an_entry(), key="operator-key")
    code, reason, _, text = await refused(staff, "operator-key", "ApproveEntry", **KEY, expected_version=1)
    assert (grpc.StatusCode.PERMISSION_DENIED, "SECOND_PERSON_REQUIRED") == (code, reason)
    assert "olga has proposed it" in text
    rejected = await ask(staff, "other-operator-key", "RejectEntry", **KEY, why="not theirs")
    assert pb.ENTRY_STATUS_REJECTED == rejected.entry.status


async def test_an_amendment_waits_beside_the_entry_that_stands(staff: Staff) -> None:
    await stand(staff)
    amended = await staff.put(an_entry(case_reference="case-1b"))
    assert (True, True, "case-1") == (amended.pending, amended.entry.pending_amendment, amended.entry.case_reference)
    (waits,) = (await ask(staff, "approver-key", "ListProposals")).proposals
    assert amended.entry.version == waits.version
    approved = await ask(staff, "approver-key", "ApproveEntry", **KEY, expected_version=waits.version)
    assert ("case-1b", False) == (approved.entry.case_reference, approved.entry.pending_amendment)


async def test_nothing_is_approved_that_was_not_looked_at(staff: Staff) -> None:
    await staff.put(an_entry())
    code, _, fields, text = await refused(staff, "approver-key", "ApproveEntry", **KEY)
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["expected_version"]) == (code, fields)
    assert "give the version that you have looked at, as ListProposals gives it" in text
    (seen,) = (await ask(staff, "approver-key", "ListProposals")).proposals
    await staff.put(an_entry(case_reference="case-1b"))
    code, reason, _, _ = await refused(staff, "approver-key", "ApproveEntry", **KEY, expected_version=seen.version)
    assert (grpc.StatusCode.ABORTED, "VERSION_MISSED") == (code, reason)
    assert pb.ENTRY_STATUS_PROPOSED == (await ask(staff, "auditor-key", "GetEntry", **KEY)).entry.status


async def test_what_an_amendment_would_bring_is_shown_before_it_is_approved(staff: Staff) -> None:
    await stand(staff)
    found = types_pb2.Identifier(kind="passport", value="N00000007", country="XA")
    await staff.put(an_entry(case_reference="case-1b", identifiers=[found]))
    (waits,) = (await ask(staff, "approver-key", "ListProposals")).proposals
    assert ("case-1b", 3, 3, pb.ENTRY_STATUS_IN_FORCE, UNTIL) == (
        *(waits.proposed.case_reference, waits.proposed.version, waits.version),
        *(waits.proposed.status, waits.proposed.effective_until.seconds),
    )
    assert (1, 1, False) == (waits.identifiers_added, waits.identifiers_removed, waits.proposed.pending_amendment)
    assert ([], []) == (list(waits.proposed.identifiers), list(waits.proposed.names))
    stands, proposed = [
        (await ask(staff, "approver-key", "RevealEntry", **KEY, purpose="four eyes", proposed=asked)).entry
        for asked in (False, True)
    ]
    assert ("case-1", resident_id(1).value) == (stands.case_reference, stands.identifiers[0].value)
    assert ("case-1b", "N00000007") == (proposed.case_reference, proposed.identifiers[0].value)
    assert [("abel", "reading proposals"), ("abel", "four eyes"), ("abel", "four eyes")] == [
        (look.actor, look.purpose) for look in staff.home.registry.looks("court", "key-1")
    ]
    await ask(staff, "approver-key", "ApproveEntry", **KEY, expected_version=waits.version)
    code, _, _, _ = await refused(staff, "approver-key", "RevealEntry", **KEY, purpose="four eyes", proposed=True)
    assert grpc.StatusCode.NOT_FOUND == code


async def test_who_has_missed_a_version_is_told_which(staff: Staff) -> None:
    await stand(staff)
    code, reason, _, text = await refused(
        staff, "editor-key", "ReleaseEntry", **KEY, ground=pb.RELEASE_GROUND_PAID, why="paid", expected_version=1
    )
    assert (grpc.StatusCode.ABORTED, "VERSION_MISSED") == (code, reason)
    assert "2" in text


async def test_an_illegal_step_names_the_legal_ones(staff: Staff) -> None:
    await stand(staff)
    await ask(staff, "editor-key", "ReleaseEntry", **KEY, ground=pb.RELEASE_GROUND_PERFORMED, why="done")
    code, reason, _, text = await refused(staff, "approver-key", "ApproveEntry", **KEY, expected_version=3)
    assert (grpc.StatusCode.FAILED_PRECONDITION, "STEP_NOT_ALLOWED") == (code, reason)
    assert "put, retract" in text


async def test_an_entry_is_released_on_a_ground_that_a_person_may_state(staff: Staff) -> None:
    await stand(staff)
    for ground in (pb.RELEASE_GROUND_UNSPECIFIED, pb.RELEASE_GROUND_SETTLED, 77):
        code, _, fields, _ = await refused(staff, "editor-key", "ReleaseEntry", **KEY, ground=ground, why="done")
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["ground"]) == (code, fields)
    released = await ask(
        staff, "approver-key", "ReleaseEntry", **KEY, ground=pb.RELEASE_GROUND_OVERTURNED, why="appeal", document="ruling/2"
    )
    assert pb.ENTRY_STATUS_RELEASED == released.entry.status
    last = (await ask(staff, "auditor-key", "GetEntryHistory", **KEY)).steps[-1]
    assert ("release", "abel", "appeal", "ruling/2", pb.RELEASE_GROUND_OVERTURNED, pb.ENTRY_STATUS_RELEASED) == (
        *(last.step, last.actor, last.why),
        *(last.document, last.ground, last.status),
    )


async def test_the_history_gives_every_version_and_the_look_is_noted(staff: Staff) -> None:
    await stand(staff)
    history = (await ask(staff, "auditor-key", "GetEntryHistory", **KEY, purpose="audit 7")).steps
    assert [(1, "propose", "edith"), (2, "approve", "abel")] == [(step.version, step.step, step.actor) for step in history]
    assert all(abs(time.time() - step.at.seconds) < 60 for step in history)
    assert [("aude", "audit 7")] == [(look.actor, look.purpose) for look in staff.home.registry.looks("court", "key-1")]


async def test_who_an_entry_is_about_is_given_in_one_answer_alone_and_the_look_is_noted(staff: Staff) -> None:
    await stand(staff, names=["Nobody Atall"])
    revealed = await ask(staff, "reviewer-key", "RevealEntry", **KEY, purpose="dispute 3")
    assert [resident_id(1).value] == [each.value for each in revealed.entry.identifiers]
    assert ["Nobody Atall"] == list(revealed.entry.names)
    assert [("rita", "dispute 3")] == [(look.actor, look.purpose) for look in staff.home.registry.looks("court", "key-1")]
    others = [
        await ask(staff, "auditor-key", "GetEntry", **KEY),
        await ask(staff, "auditor-key", "ListEntries", list="court"),
        await ask(staff, "auditor-key", "GetEntryHistory", **KEY),
    ]
    assert not any(resident_id(1).value in str(answer) or "Nobody" in str(answer) for answer in others)


async def test_a_look_at_who_an_entry_is_about_says_why(staff: Staff) -> None:
    await stand(staff)
    code, _, fields, _ = await refused(staff, "reviewer-key", "RevealEntry", **KEY)
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["purpose"]) == (code, fields)
    assert [] == list(staff.home.registry.looks("court", "key-1"))


async def test_a_number_found_later_is_an_amendment(staff: Staff) -> None:
    await stand(staff)
    found = types_pb2.Identifier(kind="passport", value="N00000007", country="XA")
    added = await ask(staff, "editor-key", "AddIdentifiers", **KEY, identifiers=[found], document="letter/4")
    assert (True, True, 0) == (added.changed, added.pending, len(added.entry.identifiers))
    await ask(staff, "approver-key", "ApproveEntry", **KEY, expected_version=added.entry.version)
    revealed = await ask(staff, "reviewer-key", "RevealEntry", **KEY, purpose="check")
    assert {resident_id(1).value, "N00000007"} == {each.value for each in revealed.entry.identifiers}
    code, _, fields, text = await refused(staff, "editor-key", "AddIdentifiers", **KEY)
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["identifiers"]) == (code, fields)
    assert "N00000007" not in text


async def test_what_should_never_have_been_there_is_withdrawn_in_error(staff: Staff) -> None:
    await stand(staff)
    gone = await ask(staff, "editor-key", "WithdrawEntry", **KEY, reason="another person", in_error=True, document="memo/1")
    assert pb.ENTRY_STATUS_WITHDRAWN_IN_ERROR == gone.entry.status
    steps = (await ask(staff, "auditor-key", "GetEntryHistory", **KEY)).steps
    assert ["withdraw", "retract"] == [step.step for step in steps[-2:]]


FAULTY: list[tuple[str, dict[str, Any], str]] = [
    ("ApproveEntry", {**KEY}, "expected_version"),
    ("ApproveEntry", {**KEY, "expected_version": -1}, "expected_version"),
    ("WithdrawEntry", {**KEY, "reason": ""}, "reason"),
    ("WithdrawEntry", {**KEY, "reason": "two\nlines"}, "reason"),
    ("WithdrawEntry", {**KEY, "reason": "x", "expected_version": -1}, "expected_version"),
    ("ReleaseEntry", {**KEY, "ground": pb.RELEASE_GROUND_PAID, "why": "x" * 257}, "why"),
    ("ReleaseEntry", {**KEY, "ground": pb.RELEASE_GROUND_PAID, "why": "x", "document": "x" * 129}, "document"),
    ("RejectEntry", {**KEY, "why": "x" * 257}, "why"),
    ("SuspendList", {"list": "court"}, "reason"),
    ("GetEntryHistory", {**KEY, "purpose": "x" * 129}, "purpose"),
    ("PlanBulk", {"query": pb.EntryQuery(list="court")}, "step"),
    ("PlanBulk", {"step": pb.BULK_STEP_APPROVE}, "query.list"),
    ("PlanBulk", {"step": pb.BULK_STEP_RELEASE, "query": pb.EntryQuery(list="court")}, "ground"),
    (
        "PlanBulk",
        {"step": pb.BULK_STEP_RENEW, "query": pb.EntryQuery(list="loans"), "ground": pb.RELEASE_GROUND_PAID},
        "ground",
    ),
    ("PlanBulk", {"step": pb.BULK_STEP_RENEW, "query": pb.EntryQuery(list="court")}, "step"),
    ("RunBulk", {"step": pb.BULK_STEP_APPROVE, "query": pb.EntryQuery(list="court"), "why": "x"}, "plan"),
    ("RunBulk", {"step": pb.BULK_STEP_APPROVE, "query": pb.EntryQuery(list="court"), "plan": "x"}, "why"),
]
"""What a step can't be said with, and the field that is told."""


async def test_what_a_step_cant_be_said_with_is_refused_by_field(staff: Staff) -> None:
    await stand(staff)
    for method, fields, faulty in FAULTY:
        key = "auditor-key" if method == "GetEntryHistory" else "operator-key"
        code, reason, found, text = await refused(staff, key, method, **fields)
        assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", [faulty]) == (code, reason, found), method
        assert "xxx" not in text


async def test_a_time_of_a_query_lies_within_what_a_record_holds(staff: Staff) -> None:
    query = pb.EntryQuery(list="court")
    query.until_before.seconds = 2**33
    code, _, fields, _ = await refused(staff, "operator-key", "PlanBulk", step=pb.BULK_STEP_APPROVE, query=query)
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["query.until_before"]) == (code, fields)


async def test_many_entries_are_approved_as_they_were_planned(staff: Staff) -> None:
    for number in range(3):
        await staff.put(an_entry(number))
    await staff.put(an_entry(3), key="operator-key")
    step = {"step": pb.BULK_STEP_APPROVE, "query": pb.EntryQuery(list="court", key_prefix="key-")}
    plan = await ask(staff, "operator-key", "PlanBulk", **step)
    assert (3, 1, 3) == (plan.entries, plan.skipped, len(plan.samples))
    await ask(staff, "approver-key", "ApproveEntry", list="court", key="key-2", expected_version=1)
    code, reason, _, _ = await refused(staff, "operator-key", "RunBulk", **step, plan=plan.plan, why="checked")
    assert (grpc.StatusCode.ABORTED, "PLAN_CHANGED") == (code, reason)
    again = await ask(staff, "operator-key", "PlanBulk", **step)
    done = await ask(staff, "operator-key", "RunBulk", **step, plan=again.plan, why="checked")
    assert (2, 2) == (again.entries, done.entries)


async def test_a_step_on_many_entries_is_for_those_who_may_take_it_on_one(staff: Staff) -> None:
    approving = {"step": pb.BULK_STEP_APPROVE, "query": pb.EntryQuery(list="court")}
    renewing = {"step": pb.BULK_STEP_RENEW, "query": pb.EntryQuery(list="loans")}
    for key, step in (("editor-key", approving), ("approver-key", renewing)):
        for method in ("PlanBulk", "RunBulk"):
            code, reason, _, _ = await refused(staff, key, method, **step)
            assert (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED") == (code, reason)
    assert 0 == (await ask(staff, "approver-key", "PlanBulk", **approving)).entries
    assert 0 == (await ask(staff, "editor-key", "PlanBulk", **renewing)).entries


async def test_entries_that_lapse_are_renewed(staff: Staff) -> None:
    put = await staff.put(an_entry(list="loans"))
    assert put.entry.effective_until.seconds <= UNTIL
    step = {"step": pb.BULK_STEP_RENEW, "query": pb.EntryQuery(list="loans")}
    plan = await ask(staff, "editor-key", "PlanBulk", **step)
    assert 1 == (await ask(staff, "editor-key", "RunBulk", **step, plan=plan.plan, why="reaffirmed")).entries


async def test_a_list_is_suspended_by_two_and_resumed_by_two(staff: Staff) -> None:
    first = (await ask(staff, "approver-key", "SuspendList", list="court", reason="wrong feed")).list_switch
    assert (False, "abel", "wrong feed") == (first.suspended, first.requested_by, first.reason)
    assert abs(time.time() - first.requested_at.seconds) < 60
    second = (await ask(staff, "operator-key", "SuspendList", list="court", reason="wrong feed")).list_switch
    assert (True, "") == (second.suspended, second.requested_by)
    shown = (await ask(staff, "auditor-key", "GetList", name="court")).list
    assert (True, True) == (shown.suspended, shown.four_eyes)
    for key in ("operator-key", "approver-key"):
        resumed = (await ask(staff, key, "ResumeList", list="court", reason="mended")).list_switch
    assert not resumed.suspended


async def test_releases_that_wait_are_given_the_soonest_first_and_the_authority_may_object(staff: Staff) -> None:
    for number, name in enumerate(("court", "bikes", "court")):
        await staff.put(an_entry(number, list=name))
        if name == "court":
            await ask(staff, "approver-key", "ApproveEntry", list=name, key=f"key-{number}", expected_version=1)
        settled = Settlement(
            list=name,
            case_reference=f"case-{number}",
            partner="lender",
            event_id=f"event-{number}",
            reported_at=UNTIL - 10.0,
            release_at=UNTIL - float(number),
        )
        staff.home.rights.note_settlements([settled])
    given = (await ask(staff, "auditor-key", "ListSettlements")).settlements
    assert ["key-2", "key-1", "key-0"] == [each.key for each in given]
    assert ("lender", "case-2", UNTIL - 2) == (given[0].partner, given[0].case_reference, given[0].release_at.seconds)
    code, _, fields, _ = await refused(staff, "editor-key", "ObjectToRelease", list="court", key="key-2")
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["why"]) == (code, fields)
    await ask(staff, "editor-key", "ObjectToRelease", list="court", key="key-2", why="not paid", document="claim/1")
    left = (await ask(staff, "auditor-key", "ListSettlements", list="court")).settlements
    assert ["key-0"] == [each.key for each in left]


async def test_the_harm_that_an_entry_did_is_given_partner_by_partner(staff: Staff) -> None:
    entry = await stand(staff)
    tokens = [token.hex() for token in staff.home.rights.tokens_of("court", "key-1")]
    reason = a_reason(entry_id=entry.entry_id)
    caused = [
        a_record(str(number) * 32, partner=partner, tokens=tuple(tokens[:1]), reasons=(reason,), decided_at=UNTIL + number)
        for number, partner in enumerate(("shop", "lender", "lender"))
    ]
    staff.home.journal.record_decisions(caused)
    impacts = (await ask(staff, "reviewer-key", "GetImpact", **KEY, purpose="make good")).partners
    assert [("lender", 2, ["1" * 32, "2" * 32]), ("shop", 1, ["0" * 32])] == [
        (each.partner, each.total, [one.decision_id for one in each.decisions]) for each in impacts
    ]
    first = impacts[0].decisions[0]
    assert ("loan.apply", "lending", types_pb2.OUTCOME_RESTRICT, "order 1", UNTIL + 1) == (
        *(first.action, first.purpose, first.outcome),
        *(first.partner_reference, first.decided_at.seconds),
    )
    assert [("rita", "make good")] == [(look.actor, look.purpose) for look in staff.home.registry.looks("court", "key-1")]


async def test_a_certificate_is_given_or_says_who_may_still_hold_the_entry(staff: Staff) -> None:
    await stand(staff)
    code, reason, _, _ = await refused(staff, "operator-key", "GetReleaseCertificate", **KEY)
    assert (grpc.StatusCode.FAILED_PRECONDITION, "STEP_NOT_ALLOWED") == (code, reason)
    before = staff.home.registry.head()
    await ask(staff, "editor-key", "ReleaseEntry", **KEY, ground=pb.RELEASE_GROUND_PAID, why="paid")
    for seq, waiting in ((before, ["host-b"]), (staff.home.registry.head(), [])):
        staff.home.hosts.said = [
            Acknowledgement("host-a", 8, staff.home.registry.head(), time.time()),
            Acknowledgement("host-b", 7, seq, time.time()),
        ]
        given = await ask(staff, "operator-key", "GetReleaseCertificate", **KEY)
        assert (waiting, bool(waiting)) == (list(given.waiting_for), not given.certificate)
    certified = read_certificate(given.certificate, staff.home.signer.key(staff.home.journal.origin()))
    assert ("court", "case-1", "release", "PAID") == (
        certified.list,
        certified.case_reference,
        certified.step,
        certified.ground,
    )


async def test_what_was_removed_by_age_is_reported_in_order_and_a_dry_run_removes_nothing(staff: Staff) -> None:
    await stand(staff)
    await ask(staff, "auditor-key", "GetEntry", **KEY)
    await ask(staff, "editor-key", "ReleaseEntry", **KEY, ground=pb.RELEASE_GROUND_PAID, why="paid")
    staff.home.registry.apply_policy(
        policy(a_list("bikes"), a_list("court", kept_after_end_s=0, looks_kept_s=0)), actor="test"
    )
    for dry_run, removed in ((True, 1), (False, 1), (False, 0)):
        report = await ask(staff, "operator-key", "RunRetention", dry_run=dry_run)
        expected = [("court", "identities", removed), ("court", "looks", removed)] if removed else []
        assert expected == [(each.list, each.kind, each.count) for each in report.removed]


@pytest.fixture
async def limited(staff: Staff) -> Staff:
    """Give one person of each role keys that are good for the court's list alone."""
    for role in (Role.AUTHORITY_EDITOR, Role.AUTHORITY_APPROVER, Role.OPERATOR, Role.AUDITOR):
        staff.home.give_key(f"court-{role}", f"carl-{role}", role, lists=["court"])
    await staff.put(an_entry(list="bikes"))
    await staff.put(an_entry(2))
    await staff.home.publish(staff.bench)
    return staff


OUTSIDE: list[tuple[str, str, dict[str, Any]]] = [
    ("authority-editor", "PutEntry", {"entry": an_entry(list="bikes")}),
    ("authority-editor", "AddIdentifiers", {"identifiers": [types_pb2.Identifier(kind="passport")]}),
    ("authority-editor", "ReleaseEntry", {"ground": pb.RELEASE_GROUND_PAID, "why": "paid"}),
    ("authority-editor", "WithdrawEntry", {"reason": "a slip"}),
    ("authority-editor", "ObjectToRelease", {"why": "not paid"}),
    ("authority-editor", "RevealEntry", {"purpose": "curious"}),
    ("authority-approver", "ApproveEntry", {}),
    ("authority-approver", "RejectEntry", {"why": "no"}),
    ("authority-approver", "SuspendList", {"reason": "no"}),
    ("authority-approver", "ResumeList", {"reason": "no"}),
    ("operator", "PlanBulk", {"step": pb.BULK_STEP_APPROVE, "query": pb.EntryQuery(list="bikes")}),
    ("operator", "GetImpact", {}),
    ("operator", "GetReleaseCertificate", {}),
    ("auditor", "GetEntry", {}),
    ("auditor", "GetEntryHistory", {}),
    ("auditor", "ListEntries", {}),
    ("auditor", "ListProposals", {}),
    ("auditor", "ListSettlements", {}),
    ("auditor", "GetList", {"name": "bikes"}),
]
"""What a key that is limited to the court's list may do there, and is tried on another."""


async def test_a_limited_key_acts_on_no_other_list(limited: Staff) -> None:
    for role, method, fields in OUTSIDE:
        names = getattr(pb, f"{method}Request").DESCRIPTOR.fields_by_name
        where = {name: value for name, value in (("list", "bikes"), ("key", "key-1")) if name in names}
        code, reason, _, text = await refused(limited, f"court-{role}", method, **(where | fields))
        assert (grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_SCOPE") == (code, reason), method
        assert "does not cover this list" in text
    assert [] == list(limited.home.registry.looks("bikes", "key-1"))


async def test_a_limited_key_is_shown_what_is_of_its_own_lists(limited: Staff) -> None:
    key = "court-auditor"
    assert ["court"] == [each.name for each in (await ask(limited, key, "ListLists")).lists]
    assert ["key-2"] == [each.key for each in (await ask(limited, key, "ListProposals")).proposals]
    assert 3 == len((await ask(limited, "auditor-key", "ListLists")).lists)


async def test_what_concerns_every_list_takes_a_key_without_lists(limited: Staff) -> None:
    code, reason, _, text = await refused(limited, "court-operator", "RunRetention", dry_run=True)
    assert (grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_SCOPE") == (code, reason)
    assert "use one without lists" in text


async def test_an_import_of_another_list_is_not_begun(limited: Staff) -> None:
    opening = pb.ImportEntriesRequest(opening=pb.ImportEntriesRequest.Opening(list="bikes"))
    stream = limited.bench.channel.stream_unary("/portcullis.v1.RegistryService/ImportEntries")(
        iter([opening.SerializeToString()]), metadata=[("authorization", "Bearer court-operator")], timeout=10
    )
    code, reason, _, _ = await refusal(stream)
    assert (grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_SCOPE") == (code, reason)


async def import_into(staff: Staff, name: str, *numbers: int, full: bool = False) -> pb.ImportEntriesResponse:
    mode = pb.IMPORT_MODE_FULL if full else pb.IMPORT_MODE_ADDITIVE
    parts = [
        pb.ImportEntriesRequest(opening=pb.ImportEntriesRequest.Opening(list=name, mode=mode)),
        pb.ImportEntriesRequest(
            rows=pb.ImportEntriesRequest.Rows(entries=[an_entry(number, list=name) for number in numbers])
        ),
    ]
    stream = staff.bench.channel.stream_unary("/portcullis.v1.RegistryService/ImportEntries")(
        iter([part.SerializeToString() for part in parts]), metadata=[("authorization", "Bearer editor-key")], timeout=10
    )
    return pb.ImportEntriesResponse.FromString(await stream)


async def test_a_held_import_of_another_list_is_neither_shown_nor_decided(limited: Staff) -> None:
    court = await import_into(limited, "court", 5)
    assert court.held
    limited.home.give_key("bikes-approver", "bert", Role.AUTHORITY_APPROVER, lists=["bikes"])
    await limited.home.publish(limited.bench)
    assert [] == list((await ask(limited, "bikes-approver", "ListHeldImports")).held_imports)
    for method in ("ApproveImport", "RejectImport"):
        code, reason, _, _ = await refused(limited, "bikes-approver", method, import_id=court.import_id)
        assert (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") == (code, reason)
    (shown,) = (await ask(limited, "court-authority-approver", "ListHeldImports")).held_imports
    assert ("court", "edith") == (shown.list, shown.importer)
    approved = await ask(limited, "court-authority-approver", "ApproveImport", import_id=court.import_id)
    assert 1 == approved.added


async def test_a_key_that_has_ended_acts_no_more_though_the_snapshot_still_knows_it(limited: Staff) -> None:
    limited.home.desks.keys.revoke("id-court-operator", actor="olga")
    code, reason, _, _ = await refused(limited, "court-operator", "GetList", name="court")
    assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED") == (code, reason)
