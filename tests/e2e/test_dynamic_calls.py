"""Every method, called by a tool that knows nothing of it but what reflection says: `buf curl`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portcullis.demo.people import passport
from portcullis.v1 import (
    admin_service_pb2,
    caller_service_pb2,
    check_service_pb2,
    redress_service_pb2,
    registry_service_pb2,
)
from tests.support.stack import ROOT, RunningStack, clean_environment, listed_resident, portcullis

pytestmark = pytest.mark.e2e

BUF = Path(sys.executable).with_name("buf")
LIST = "bike-misconduct"
FILES = (admin_service_pb2, caller_service_pb2, check_service_pb2, redress_service_pb2, registry_service_pb2)
FIRST, SECOND = {"list": LIST, "key": "dynamic-1"}, {"list": LIST, "key": "dynamic-2"}


class Caller:
    """Calls methods of one stack, and remembers which."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.called: set[str] = set()

    def call(self, key: str, method: str, *messages: dict[str, Any]) -> dict[str, Any]:
        """Call one method and give its first answer; an empty key is none."""
        done = self._run(key, method, messages)
        assert 0 == done.returncode, f"{method}: {done.stderr}"
        return dict(json.JSONDecoder().raw_decode(done.stdout)[0]) if done.stdout.strip() else {}

    def refused(self, key: str, method: str, *messages: dict[str, Any]) -> str:
        """Call one method that says no; gives what it says."""
        done = self._run(key, method, messages)
        assert 0 != done.returncode, method
        return done.stderr

    def key_of(self, name: str) -> str:
        """Give the key of one of the demonstration's people."""
        return str(json.loads((self.stack.home / "demo-people-keys.json").read_text())[name])

    def _run(self, key: str, method: str, messages: tuple[dict[str, Any], ...]) -> subprocess.CompletedProcess[str]:
        self.called.add(method)
        header = ["--header", f"authorization: Bearer {key}"] if key else []
        return subprocess.run(
            [
                *(str(BUF), "curl", "--http2-prior-knowledge", "--protocol", "grpc", "--data", "@-"),
                *(*header, f"http://{self.stack.grpc}/portcullis.v1.{method}"),
            ],
            input="\n".join(map(json.dumps, messages or ({},))),
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def test_every_method_can_be_called_by_reflection_alone(stack: RunningStack) -> None:
    caller = Caller(stack)
    person = listed_resident()
    check = {
        "identifiers": [{"kind": person.kind, "value": person.value}],
        "action": "rail.ticket.purchase",
        "purpose": "ticketing",
        "attributes": [{"name": "train", "string_value": "G101"}],
    }
    decision = _ask(caller, check)
    _look_up_a_caller(caller)
    _operate(caller, decision)
    assert {f"{each}/{method.name}" for each, method in _methods()} == caller.called


def _methods() -> list[tuple[str, Any]]:
    services = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
    return [(service.name, method) for service in services for method in service.methods]


def _ask(caller: Caller, check: dict[str, Any]) -> str:
    key = caller.stack.keys["ticketing"]
    one = caller.call(key, "CheckService/Check", check)
    (of_batch,) = caller.call(key, "CheckService/BatchCheck", {"requests": [check]})["results"]
    of_stream = caller.call(key, "CheckService/StreamCheck", {"request_id": "7", "check": check})
    assert ["OUTCOME_RESTRICT"] * 2 == [one["outcome"], of_batch["response"]["outcome"]]
    assert ("7", "OUTCOME_RESTRICT") == (of_stream["requestId"], of_stream["result"]["response"]["outcome"])
    return str(one["decisionId"])


def _look_up_a_caller(caller: Caller) -> None:
    (number,) = [found[0] for command in caller.stack.commands if (found := re.search(r"\+44\d+", command))]
    question = {"phone": number, "purpose": "caller-identification"}
    assert caller.call(caller.stack.keys["callerid"], "CallerService/LookupCaller", question)["label"]


def _operate(caller: Caller, decision: str) -> None:
    key = (caller.stack.home / "operator-key").read_text().strip()
    assert caller.call(key, "AdminService/GetStatus")["snapshot"]
    assert "ticketing" == caller.call(key, "AdminService/GetDecision", {"decision_id": decision})["partner"]
    made = caller.call(key, "AdminService/CreateApiKey", {"partner": "ticketing", "note": "of a test"})
    assert made["keyId"] in str(caller.call(key, "AdminService/ListApiKeys", {"partner": "ticketing"}))
    successor = caller.call(key, "AdminService/RotateApiKey", {"key_id": made["keyId"], "overlap": "60s"})
    for each in (made, successor):
        assert {} == caller.call(key, "AdminService/RevokeApiKey", {"key_id": each["keyId"]})
    assert {} == caller.call(key, "AdminService/ListAlarms")
    assert {} == caller.call(key, "AdminService/ReleaseAlarm", {"partner": "ticketing", "reason": "of a test"})

    entry = _entry(1)
    assert caller.call(key, "RegistryService/PutEntry", {"entry": entry, "why": "of a test"})["changed"]
    assert "Demo 1" == caller.call(key, "RegistryService/GetEntry", FIRST)["entry"]["caseReference"]
    header = {"opening": {"list": LIST, "mode": "IMPORT_MODE_ADDITIVE"}}
    imported = caller.call(key, "RegistryService/ImportEntries", header, {"rows": {"entries": [entry]}})
    assert "1" == str(imported.get("unchanged", 0))
    _decide_about_imports(caller, key)
    assert caller.call(key, "RegistryService/ListEntries", {"list": LIST})["entries"]
    assert LIST == caller.call(key, "RegistryService/GetList", {"name": LIST})["list"]["name"]
    assert 8 == len(caller.call(key, "RegistryService/ListLists")["lists"])
    _live(caller, key)
    _dispute(caller, key)
    _see(caller, key)
    _end(caller, key)


def _entry(number: int) -> dict[str, Any]:
    return {
        "list": LIST,
        "key": f"dynamic-{number}",
        "subject_type": "SUBJECT_TYPE_PERSON",
        "identifiers": [_identifier(900_000 + number)],
        "case_reference": f"Demo {number}",
        "valid_from": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z",
    }


def _identifier(number: int) -> dict[str, str]:
    document = passport(number)
    return {"kind": document.kind, "value": document.value, "country": document.country}


def _live(caller: Caller, key: str) -> None:
    """Take an entry through its steps, and ask for a list to be suspended; nobody else does, so it is not."""
    editor, approver = caller.key_of("editor"), caller.key_of("approver")
    found = FIRST | {"identifiers": [_identifier(900_011)], "document": "letter/1"}
    assert caller.call(editor, "RegistryService/AddIdentifiers", found)["changed"]
    assert {} == caller.call(approver, "RegistryService/ListProposals", {"list": LIST})
    for method in ("ApproveEntry", "RejectEntry"):
        told = caller.refused(approver, f"RegistryService/{method}", FIRST | {"why": "of a test", "expected_version": 2})
        assert "can't be done while it is in-force" in told
    shown = caller.call(caller.key_of("reviewer"), "RegistryService/RevealEntry", FIRST | {"purpose": "of a test"})
    assert 2 == len(shown["entry"]["identifiers"])
    switch = {"list": LIST, "reason": "of a test"}
    assert "approver" == caller.call(approver, "RegistryService/SuspendList", switch)["listSwitch"]["requestedBy"]
    assert "suspended" not in caller.call(approver, "RegistryService/ResumeList", switch)["listSwitch"]
    caller.call(editor, "RegistryService/PutEntry", {"entry": _entry(2)})
    step = {
        "step": "BULK_STEP_RELEASE",
        "ground": "RELEASE_GROUND_PAID",
        "query": {"list": LIST, "key_prefix": "dynamic-2"},
    }
    plan = caller.call(editor, "RegistryService/PlanBulk", step)
    assert ("1", 1) == (plan["entries"], len(plan["samples"]))
    done = caller.call(editor, "RegistryService/RunBulk", step | {"plan": plan["plan"], "why": "of a test"})
    assert "1" == done["entries"]
    history = caller.call(key, "RegistryService/GetEntryHistory", SECOND)["steps"]
    assert ["put", "release"] == [each["step"] for each in history]
    certificate = caller.call(key, "RegistryService/GetReleaseCertificate", SECOND)
    assert certificate.get("certificate") or certificate.get("waitingFor")


def _dispute(caller: Caller, key: str) -> None:
    """Object to an entry at the counter, and have a reviewer decide."""
    reviewer = caller.key_of("reviewer")
    objection = FIRST | {"ground": "DISPUTE_GROUND_WRONG_FACTS"}
    case = {"case_id": caller.call(key, "RedressService/OpenDispute", objection)["case"]["caseId"]}
    assert caller.call(key, "RedressService/AssignReviewer", case | {"reviewer": "reviewer"})["case"]["stayed"]
    assert caller.call(key, "RedressService/TellSource", case | {"document": "letter/2"})["case"]["sourceToldAt"]
    added = caller.call(caller.key_of("editor"), "RedressService/AddEvidence", case | {"reference": "order/1"})
    assert ["order/1"] == [each["reference"] for each in added["case"]["evidence"]]
    said = case | {"why": "of a test"}
    assert "stayed" not in caller.call(reviewer, "RedressService/LiftStay", said)["case"]
    assert caller.call(reviewer, "RedressService/Stay", said)["case"]["stayed"]
    assert caller.call(reviewer, "RedressService/ExtendDispute", said)["case"]["extended"]
    open_cases = caller.call(reviewer, "RedressService/ListCases", {"list": LIST})["cases"]
    assert [case["case_id"]] == [each["caseId"] for each in open_cases]
    decided = caller.call(reviewer, "RedressService/Resolve", said | {"resolution": "RESOLUTION_UPHELD"})["case"]
    assert "CASE_STATE_RESOLVED" == decided["state"]
    assert decided == caller.call(caller.key_of("auditor"), "RedressService/GetCase", case)["case"]


def _see(caller: Caller, key: str) -> None:
    """Let the subject of an entry see it, and clear somebody who is mistaken for them."""
    code = caller.call(key, "RedressService/IssueSubjectCode", {"identifier": _identifier(900_001)})["code"]
    proof = {"identifier": _identifier(900_001), "proof": code}
    session = caller.call("", "RedressService/BeginSession", proof)["session"]
    record = caller.call(session, "RedressService/GetMyRecord")
    assert ["Demo 1"] == [each["case_reference"] for each in record["record"]["entries"]]
    reviewer = caller.key_of("reviewer")
    cleared = FIRST | {"mistaken": _identifier(900_001), "own": _identifier(900_012), "why": "of a test"}
    number = caller.call(reviewer, "RedressService/IssueRedressNumber", cleared)
    assert number["redressNumber"].startswith("PCR-")
    ended = {"number_id": number["numberId"], "why": "of a test"}
    assert {} == caller.call(reviewer, "RedressService/RevokeRedressNumber", ended)


def _end(caller: Caller, key: str) -> None:
    """End entries, and ask for what follows."""
    editor = caller.key_of("editor")
    assert {} == caller.call(key, "RegistryService/ListSettlements", {"list": LIST})
    told = caller.refused(editor, "RegistryService/ObjectToRelease", FIRST | {"why": "of a test"})
    assert "not_found" in told
    caller.call(editor, "RegistryService/PutEntry", {"entry": _entry(3)})
    third = {"list": LIST, "key": "dynamic-3", "why": "of a test", "ground": "RELEASE_GROUND_PERFORMED"}
    released = caller.call(editor, "RegistryService/ReleaseEntry", third)
    assert "ENTRY_STATUS_RELEASED" == released["entry"]["status"]
    withdrawn = caller.call(key, "RegistryService/WithdrawEntry", FIRST | {"reason": "end of the test"})
    assert "ENTRY_STATUS_WITHDRAWN" == withdrawn["entry"]["status"]
    assert {} == caller.call(key, "RegistryService/GetImpact", FIRST)
    assert "removed" not in caller.call(key, "RegistryService/RunRetention", {"dry_run": True})
    erasure = {"identifier": _identifier(900_001), "why": "of a test"}
    assert "1" == caller.call(key, "RedressService/EraseSubject", erasure)["entries"]


def _decide_about_imports(caller: Caller, key: str) -> None:
    """Have this machine's user import more than the guard lets go, and the operator decide."""
    today = datetime.now(UTC).date()
    assert 0 == _import_many(caller.stack, today + timedelta(days=30))
    for method, held in (("RejectImport", "heldImport"), ("ApproveImport", "amended")):
        assert 3 == _import_many(caller.stack, today)
        (waiting,) = caller.call(key, "RegistryService/ListHeldImports")["heldImports"]
        assert (LIST, "1001") == (waiting["list"], waiting["shrinkage"]["lost"])
        decision = {"import_id": waiting["importId"], "purpose": "of a test"}
        assert held in caller.call(key, f"RegistryService/{method}", decision)
    assert {} == caller.call(key, "RegistryService/ListHeldImports")


def _import_many(stack: RunningStack, until: date) -> int:
    """Import one entry more than the guard lets go, which end on a day; gives the exit code."""
    file = stack.home.parent / "many.jsonl"
    file.write_text("".join(json.dumps(_row(number, until)) + "\n" for number in range(1001)))
    done = portcullis("import", "--list", LIST, "--format", "jsonl", file, "--home", stack.home)
    assert re.search("rejected +0\n", done.stdout), done.stderr
    return done.returncode


def _row(number: int, until: date) -> dict[str, Any]:
    document = passport(901_000 + number)
    return {
        "key": f"many-{number}",
        "subject_type": "person",
        "identifiers": [{"kind": document.kind, "value": document.value, "country": document.country}],
        "case_reference": f"Demo many {number}",
        "valid_from": str(until - timedelta(days=60)),
        "until": str(until),
    }
