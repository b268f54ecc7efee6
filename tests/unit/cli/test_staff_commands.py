"""The commands of those who keep lists and look into disputes: what they ask for, with whose key, and what they show."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.domain.errors import RoleRequired, StepNotAllowed, Unauthenticated
from portcullis.domain.signed_notes import verifier_key
from portcullis.v1 import redress_service_pb2 as redress
from portcullis.v1 import registry_service_pb2 as registry
from portcullis.v1 import types_pb2
from tests.support.command_homes import portcullis
from tests.support.scripted_staff import ScriptedStaff, serving_staff

CERTIFICATE = Path(__file__).parents[1] / "domain" / "golden" / "release-certificate.txt"
OWN_COMMANDS = ("begin", "export", "dispute", "case", "evidence")
"""What a listed person does, with a code or a session and never a key."""
AT = Timestamp(seconds=4_102_444_800)
ENTRY = registry.Entry(
    list="carriers", key="FM/17", case_reference="Report 17", status=registry.ENTRY_STATUS_STAYED, until=AT
)
CASE = redress.Case(
    case_id="c" * 16,
    list="carriers",
    key="FM/17",
    kind=redress.CASE_KIND_DISPUTE,
    ground=redress.DISPUTE_GROUND_NOT_ME,
    decide_by=AT,
    evidence=[redress.Evidence(reference="letter/1", added_by="subject", added_at=AT)],
    steps=[redress.CaseStep(step="open", at=AT, actor="subject")],
)
PASSPORT = types_pb2.Identifier(kind="passport", value="P00000040", country="XA")
OWN = types_pb2.Identifier(kind="cn.resident-id", value="110101209001010011")

OWN_TEXT = f"{OWN.kind}:{OWN.value}"

ASKED: list[tuple[list[str], str, Message, Message]] = [
    (
        ["entry", "approve", "carriers/FM/17", "--document", "minutes/3", "--expected-version", "2"],
        "ApproveEntry",
        registry.ApproveEntryRequest(list="carriers", key="FM/17", document="minutes/3", expected_version=2),
        registry.ApproveEntryResponse(entry=ENTRY),
    ),
    (
        ["entry", "reject", "carriers/FM/17", "--why", "no document"],
        "RejectEntry",
        registry.RejectEntryRequest(list="carriers", key="FM/17", why="no document"),
        registry.RejectEntryResponse(entry=ENTRY),
    ),
    (
        ["entry", "release", "carriers/FM/17", "--ground", "term-over", "--why", "six months"],
        "ReleaseEntry",
        registry.ReleaseEntryRequest(
            list="carriers", key="FM/17", ground=registry.RELEASE_GROUND_TERM_OVER, why="six months"
        ),
        registry.ReleaseEntryResponse(entry=ENTRY),
    ),
    (
        ["entry", "withdraw", "carriers/FM/17", "--in-error", "--why", "a mix-up"],
        "WithdrawEntry",
        registry.WithdrawEntryRequest(list="carriers", key="FM/17", in_error=True, reason="a mix-up"),
        registry.WithdrawEntryResponse(entry=ENTRY),
    ),
    (
        ["entry", "show", "carriers/FM/17"],
        "GetEntry",
        registry.GetEntryRequest(list="carriers", key="FM/17"),
        registry.GetEntryResponse(entry=ENTRY),
    ),
    (
        ["entry", "reveal", "carriers/FM/17", "--purpose", "spelling"],
        "RevealEntry",
        registry.RevealEntryRequest(list="carriers", key="FM/17", purpose="spelling"),
        registry.RevealEntryResponse(entry=ENTRY),
    ),
    (
        ["entry", "reveal", "carriers/FM/17", "--purpose", "four eyes", "--proposed"],
        "RevealEntry",
        registry.RevealEntryRequest(list="carriers", key="FM/17", purpose="four eyes", proposed=True),
        registry.RevealEntryResponse(entry=ENTRY),
    ),
    (
        ["entry", "bulk", "plan", "renew", "carriers", "--case-prefix", "Report", "--until-before", "2100-01-01"],
        "PlanBulk",
        registry.PlanBulkRequest(
            step=registry.BULK_STEP_RENEW,
            query=registry.EntryQuery(list="carriers", case_reference_prefix="Report", until_before=AT),
        ),
        registry.PlanBulkResponse(plan="p" * 32, entries=3, samples=[ENTRY]),
    ),
    (
        ["entry", "bulk", "run", "release", "carriers", "--ground", "paid", "--plan", "pp", "--why", "amnesty"],
        "RunBulk",
        registry.RunBulkRequest(
            step=registry.BULK_STEP_RELEASE,
            query=registry.EntryQuery(list="carriers"),
            ground=registry.RELEASE_GROUND_PAID,
            plan="pp",
            why="amnesty",
        ),
        registry.RunBulkResponse(entries=3),
    ),
    (
        ["list", "suspend", "carriers", "--why", "a faulty feed"],
        "SuspendList",
        registry.SuspendListRequest(list="carriers", reason="a faulty feed"),
        registry.SuspendListResponse(list_switch=registry.ListSwitch(list="carriers", requested_by="ann")),
    ),
    (
        ["list", "resume", "carriers", "--why", "mended"],
        "ResumeList",
        registry.ResumeListRequest(list="carriers", reason="mended"),
        registry.ResumeListResponse(list_switch=registry.ListSwitch(list="carriers")),
    ),
    (
        ["case", "open", "carriers/FM/17", "--ground", "not-me", "--evidence", "letter/1"],
        "OpenDispute",
        redress.OpenDisputeRequest(
            list="carriers", key="FM/17", ground=redress.DISPUTE_GROUND_NOT_ME, evidence=["letter/1"]
        ),
        redress.OpenDisputeResponse(case=CASE),
    ),
    (
        ["case", "list", "--state", "lapsed", "--most", "7"],
        "ListCases",
        redress.ListCasesRequest(state=redress.CASE_STATE_LAPSED, page_size=7),
        redress.ListCasesResponse(cases=[CASE], next_page_token="next"),
    ),
    (["case", "show", "c1"], "GetCase", redress.GetCaseRequest(case_id="c1"), redress.GetCaseResponse(case=CASE)),
    (
        ["case", "assign", "c1", "rita"],
        "AssignReviewer",
        redress.AssignReviewerRequest(case_id="c1", reviewer="rita"),
        redress.AssignReviewerResponse(case=CASE),
    ),
    (
        ["case", "stay", "c1", "--why", "documents differ", "--expected-version", "4"],
        "Stay",
        redress.StayRequest(case_id="c1", why="documents differ", expected_version=4),
        redress.StayResponse(case=CASE),
    ),
    (
        ["case", "resolve", "c1", "withdrawn", "--why", "another's seat", "--document", "decision/9"],
        "Resolve",
        redress.ResolveRequest(
            case_id="c1", resolution=redress.RESOLUTION_WITHDRAWN, why="another's seat", document="decision/9"
        ),
        redress.ResolveResponse(case=CASE),
    ),
    (
        [
            "redress",
            "issue",
            "carriers/FM/17",
            "--mistaken",
            "passport:XA:P00000040",
            "--own",
            OWN_TEXT,
            "--why",
            "compared",
        ],
        "IssueRedressNumber",
        redress.IssueRedressNumberRequest(list="carriers", key="FM/17", mistaken=PASSPORT, own=OWN, why="compared"),
        redress.IssueRedressNumberResponse(redress_number="PCR-1", number_id="n1"),
    ),
    (
        ["subject", "code", "--id", "passport:XA:P00000040"],
        "IssueSubjectCode",
        redress.IssueSubjectCodeRequest(identifier=PASSPORT),
        redress.IssueSubjectCodeResponse(code="0123456789", expires_at=AT),
    ),
    (
        ["subject", "erase", "--id", "passport:XA:P00000040", "--why", "asked for"],
        "EraseSubject",
        redress.EraseSubjectRequest(identifier=PASSPORT, why="asked for"),
        redress.EraseSubjectResponse(entries=1, keys=2, left=3),
    ),
    (
        ["settlement", "object", "carriers/FM/17", "--why", "not paid"],
        "ObjectToRelease",
        registry.ObjectToReleaseRequest(list="carriers", key="FM/17", why="not paid"),
        registry.ObjectToReleaseResponse(),
    ),
    (
        ["impact", "carriers/FM/17"],
        "GetImpact",
        registry.GetImpactRequest(list="carriers", key="FM/17"),
        registry.GetImpactResponse(
            partners=[
                registry.PartnerImpact(
                    partner="shop",
                    total=1,
                    decisions=[registry.CausedDecision(decision_id="d1", outcome=types_pb2.OUTCOME_RESTRICT)],
                )
            ]
        ),
    ),
    (
        ["retention", "run", "--dry-run"],
        "RunRetention",
        registry.RunRetentionRequest(dry_run=True),
        registry.RunRetentionResponse(
            removed=[registry.RunRetentionResponse.Removed(list="carriers", kind="looks", count=5)]
        ),
    ),
]

NAMES = [" ".join(row[0][:3]) for row in ASKED]


@pytest.fixture
def staff() -> Iterator[SimpleNamespace]:
    scripted = ScriptedStaff()
    with serving_staff(scripted) as target:

        def run(*arguments: str, key: str = "made-up") -> int:
            with_key = [] if arguments[0] == "subject" and arguments[1] in OWN_COMMANDS else ["--key", key]
            return portcullis(*arguments, "--target", target, *with_key)

        yield SimpleNamespace(run=run, scripted=scripted, target=target)


@pytest.mark.parametrize("row", ASKED, ids=NAMES)
def test_a_command_asks_for_exactly_what_its_words_say_with_the_key_given(staff, row):
    arguments, method, request_, answer = row
    staff.scripted.answers[method] = answer
    assert 0 == staff.run(*arguments)
    assert [(method, request_.SerializeToString())] == staff.scripted.asked
    assert ["Bearer made-up"] == staff.scripted.keys


@pytest.mark.parametrize("row", ASKED, ids=NAMES)
def test_every_command_gives_its_answer_as_one_json_document(staff, capsys, row):
    arguments, method, _, answer = row
    staff.scripted.answers[method] = answer
    staff.run(*arguments, "--json")
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_an_entry_is_put_from_a_row_of_an_import(staff, tmp_path, capsys):
    file = tmp_path / "entry.json"
    row = {
        "key": "17",
        "subject_type": "person",
        "identifiers": [{"kind": "passport", "value": "P00000040", "country": "XA"}],
        "case_reference": "Report 17",
        "valid_from": "2090-01-01",
        "until": "2100-01-01",
    }
    file.write_text(json.dumps(row, indent=2))
    staff.scripted.answers["PutEntry"] = registry.PutEntryResponse(entry=ENTRY, changed=True, pending=True)
    assert 0 == staff.run("entry", "put", "carriers", str(file), "--why", "crew")
    ((method, body),) = staff.scripted.asked
    sent = registry.PutEntryRequest.FromString(body)
    assert ("PutEntry", "17", [PASSPORT], AT) == (method, sent.entry.key, list(sent.entry.identifiers), sent.entry.until)
    assert "another person" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["no json", "[]", '{"case": "x"}', ""])
def test_a_file_that_is_no_entry_is_refused_before_anything_is_asked(staff, tmp_path, capsys, text):
    file = tmp_path / "entry.json"
    file.write_text(text)
    assert 2 == staff.run("entry", "put", "carriers", str(file))
    assert [] == staff.scripted.asked
    assert capsys.readouterr().err.startswith("portcullis: ")


@pytest.mark.parametrize("name", ["carriers", "/17", "carriers/"])
def test_an_entry_that_is_not_named_by_list_and_key_is_told_how_to_write_it(staff, capsys, name):
    assert 2 == staff.run("entry", "show", name)
    assert "LIST/KEY" in capsys.readouterr().err
    assert [] == staff.scripted.asked


def test_what_waits_is_shown_with_its_version_and_with_what_it_would_bring(staff, capsys):
    proposed = registry.Entry(case_reference="Report 17b", valid_from=Timestamp(seconds=1), until=AT, measures=["no-air"])
    waits = registry.Proposal(
        list="carriers",
        key="FM/17",
        amendment=True,
        proposer="ann",
        proposed_at=AT,
        version=5,
        proposed=proposed,
        identifiers_added=2,
        identifiers_removed=1,
    )
    staff.scripted.answers["ListProposals"] = registry.ListProposalsResponse(proposals=[waits])
    assert 0 == staff.run("entry", "proposals")
    head, row = capsys.readouterr().out.splitlines()
    assert [
        *("ENTRY", "WHAT", "VERSION", "PROPOSED BY", "AT"),
        *("CASE", "FROM", "UNTIL", "MEASURES", "NUMBERS"),
    ] == re.split(r" {2,}", head)
    until = "2100-01-01 00:00:00 UTC"
    assert [
        *("carriers/FM/17", "amendment", "5", "ann", until),
        *("Report 17b", "1970-01-01 00:00:01 UTC", until, "no-air", "+2 -1"),
    ] == re.split(r" {2,}", row)


def test_nobody_approves_without_the_version_that_they_have_looked_at(staff, capsys):
    for given in ([], ["--expected-version", "0"]):
        assert 2 == staff.run("entry", "approve", "carriers/17", *given)
        assert "--expected-version" in capsys.readouterr().err
    assert [] == staff.scripted.asked


def test_a_refused_step_tells_which_steps_are_possible(staff, capsys):
    staff.scripted.answers["ApproveEntry"] = StepNotAllowed("approve", "stayed", ("lift", "release"))
    assert 1 == staff.run("entry", "approve", "carriers/17", "--expected-version", "3")
    assert "lift, release" in capsys.readouterr().err


def test_a_key_of_another_role_is_told_so_as_json_too(staff, capsys):
    staff.scripted.answers["Resolve"] = RoleRequired("this method is for the role reviewer", metadata={"role": "reviewer"})
    assert 1 == staff.run("case", "resolve", "c1", "upheld", "--why", "x", "--json")
    assert "ERROR_REASON_ROLE_REQUIRED" == json.loads(capsys.readouterr().out)["error"]["reason"]


def test_a_subject_exchanges_the_code_for_a_session_and_reads_with_that(staff, capsys, monkeypatch):
    staff.scripted.answers["BeginSession"] = redress.BeginSessionResponse(session="pcs_made-up", expires_at=AT)
    staff.scripted.answers["GetMyRecord"] = redress.GetMyRecordResponse(text="Nothing is kept.\n", locale="en")
    monkeypatch.setattr("sys.stdin", io.StringIO("passport:XA:P00000040\n"))
    monkeypatch.setenv("PORTCULLIS_SUBJECT_CODE", "0123456789")
    assert 0 == staff.run("subject", "export", "--id", "-", "--locale", "zh")
    assert ["BeginSession", "GetMyRecord"] == [method for method, _ in staff.scripted.asked]
    assert ["", "Bearer pcs_made-up"] == staff.scripted.keys
    assert "Nothing is kept.\n" == capsys.readouterr().out


@pytest.mark.parametrize("given", ["option", "variable"])
def test_a_code_is_read_from_the_file_that_is_named(staff, tmp_path, monkeypatch, given):
    staff.scripted.answers["BeginSession"] = redress.BeginSessionResponse(session="pcs_made-up", expires_at=AT)
    file = tmp_path / "code"
    file.write_text("7K2M-Q8XV-4D\n")
    monkeypatch.delenv("PORTCULLIS_SUBJECT_CODE", raising=False)
    if given == "variable":
        monkeypatch.setenv("PORTCULLIS_SUBJECT_CODE", f"@{file}")
    options = ["--code", f"@{file}"] if given == "option" else []
    assert 0 == staff.run("subject", "begin", "--id", OWN_TEXT, *options)
    ((_, asked),) = staff.scripted.asked
    assert "7K2M-Q8XV-4D" == redress.BeginSessionRequest.FromString(asked).proof


def test_a_session_is_read_from_the_file_that_its_variable_names(staff, tmp_path, monkeypatch):
    file = tmp_path / "session"
    file.write_text("pcs_made-up\n")
    monkeypatch.delenv("PORTCULLIS_SUBJECT_CODE", raising=False)
    monkeypatch.setenv("PORTCULLIS_SUBJECT_SESSION", f"@{file}")
    staff.scripted.answers["GetMyRecord"] = redress.GetMyRecordResponse(text="Nothing is kept.\n", locale="en")
    assert 0 == staff.run("subject", "export")
    assert ["Bearer pcs_made-up"] == staff.scripted.keys


@pytest.mark.parametrize("option", ["--key", "--as"])
@pytest.mark.parametrize("command", OWN_COMMANDS)
def test_what_a_person_does_with_a_proof_of_their_own_takes_no_key(staff, capsys, command, option):
    assert 2 == staff.run("subject", command, option, "x")
    assert "No such option" in capsys.readouterr().err


def test_a_subject_adds_a_document_to_their_own_case_with_their_session(staff, monkeypatch):
    monkeypatch.delenv("PORTCULLIS_SUBJECT_CODE", raising=False)
    monkeypatch.setenv("PORTCULLIS_SUBJECT_SESSION", "pcs_made-up")
    staff.scripted.answers["AddEvidence"] = redress.AddEvidenceResponse(case=CASE)
    assert 0 == staff.run("subject", "evidence", CASE.case_id, "letter/3")
    ((_, asked),) = staff.scripted.asked
    assert redress.AddEvidenceRequest(case_id=CASE.case_id, reference="letter/3") == redress.AddEvidenceRequest.FromString(
        asked
    )
    assert ["Bearer pcs_made-up"] == staff.scripted.keys


def test_without_code_and_session_a_subject_is_told_what_to_do(staff, capsys, monkeypatch):
    monkeypatch.delenv("PORTCULLIS_SUBJECT_CODE", raising=False)
    monkeypatch.delenv("PORTCULLIS_SUBJECT_SESSION", raising=False)
    assert 2 == staff.run("subject", "export")
    assert "PORTCULLIS_SUBJECT_SESSION" in capsys.readouterr().err


@pytest.mark.parametrize(("method", "variable"), [("BeginSession", "CODE"), ("GetMyRecord", "SESSION")])
def test_a_proof_that_does_not_hold_sends_a_subject_for_a_new_code_and_not_for_a_key(
    staff, capsys, monkeypatch, method, variable
):
    monkeypatch.setenv(f"PORTCULLIS_SUBJECT_{variable}", "ABCDE01234")
    staff.scripted.answers[method] = Unauthenticated()
    assert 2 == staff.run("subject", "export", "--id", OWN_TEXT)
    told = capsys.readouterr().err
    assert "portcullis subject code" in told
    assert "API key" not in told


def test_a_good_certificate_is_told_in_times_and_hosts(tmp_path, capsys):
    key = verifier_key("portcullis/journal/a1b2c3", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    assert 0 == portcullis("certificate", "verify", str(CERTIFICATE), "--key", str(key), "--home", str(tmp_path))
    shown = capsys.readouterr().out
    assert ["2027-01-15 08:00:00 UTC", "2027-01-15 08:00:02 UTC"] == re.findall(
        r"^  (?:left|certified) at +(.*)$", shown, re.MULTILINE
    )
    assert "gateway-1" in shown
    assert "{" not in shown


def test_a_certificate_that_is_not_due_yet_names_the_hosts_and_ends_with_one(staff, capsys):
    staff.scripted.answers["GetReleaseCertificate"] = registry.GetReleaseCertificateResponse(waiting_for=["edge-2"])
    assert 1 == staff.run("certificate", "get", "carriers/17")
    assert "edge-2" in capsys.readouterr().err


def test_an_answer_is_shown_in_words_and_without_what_is_empty(staff, capsys):
    staff.scripted.answers["GetEntry"] = registry.GetEntryResponse(entry=ENTRY)
    staff.run("entry", "show", "carriers/FM/17")
    shown = capsys.readouterr().out
    assert "stayed" in shown
    assert "2100-01-01 00:00:00 UTC" in shown
    assert "ENTRY_STATUS" not in shown
    assert "redress" not in shown


def test_a_persons_own_demonstration_key_is_taken_by_name(tmp_path, capsys):
    scripted = ScriptedStaff()
    scripted.answers["GetEntry"] = registry.GetEntryResponse(entry=ENTRY)
    (tmp_path / "demo-people-keys.json").write_text('{"editor": "the-editors"}')
    (tmp_path / "operator-key").write_text("the-operators\n")
    with serving_staff(scripted) as target:
        for more in ((), ("--as", "editor")):
            assert 0 == portcullis("entry", "show", "a/b", "--target", target, "--home", str(tmp_path), *more)
        assert 2 == portcullis("entry", "show", "a/b", "--target", target, "--home", str(tmp_path), "--as", "nobody")
    assert ["Bearer the-operators", "Bearer the-editors"] == scripted.keys
    assert "editor" in capsys.readouterr().err
