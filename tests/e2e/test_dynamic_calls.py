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
    registry_service_pb2,
)
from tests.support.stack import ROOT, RunningStack, clean_environment, listed_resident, portcullis

pytestmark = pytest.mark.e2e

BUF = Path(sys.executable).with_name("buf")
LIST = "bike-misconduct"
FILES = (admin_service_pb2, caller_service_pb2, check_service_pb2, registry_service_pb2)


class Caller:
    """Calls methods of one stack, and remembers which."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.called: set[str] = set()

    def call(self, key: str, method: str, *messages: dict[str, Any]) -> dict[str, Any]:
        """Call one method and give its first answer."""
        self.called.add(method)
        done = subprocess.run(
            [
                *(str(BUF), "curl", "--http2-prior-knowledge", "--protocol", "grpc", "--data", "@-"),
                *("--header", f"authorization: Bearer {key}", f"http://{self.stack.grpc}/portcullis.v1.{method}"),
            ],
            input="\n".join(map(json.dumps, messages or ({},))),
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == done.returncode, f"{method}: {done.stderr}"
        return dict(json.JSONDecoder().raw_decode(done.stdout)[0]) if done.stdout.strip() else {}


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
    assert {} == caller.call(key, "AdminService/RevokeApiKey", {"key_id": made["keyId"]})

    document = passport(900_001)
    entry = {
        "list": LIST,
        "key": "dynamic-1",
        "subject_type": "SUBJECT_TYPE_PERSON",
        "identifiers": [{"kind": document.kind, "value": document.value, "country": document.country}],
        "case_reference": "Demo 1",
        "valid_from": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z",
    }
    place = {"list": LIST, "key": "dynamic-1"}
    assert caller.call(key, "RegistryService/PutEntry", {"entry": entry})["changed"]
    assert "Demo 1" == caller.call(key, "RegistryService/GetEntry", place)["entry"]["caseReference"]
    header = {"opening": {"list": LIST, "mode": "IMPORT_MODE_ADDITIVE"}}
    imported = caller.call(key, "RegistryService/ImportEntries", header, {"rows": {"entries": [entry]}})
    assert "1" == str(imported.get("unchanged", 0))
    _decide_about_imports(caller, key)
    assert caller.call(key, "RegistryService/ListEntries", {"list": LIST})["entries"]
    assert LIST == caller.call(key, "RegistryService/GetList", {"name": LIST})["list"]["name"]
    assert 8 == len(caller.call(key, "RegistryService/ListLists")["lists"])
    withdrawn = caller.call(key, "RegistryService/WithdrawEntry", place | {"reason": "end of the test"})
    assert "ENTRY_STATUS_WITHDRAWN" == withdrawn["entry"]["status"]


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
