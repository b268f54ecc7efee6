"""What is done with a thousand identifiers on a running stack, and what that leaves behind."""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import redis as redis_library

from portcullis.domain.identifiers import Identifier
from portcullis.v1 import caller_service_pb2 as caller
from portcullis.v1 import check_service_pb2 as check
from portcullis.v1 import redress_service_pb2 as redress
from portcullis.v1 import registry_service_pb2 as registry
from portcullis.v1 import sharing_service_pb2 as sharing
from portcullis.v1 import types_pb2
from tests.support.canaries import WITNESS, Canaries, bad_rows, court_rows, firms, json_lines, row
from tests.support.canary_calls import Caller, Heard
from tests.support.canary_search import redis_contents
from tests.support.demo_policies import watched_policy
from tests.support.processes import wait_for
from tests.support.stack import RunningStack, fetch, portcullis

COURT, CARRIER, FIRMS, CALLERS = (
    "court-judgment-defaulters",
    "carrier-misconduct",
    "organisation-defaulters",
    "caller-notices",
)


def wire(identifier: Identifier, value: str = "") -> types_pb2.Identifier:
    return types_pb2.Identifier(kind=identifier.kind, value=value or identifier.value, country=identifier.country)


def entry(list_name: str, key: str, *identifiers: types_pb2.Identifier, **changes: Any) -> registry.Entry:
    made = registry.Entry(
        list=list_name,
        key=key,
        subject_type=registry.SUBJECT_TYPE_PERSON,
        identifiers=identifiers,
        case_reference=f"Canary report {key}",
    )
    made.valid_from.GetCurrentTime()
    made.until.seconds = made.valid_from.seconds + 60 * 86_400
    made.MergeFrom(registry.Entry(**changes))
    return made


class Run:
    """What is done with the thousand on a running stack."""

    def __init__(self, stack: RunningStack, folder: Path, held: ExitStack) -> None:
        self.stack, self.folder, self.heard, self.canaries = stack, folder, Heard(), Canaries()
        people = json.loads((stack.home / "demo-people-keys.json").read_text()) | stack.keys
        people["operator"] = (stack.home / "operator-key").read_text().strip()
        self.stranger = self._caller(None, held)
        self.by = {name: self._caller(key, held) for name, key in people.items()}
        self._held = held

    def _caller(self, key: str | None, held: ExitStack) -> Caller:
        made = Caller(self.stack, key, self.heard)
        held.callback(made.close)
        return made

    def command(self, *arguments: str | Path, fails: bool = False) -> None:
        """Run a command, and hear what it printed."""
        done = portcullis(*arguments, "--home", self.stack.home)
        assert fails is (done.returncode != 0), f"{arguments[:2]}: {done.stderr}"
        self.heard.hear(done.stdout)
        self.heard.hear(done.stderr)

    def take_part(self) -> None:
        """Go through everything that is done with identifiers."""
        self.command("policy", "apply", watched_policy(self.folder / "policy"))
        self.import_lists()
        self.keep_lists()
        self.report(self.check())
        self.dispute()
        self.clear_namesakes()
        self.look_back()

    def import_lists(self) -> None:
        canaries, rows = self.canaries, court_rows(self.canaries)
        self.listed = rows
        files = {
            COURT: json_lines(rows),
            CALLERS: json_lines(row(f"P{n:03}", canaries.take("phone"), names=[canaries.name()]) for n in range(60)),
        }
        for name, content in files.items():
            (self.folder / "rows.jsonl").write_bytes(content)
            self.command("import", "--list", name, "--format", "jsonl", self.folder / "rows.jsonl")
        (self.folder / "rows.csv").write_text(firms(canaries))
        self.command("import", "--list", FIRMS, "--format", "csv", self.folder / "rows.csv", fails=True)
        bad = json_lines(bad_rows(canaries)) + canaries.take("passport").value.encode() + b'{"key"\n'
        (self.folder / "bad.jsonl").write_bytes(bad)
        self.command("import", "--list", COURT, "--format", "jsonl", self.folder / "bad.jsonl", fails=True)
        headless = ",".join(each.value for each in canaries.several("passport", 7))
        (self.folder / "headless.csv").write_text(f"{headless}\n{headless}\n")
        self.command("import", "--list", COURT, "--format", "csv", self.folder / "headless.csv", fails=True)

    def keep_lists(self) -> None:
        """Put entries and add numbers, by hand and on a stream, well and badly."""
        canaries, editor = self.canaries, self.by["editor"]
        for number in range(10):
            person = canaries.take("cn.resident-id")
            one = entry(CARRIER, f"put-{number}", wire(person), names=[canaries.name()])
            assert editor("RegistryService/PutEntry", registry.PutEntryRequest(entry=one)).changed
            found = registry.AddIdentifiersRequest(
                list=CARRIER, key=f"put-{number}", identifiers=[wire(canaries.take("passport"))]
            )
            assert editor("RegistryService/AddIdentifiers", found).changed
            spoilt = wire(person, canaries.spoilt(person))
            found.identifiers[0].CopyFrom(spoilt)
            assert editor("RegistryService/AddIdentifiers", found) is None
            self.refused_entries(one, spoilt, person)
        self.person = person
        opening = registry.ImportEntriesRequest(opening=registry.ImportEntriesRequest.Opening(list=CARRIER))
        streamed = [
            entry(CARRIER, f"streamed-{n}", wire(each)) for n, each in enumerate(canaries.several("national-id", 20))
        ]
        streamed.append(entry(CARRIER, "streamed-bad", spoilt))
        rows = registry.ImportEntriesRequest(rows=registry.ImportEntriesRequest.Rows(entries=streamed))
        assert editor("RegistryService/ImportEntries", opening, rows).rejected == 1

    def refused_entries(self, one: registry.Entry, spoilt: types_pb2.Identifier, person: Identifier) -> None:
        wrong: list[dict[str, Any]] = [
            {"identifiers": [spoilt]},
            {"identifiers": [types_pb2.Identifier(kind=person.value, value=person.value)]},
            {"identifiers": [types_pb2.Identifier(kind="passport", value=person.value, country=person.value)]},
            {"list": person.value},
            {"measures": [person.value]},
            {"redress": person.value},
            {"names": [person.value + "\0"]},
        ]
        for changes in wrong:
            bad = registry.Entry()
            bad.CopyFrom(one)
            for field in changes:
                bad.ClearField(field)
            bad.MergeFrom(registry.Entry(**changes))
            bad.key = "refused"
            assert self.by["editor"]("RegistryService/PutEntry", registry.PutEntryRequest(entry=bad)) is None, list(changes)

    def check(self) -> list[str]:
        """Ask about every canary, and wrongly about some; gives the refusals of the ticket office."""
        office, person = self.by["ticketing"], self.person
        self.listed_in_time()
        question = check.CheckRequest(action="air.ticket.purchase", purpose="ticketing")
        everybody = [check.CheckRequest(identifiers=[wire(each)]) for each in self.canaries.all]
        for each in everybody:
            each.MergeFrom(question)
        answers = office("CheckService/BatchCheck", check.BatchCheckRequest(requests=everybody))
        refused = [
            each.response.decision_id for each in answers.results if each.response.outcome == types_pb2.OUTCOME_RESTRICT
        ]
        asked = [check.StreamCheckRequest(request_id=str(number), check=each) for number, each in enumerate(everybody[:50])]
        assert 50 == len(office("CheckService/StreamCheck", *asked))
        spoilt = self.canaries.spoilt(person)
        written = self.canaries.also(f" {person.value[:6]}-{person.value[6:].lower()} ", "as it was written")
        wrong: list[dict[str, Any]] = [
            {"identifiers": [wire(person, spoilt)]},
            {"identifiers": [types_pb2.Identifier(kind=person.value, value=person.value)]},
            {"identifiers": [types_pb2.Identifier(kind="passport", value=person.value, country=person.value)]},
            {"action": person.value},
            {"purpose": person.value},
            {"locale": person.value},
            {"redress_number": person.value},
            {"at_least_snapshot": person.value},
            {"attributes": [types_pb2.Attribute(name=person.value, string_value=person.value)]},
        ]
        for changes in wrong:
            bad = check.CheckRequest(identifiers=[wire(person, written)])
            bad.MergeFrom(question)
            for field in changes:
                bad.ClearField(field)
            bad.MergeFrom(check.CheckRequest(**changes))
            office("CheckService/Check", bad)
            office("CheckService/BatchCheck", check.BatchCheckRequest(requests=[bad]))
        asking = ("check", "--action", "air.ticket.purchase", "--purpose", "ticketing")
        self.command(*asking, "--id", f"cn.resident-id:{spoilt}", fails=True)
        for number in (*(each.value for each in self.canaries.all[-100::10]), person.value, spoilt):
            self.by["callerid"]("CallerService/LookupCaller", caller.LookupCallerRequest(phone=number))
        with suppress(ValueError):
            self._caller(spoilt, self._held)("CheckService/Check", bad)
        return refused

    def listed_in_time(self) -> None:
        """Wait until what was put last refuses."""
        office = self.by["ticketing"]
        question = check.CheckRequest(
            identifiers=[wire(self.person)], action="air.ticket.purchase", purpose="ticketing", dry_run=True
        )
        wait_for(lambda: office("CheckService/Check", question).outcome == types_pb2.OUTCOME_RESTRICT, what="the last entry")

    def report(self, refused: list[str]) -> None:
        """Report on the refusals, and wrongly; a mismatch opens a case by itself."""
        events = [
            *(
                sharing.Event(event_id=f"enforced-{number}", enforced=sharing.Enforced(decision_id=each))
                for number, each in enumerate(refused[:100])
            ),
            sharing.Event(event_id="mismatch", identity_mismatch=sharing.IdentityMismatch(decision_id=refused[0])),
            sharing.Event(
                event_id="settled",
                reference=self.canaries.take("passport").value,
                settled=sharing.Settled(list=COURT, case_reference=WITNESS),
            ),
            sharing.Event(event_id="wrong", enforced=sharing.Enforced(decision_id=self.person.value)),
            sharing.Event(event_id="other", settled=sharing.Settled(list=self.person.value, case_reference=WITNESS)),
            sharing.Event(event_id=self.person.value + " ", enforced=sharing.Enforced(decision_id=refused[0])),
        ]
        for each in events:
            each.occurred_at.GetCurrentTime()

        def taken() -> bool:
            answer = self.by["ticketing"]("SharingService/ReportEvents", sharing.ReportEventsRequest(events=events))
            return ["receipt"] * 102 + ["error"] * 3 == [each.WhichOneof("result") for each in answer.results]

        def opened() -> object:
            cases = self.by["reviewer"]("RedressService/ListCases", redress.ListCasesRequest(list=COURT))
            return [case for case in cases.cases if case.kind == redress.CASE_KIND_IDENTITY_MISMATCH]

        wait_for(taken, what="every refusal in the journal", every_s=0.2)
        wait_for(opened, what="the case of the mismatch", every_s=0.2)

    def dispute(self) -> None:
        """Let a subject see their record and object, until the entry is taken back and everything of it erased."""
        person, operator, reviewer = self.person, self.by["operator"], self.by["reviewer"]
        spoilt = wire(person, self.canaries.spoilt(person))
        assert operator("RedressService/IssueSubjectCode", redress.IssueSubjectCodeRequest(identifier=spoilt)) is None
        code = operator("RedressService/IssueSubjectCode", redress.IssueSubjectCodeRequest(identifier=wire(person))).code
        for identifier, proof in ((spoilt, code), (wire(person), person.value)):
            begun = redress.BeginSessionRequest(identifier=identifier, proof=proof)
            assert self.stranger("RedressService/BeginSession", begun) is None
        begun = redress.BeginSessionRequest(identifier=wire(person), proof=code)
        subject = self._caller(self.stranger("RedressService/BeginSession", begun).session, self._held)
        assert subject("RedressService/GetMyRecord", redress.GetMyRecordRequest(locale="zh-CN")).text
        objection = redress.OpenDisputeRequest(
            list=CARRIER,
            case_reference="Canary report put-9",
            ground=redress.DISPUTE_GROUND_WRONG_FACTS,
            evidence=["letter/1"],
        )
        case_id = subject("RedressService/OpenDispute", objection).case.case_id
        wrong = redress.AddEvidenceRequest(case_id=case_id, reference=person.value + "\n")
        assert subject("RedressService/AddEvidence", wrong) is None
        reviewer("RedressService/AssignReviewer", redress.AssignReviewerRequest(case_id=case_id, reviewer="reviewer"))
        decided = redress.ResolveRequest(case_id=case_id, resolution=redress.RESOLUTION_WITHDRAWN, why="the report was read")
        assert reviewer("RedressService/Resolve", decided) is not None

    def clear_namesakes(self) -> None:
        """Issue redress numbers, and ask with them."""
        reviewer, canaries = self.by["reviewer"], self.canaries
        for number in range(3):
            listed = self.listed[number]["identifiers"][0]
            mistaken, own = types_pb2.Identifier(**listed), wire(canaries.take("passport"))
            issue = redress.IssueRedressNumberRequest(
                list=COURT, key=f"{number + 1:04}", mistaken=mistaken, own=own, why="compared"
            )
            issued = reviewer("RedressService/IssueRedressNumber", issue)
            question = check.CheckRequest(identifiers=[mistaken, own], action="air.ticket.purchase", purpose="ticketing")
            question.redress_number = issued.redress_number
            assert self.by["ticketing"]("CheckService/Check", question) is not None
            issue.mistaken.CopyFrom(own)
            assert reviewer("RedressService/IssueRedressNumber", issue) is None

    def look_back(self) -> None:
        """Look at what was done, and erase some of it."""
        auditor, editor = self.by["auditor"], self.by["editor"]
        seen = registry.RevealEntryRequest(list=COURT, key="0001", purpose="spelling of the name")
        assert editor("RegistryService/RevealEntry", seen) is not None
        auditor("RegistryService/ListEntries", registry.ListEntriesRequest(list=COURT, page_size=500))
        auditor("RegistryService/GetEntryHistory", registry.GetEntryHistoryRequest(list=CARRIER, key="put-9"))
        impact = registry.GetImpactRequest(list=CARRIER, key="put-9")
        wait_for(lambda: auditor("RegistryService/GetImpact", impact).partners, what="the refusals in the journal")
        certificate = registry.GetReleaseCertificateRequest(list=CARRIER, key="put-9")
        auditor("RegistryService/GetReleaseCertificate", certificate)
        operator = self.by["operator"]
        assert operator("RegistryService/RunRetention", registry.RunRetentionRequest(dry_run=True)) is not None
        erase = redress.EraseSubjectRequest(identifier=wire(self.person), why="asked for")
        assert operator("RedressService/EraseSubject", erase).entries == 1
        listed = self.listed[1]["identifiers"][0]
        self.command("journal", "erase", "--id", f"{listed['kind']}:{listed['value']}", "--purpose", "asked for")
        self.command(
            "subject", "erase", "--id", f"cn.resident-id:{self.canaries.spoilt(self.person)}", "--why", "x", fails=True
        )
        # Erasures empty the write-ahead logs; a look is noted, so there is one to search.
        auditor("RegistryService/ListEntries", registry.ListEntriesRequest(list=COURT, page_size=500))


class Remains:
    """What a run has left: its folders, the dump of its store, and all that was said."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.canaries, self.heard, self.copy = run.canaries, run.heard, folder / "remains"
        stack = run.stack
        with redis_library.Redis.from_url(stack.file["redis_url"]) as client:
            self.store = list(redis_contents(client))
            client.config_set("rdbcompression", "no")
            client.save()
        self.metrics = fetch(stack.http, "/metrics")[1]
        shutil.copytree(stack.file["metrics"], self.copy / "metrics")
        # While it runs, the databases' write-ahead logs and the spool's segments are there.
        shutil.copytree(
            stack.home, self.copy / "running", ignore=lambda _folder, names: [n for n in names if n.endswith(".sock")]
        )
        stack.signal(signal.SIGTERM)
        assert 0 == stack.wait()
        shutil.copytree(stack.home, self.copy / "stopped")
        shutil.copytree(stack.stdout.parent, self.copy / "output")
