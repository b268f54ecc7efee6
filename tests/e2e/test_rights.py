"""How a person gets on a list, sees it, disputes it and gets off: on the embedded stack, by command and over gRPC."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portcullis.cli.entry_files import entry_message
from portcullis.client import Client, Event, Identifier, NotFound, Settled
from portcullis.client.operating import StaffClient
from portcullis.config import Settings
from portcullis.demo.people import passport, resident_id
from portcullis.domain.disputes import DisputeGround
from portcullis.domain.shared_events import EventKind
from portcullis.mains.demo import POLICY
from portcullis.mains.parts import open_journal, open_registry, open_rights, open_token_keys
from portcullis.mains.wiring import ProcessWiring
from portcullis.registry.disputes import Disputes
from portcullis.v1 import redress_service_pb2 as redress
from portcullis.v1 import registry_service_pb2 as registry
from portcullis.v1 import types_pb2
from tests.support.clocks import HandClock
from tests.support.processes import wait_for
from tests.support.stack import RunningStack, portcullis, running_stack

pytestmark = pytest.mark.e2e

LIST = "carrier-misconduct"
VISIBLE_S = 2.0
"""How soon a change must be seen at every gateway (DOMAIN.md)."""
CONNECTIONS = 16
"""Fresh connections a look, so that each of two workers is asked."""
DAY_S = 86_400
DECIDED_DAYS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("rights")
    with running_stack(folder / "home", "--workers", "2") as running:
        policy = folder / "policy"
        shutil.copytree(POLICY, policy)
        file = policy / "lists" / f"{LIST}.toml"
        text = file.read_text().replace("[list]\n", "[list]\nfour_eyes = true\n", 1)
        file.write_text(text.replace("stays_on_dispute = true", "stays_on_dispute = false"))
        applied = portcullis("policy", "apply", policy, "--home", running.home)
        assert 0 == applied.returncode, applied.stderr
        yield running


def people_key(stack: RunningStack, name: str) -> str:
    return str(json.loads((stack.home / "demo-people-keys.json").read_text())[name])


def staff(stack: RunningStack, name: str) -> StaffClient:
    return StaffClient(stack.grpc, api_key=people_key(stack, name))


def operator_of(stack: RunningStack) -> StaffClient:
    return StaffClient(stack.grpc, api_key=(stack.home / "operator-key").read_text().strip())


def command(stack: RunningStack, *arguments: str | Path) -> Any:
    done = portcullis(*arguments, "--home", stack.home, "--json")
    assert 0 == done.returncode, f"{arguments[:2]}: {done.stderr}"
    return json.loads(done.stdout)


def row(key: str, identifier: Identifier, *, days: int = 60) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    return {
        "key": key,
        "subject_type": "person",
        "identifiers": [{"kind": identifier.kind, "value": identifier.value, "country": identifier.country}],
        "case_reference": f"Flight report {key}",
        "valid_from": str(today - timedelta(days=1)),
        "until": str(today + timedelta(days=days)),
    }


def put(stack: RunningStack, key: str, identifier: Identifier) -> registry.PutEntryResponse:
    entry = entry_message(ProcessWiring().read_row(json.dumps(row(key, identifier)).encode()), LIST)
    with staff(stack, "editor") as editor:
        return editor.call(editor.registry.PutEntry, registry.PutEntryRequest(entry=entry, why="reported by the crew"))


def approve(stack: RunningStack, key: str) -> None:
    with staff(stack, "approver") as approver:
        waiting = approver.call(approver.registry.ListProposals, registry.ListProposalsRequest(list=LIST)).proposals
        (version,) = (each.version for each in waiting if each.key == key)
        request = registry.ApproveEntryRequest(list=LIST, key=key, document=f"minutes/{key}", expected_version=version)
        approver.call(approver.registry.ApproveEntry, request)


def list_it(stack: RunningStack, key: str, identifier: Identifier) -> None:
    put(stack, key, identifier)
    approve(stack, key)
    assert_everywhere(stack, identifier, "RESTRICT", within_s=10.0)


def outcome(stack: RunningStack, *identifiers: Identifier, redress_number: str = "") -> str:
    with stack.client("ticketing") as client:
        return str(ask(client, *identifiers, redress_number=redress_number).outcome)


def ask(client: Client, *identifiers: Identifier, redress_number: str = "") -> Any:
    return client.check(identifiers, action="air.ticket.purchase", purpose="ticketing", redress_number=redress_number)


def assert_everywhere(stack: RunningStack, identifier: Identifier, wanted: str, *, within_s: float = VISIBLE_S) -> None:
    """Ask over fresh connections until every one of a look gives the outcome."""
    until = time.monotonic() + within_s
    while True:
        seen = {outcome(stack, identifier) for _ in range(CONNECTIONS)}
        if seen == {wanted}:
            return
        assert time.monotonic() < until, f"{seen} after {within_s} s, where every worker should say {wanted}"


def as_identifier(own: Any) -> Identifier:
    return Identifier(own.kind, own.value, own.country)


def wire(identifier: Identifier) -> types_pb2.Identifier:
    return types_pb2.Identifier(kind=identifier.kind, value=identifier.value, country=identifier.country)


def code_for(stack: RunningStack, identifier: Identifier) -> str:
    with operator_of(stack) as operator:
        request = redress.IssueSubjectCodeRequest(identifier=wire(identifier))
        return operator.call(operator.redress.IssueSubjectCode, request).code


def session_of(stack: RunningStack, identifier: Identifier) -> str:
    code = code_for(stack, identifier)
    with StaffClient(stack.grpc) as stranger:
        request = redress.BeginSessionRequest(identifier=wire(identifier), proof=code)
        return stranger.call(stranger.redress.BeginSession, request).session


def open_dispute(stack: RunningStack, identifier: Identifier, key: str) -> str:
    """Object as the subject does: by the case reference of the notice alone."""
    with StaffClient(stack.grpc, api_key=session_of(stack, identifier)) as subject:
        request = redress.OpenDisputeRequest(
            list=LIST,
            case_reference=f"Flight report {key}",
            ground=redress.DISPUTE_GROUND_WRONG_FACTS,
            evidence=["letter/1"],
        )
        return subject.call(subject.redress.OpenDispute, request).case.case_id


def opened_long_ago(stack: RunningStack, key: str, *, left_s: float) -> None:
    """Open a dispute whose time to decide is over in ``left_s`` seconds: with a clock that stands thirty days back."""
    settings = Settings(home=stack.home)
    clock = HandClock(time.time() - DECIDED_DAYS * DAY_S + left_s)
    tokeniser = open_token_keys(settings)
    with open_registry(settings, tokeniser, clock) as store, open_rights(settings, clock) as rights:
        Disputes(store, store, rights, clock=clock).open_dispute(
            list_name=LIST, case_reference="", key=key, ground=DisputeGround.WRONG_FACTS, evidence=(), by="reviewer"
        )


def resolve(stack: RunningStack, case_id: str, decision: redress.Resolution.ValueType) -> None:
    with staff(stack, "reviewer") as reviewer:
        assign = redress.AssignReviewerRequest(case_id=case_id, reviewer="reviewer")
        reviewer.call(reviewer.redress.AssignReviewer, assign)
        decided = redress.ResolveRequest(case_id=case_id, resolution=decision, why="the report was read")
        reviewer.call(reviewer.redress.Resolve, decided)


def test_a_proposal_binds_nobody_until_another_person_approves_it(stack, tmp_path):
    identifier = as_identifier(resident_id(910_001))
    file = tmp_path / "entry.json"
    file.write_text(json.dumps(row("four-eyes", identifier), indent=2))
    assert command(stack, "entry", "put", LIST, file, "--as", "editor", "--why", "reported by the crew")["pending"]
    (waits,) = command(stack, "entry", "proposals", "--list", LIST, "--as", "approver")["proposals"]
    assert ("Flight report four-eyes", 1) == (waits["proposed"]["case_reference"], waits["identifiers_added"])
    approve_it = ("entry", "approve", f"{LIST}/four-eyes", "--expected-version", waits["version"])
    alone = portcullis(*approve_it, "--home", stack.home, "--as", "editor")
    assert 0 != alone.returncode
    assert "ALLOW" == outcome(stack, identifier)
    command(stack, *approve_it, "--as", "approver")
    assert_everywhere(stack, identifier, "RESTRICT", within_s=10.0)


def test_a_stay_reaches_every_worker_and_an_upheld_dispute_binds_again(stack):
    identifier = as_identifier(resident_id(910_002))
    list_it(stack, "stayed", identifier)
    case_id = open_dispute(stack, identifier, "stayed")
    command(stack, "case", "stay", case_id, "--why", "the seat was another's", "--as", "reviewer")
    assert_everywhere(stack, identifier, "ALLOW")
    resolve(stack, case_id, redress.RESOLUTION_UPHELD)
    assert_everywhere(stack, identifier, "RESTRICT", within_s=10.0)


def test_a_dispute_resolved_for_the_subject_frees_tells_partners_to_make_good_and_is_certified(stack, tmp_path):
    identifier = as_identifier(resident_id(910_003))
    list_it(stack, "in-error", identifier)
    with stack.client("ticketing") as client:
        cursor = next(iter(client.watch_changes())).cursor
        refused = ask(client, identifier)
    resolve(stack, open_dispute(stack, identifier, "in-error"), redress.RESOLUTION_WITHDRAWN)
    assert_everywhere(stack, identifier, "ALLOW")
    # A dispute moves the end of its entry, so that comes first.
    assert ["AMENDED", "WITHDRAWN", "RELEASED_IN_ERROR"] == told_since(stack, cursor, refused.reasons[0].subject)
    caused = wait_for(lambda: decisions_of(stack, "in-error"), what="the refusals in the journal")
    assert refused.decision_id in caused
    certificate = wait_for(lambda: certified(stack, "in-error"), what="the release certificate")
    assert "Flight report in-error" in certificate
    file = tmp_path / "certificate.txt"
    file.write_text(certificate)
    verified = portcullis("certificate", "verify", file, "--home", stack.home)
    assert 0 == verified.returncode, verified.stderr
    file.write_text(certificate.replace("in-error", "in-errer"))
    assert 0 != portcullis("certificate", "verify", file, "--home", stack.home).returncode


def test_a_dispute_that_nobody_decides_lapses_by_the_clock_with_nobody_acting(stack):
    identifier = as_identifier(resident_id(910_004))
    list_it(stack, "lapsing", identifier)
    opened_long_ago(stack, "lapsing", left_s=6.0)
    assert "RESTRICT" == outcome(stack, identifier)
    time_of_lapse = time.monotonic() + 6.0
    wait_for(lambda: time.monotonic() >= time_of_lapse, what="the deadline")
    assert_everywhere(stack, identifier, "ALLOW")
    wait_for(lambda: registry.ENTRY_STATUS_RELEASED == status_of(stack, "lapsing"), what="the formal release")


def test_a_person_mistaken_for_another_is_cleared_by_a_redress_number_beside_their_own_document(stack):
    listed, mistaken_for = as_identifier(resident_id(910_005)), as_identifier(passport(910_005))
    list_it(stack, "mistaken", listed)
    with staff(stack, "editor") as editor:
        request = registry.AddIdentifiersRequest(
            list=LIST, key="mistaken", identifiers=[wire(mistaken_for)], why="passport found"
        )
        assert editor.call(editor.registry.AddIdentifiers, request).pending
    approve(stack, "mistaken")
    assert_everywhere(stack, mistaken_for, "RESTRICT", within_s=10.0)
    own = as_identifier(resident_id(910_006))
    with staff(stack, "reviewer") as reviewer:
        issued = reviewer.call(
            reviewer.redress.IssueRedressNumber,
            redress.IssueRedressNumberRequest(
                list=LIST, key="mistaken", mistaken=wire(mistaken_for), own=wire(own), why="documents compared"
            ),
        )
    number = issued.redress_number
    wait_for(lambda: "ALLOW" == outcome(stack, own, mistaken_for, redress_number=number), what="the clearance")
    assert "RESTRICT" == outcome(stack, own, mistaken_for)
    assert "RESTRICT" == outcome(stack, mistaken_for, redress_number=number)
    assert "RESTRICT" == outcome(stack, listed, mistaken_for, redress_number=number)


def test_a_whole_list_is_out_of_force_within_seconds_once_two_people_ask_for_it(stack):
    identifier = as_identifier(resident_id(910_007))
    list_it(stack, "suspended", identifier)
    suspend = registry.SuspendListRequest(list=LIST, reason="a faulty feed")
    with staff(stack, "approver") as first, operator_of(stack) as second:
        first.call(first.registry.SuspendList, suspend)
        assert "RESTRICT" == outcome(stack, identifier)
        try:
            second.call(second.registry.SuspendList, suspend)
            assert_everywhere(stack, identifier, "ALLOW")
        finally:
            for one in (first, second):
                one.call(one.registry.ResumeList, registry.ResumeListRequest(list=LIST, reason="the feed is mended"))
    assert_everywhere(stack, identifier, "RESTRICT", within_s=10.0)


def test_a_subject_sees_entries_decisions_and_looks_and_nobody_else_does(stack):
    identifier, other = as_identifier(resident_id(910_008)), as_identifier(resident_id(910_009))
    list_it(stack, "seen", identifier)
    list_it(stack, "unseen", other)
    with stack.client("ticketing") as client:
        assert "RESTRICT" == str(ask(client, identifier).outcome)
    with staff(stack, "editor") as editor:
        request = registry.RevealEntryRequest(list=LIST, key="seen", purpose="spelling of the name")
        revealed = editor.call(editor.registry.RevealEntry, request)
    assert [identifier.value] == [each.value for each in revealed.entry.identifiers]
    text = wait_for(lambda: _exported(stack, identifier), what="the refusal in the record")
    assert "Flight report seen" in text
    assert "spelling of the name" in text
    assert "Flight report unseen" not in text
    chinese = export(stack, identifier, "--locale", "zh-CN")
    assert "Flight report seen" in chinese
    assert chinese != text


def test_an_erased_subject_is_nobodys_and_the_journal_still_verifies(stack):
    identifier = as_identifier(resident_id(910_010))
    list_it(stack, "erased", identifier)
    with staff(stack, "editor") as editor:
        request = registry.WithdrawEntryRequest(list=LIST, key="erased", reason="a mix-up", in_error=True)
        editor.call(editor.registry.WithdrawEntry, request)
    assert_everywhere(stack, identifier, "ALLOW")
    wait_for(lambda: decisions_of(stack, "erased"), what="the refusals in the journal")
    report_settled(stack, "erased")
    assert ["erased"] == readable_reports(stack)
    erased = command(stack, "subject", "erase", "--id", f"{identifier.kind}:{identifier.value}", "--why", "asked for")
    assert ("1", "0") == (erased["entries"], erased["kept"])
    assert int(erased["keys"]) >= 2
    assert [] == readable_reports(stack)
    verified = portcullis("journal", "verify", "--home", stack.home)
    assert 0 == verified.returncode, verified.stdout + verified.stderr
    request = registry.RevealEntryRequest(list=LIST, key="erased", purpose="to see that nothing is left")
    with staff(stack, "editor") as editor, pytest.raises(NotFound):
        editor.call(editor.registry.RevealEntry, request)


def report_settled(stack: RunningStack, key: str) -> None:
    """Have a partner report an entry's case as settled."""
    event = Event(key, datetime.now(UTC), Settled(LIST, f"Flight report {key}"), reference=f"order/{key}")
    with stack.client("ticketing") as client:
        (answer,) = client.report_events([event])
    assert answer.receipt is not None, answer


def readable_reports(stack: RunningStack) -> list[str]:
    """Name the settlements in the journal that can be read."""
    with open_journal(Settings(home=stack.home)) as journal:
        found = journal.events_after(-1, {EventKind.SETTLED: None}, limit=100).events
    return [each.event.event_id for each in found if each.event is not None]


def told_since(stack: RunningStack, cursor: str, subject: str) -> list[str]:
    """Give the kinds of changes about one subject since a cursor, as a partner's watch brings them."""
    kinds: list[str] = []
    with stack.client("ticketing", timeout_s=30.0) as client:
        for watched in client.watch_changes(cursor):
            change = getattr(watched, "change", watched)
            if getattr(change, "subject", "") == subject:
                kinds.append(str(change.kind))
            if "RELEASED_IN_ERROR" in kinds:
                return kinds
    return kinds


def decisions_of(stack: RunningStack, key: str) -> list[str]:
    with operator_of(stack) as operator:
        found = operator.call(operator.registry.GetImpact, registry.GetImpactRequest(list=LIST, key=key))
    return [each.decision_id for partner in found.partners for each in partner.decisions]


def certified(stack: RunningStack, key: str) -> str:
    with operator_of(stack) as operator:
        request = registry.GetReleaseCertificateRequest(list=LIST, key=key)
        return operator.call(operator.registry.GetReleaseCertificate, request).certificate


def status_of(stack: RunningStack, key: str) -> registry.EntryStatus.ValueType:
    with operator_of(stack) as operator:
        request = registry.GetEntryRequest(list=LIST, key=key)
        return operator.call(operator.registry.GetEntry, request).entry.status


def export(stack: RunningStack, identifier: Identifier, *more: str) -> str:
    code = code_for(stack, identifier)
    done = portcullis(
        "subject",
        "export",
        "--id",
        f"{identifier.kind}:{identifier.value}",
        "--home",
        stack.home,
        *more,
        PORTCULLIS_SUBJECT_CODE=code,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


def _exported(stack: RunningStack, identifier: Identifier) -> str:
    """Give the text once the decision has come through the spool into the journal."""
    text = export(stack, identifier)
    return text if "Demonstration Ticket Office" in text else ""
