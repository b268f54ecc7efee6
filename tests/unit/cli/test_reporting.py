from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from portcullis.cli.event_files import ReceiptFile
from portcullis.cli.reporting import report
from portcullis.mains.wiring import ProcessWiring
from tests.support.scripted_gateway import status_of
from tests.support.scripted_sharing import ScriptedSharing, serving
from tests.support.single_commands import run_command

GOLDEN = Path(__file__).with_name("golden")
SECRET = "Jane-Doe-2090"


def line(event_id: str, **detail: Any) -> str:
    facts = detail or {"settled": {"list": "court", "caseReference": SECRET}}
    return json.dumps({"eventId": event_id, "occurredAt": "2026-11-23T10:00:00Z", **facts})


async def run(sharing: ScriptedSharing, *arguments: str, key: str = "made-up") -> int:
    async with serving(sharing) as target:
        given = [*arguments, "--target", target]
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PORTCULLIS_API_KEY", key)
            return await asyncio.to_thread(run_command, "report", report, given, ProcessWiring())


@pytest.fixture
def sharing() -> ScriptedSharing:
    made = ScriptedSharing()
    conflict = ErrorInfo(reason="ERROR_REASON_EVENT_CONFLICT", domain="portcullis")
    made.errors["taken"] = status_of(
        grpc.StatusCode.ALREADY_EXISTS,
        "event_id: another event of this id was reported before; give every event an id of its own",
        conflict,
    )
    field = BadRequest.FieldViolation(field="events[7].enforced.decision_id", description="it was a dry run")
    made.errors["dry"] = status_of(
        grpc.StatusCode.INVALID_ARGUMENT,
        "events[7].enforced.decision_id: it was a dry run",
        ErrorInfo(reason="ERROR_REASON_INVALID_FIELD", domain="portcullis"),
        BadRequest(field_violations=[field]),
    )
    return made


def events_file(tmp_path: Path, *lines: str) -> str:
    file = tmp_path / "events.ndjson"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


MIXED = (
    line("event-1"),
    line("event-2", enforced={"decision_id": "0" * 32}),
    "",
    line("taken"),
    line("dry", enforced={"decisionId": "0" * 32}),
    line("basket", enforced={"decisionId": "0" * 32, "basket": SECRET}),
    line("two", enforced={"decisionId": "0" * 32}, settled={"list": "court", "caseReference": SECRET}),
    json.dumps({"eventId": "nothing", "occurredAt": "2026-11-23T10:00:00Z"}),
    json.dumps({"eventId": "when", "occurredAt": SECRET, "enforced": {}}),
    line("what", reviewed={"decisionId": "0" * 32, "verdict": SECRET}),
)


@pytest.mark.parametrize(("form", "options"), [("text", ()), ("json", ("--json",))])
async def test_receipts_and_faults_are_told_line_by_line(
    sharing: ScriptedSharing, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, options: tuple[str, ...]
) -> None:
    assert 1 == await run(sharing, events_file(tmp_path, *MIXED), *options)

    captured = capsys.readouterr()
    assert (GOLDEN / f"report.{form}.out").read_text(encoding="utf-8") == captured.out
    assert (GOLDEN / "report.err").read_text(encoding="utf-8") == captured.err
    assert SECRET not in captured.out + captured.err


async def test_events_go_in_batches_of_a_hundred(sharing: ScriptedSharing, tmp_path: Path) -> None:
    file = events_file(tmp_path, *(line(f"event-{number}") for number in range(250)))

    assert 0 == await run(sharing, file)

    assert [100, 100, 50] == [len(batch) for batch in sharing.batches]


async def test_an_array_is_read_likewise_and_stdin_too(
    sharing: ScriptedSharing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    array = "\n  [" + ",\n".join([line("event-1"), line("event-2")]) + "]"
    monkeypatch.setattr("sys.stdin", io.StringIO(array))

    assert 0 == await run(sharing)

    assert ["item 1", "item 2"] == [each[:6] for each in capsys.readouterr().out.splitlines()]


async def test_no_events_are_no_fault(sharing: ScriptedSharing, tmp_path: Path) -> None:
    assert 0 == await run(sharing, events_file(tmp_path, "", "  "))
    assert [] == sharing.batches


@pytest.mark.parametrize("unusable", [SECRET, "[1]", '"text"', "{" * 100, "[" * 100_000])
async def test_input_that_is_no_events_ends_the_run_after_what_came_before(
    sharing: ScriptedSharing, tmp_path: Path, capsys: pytest.CaptureFixture[str], unusable: str
) -> None:
    assert 2 == await run(sharing, events_file(tmp_path, line("event-1"), unusable, line("event-3")))

    captured = capsys.readouterr()
    assert "line 1" in captured.out
    assert "portcullis: line 2 is no JSON" in captured.err
    assert [["event-1"]] == sharing.batches
    assert SECRET not in captured.err


async def test_an_array_of_other_things_is_unusable(sharing: ScriptedSharing, tmp_path: Path) -> None:
    assert 2 == await run(sharing, events_file(tmp_path, "[1]"))
    assert 2 == await run(sharing, events_file(tmp_path, "[", line("event-1")))


async def test_a_file_that_is_not_there_or_no_text_is_unusable(
    sharing: ScriptedSharing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert 2 == await run(sharing, str(tmp_path / "none"))
    assert 2 == await run(sharing, str(tmp_path / "binary"))
    assert "UTF-8" in capsys.readouterr().err


async def test_receipts_are_kept_and_a_rerun_after_a_crash_adds_none_twice(sharing: ScriptedSharing, tmp_path: Path) -> None:
    file, kept = events_file(tmp_path, line("event-1"), line("event-2")), tmp_path / "receipts"
    assert 0 == await run(sharing, file, "--receipts", str(kept))
    whole = kept.read_text(encoding="utf-8")
    # The second receipt was being written when the power went.
    kept.write_text(whole[:-10], encoding="utf-8")

    assert 0 == await run(sharing, file, "--receipts", str(kept))

    assert whole == kept.read_text(encoding="utf-8")
    assert ["event-1", "event-2"] == [json.loads(each)["event_id"] for each in whole.splitlines()]
    assert 0o600 == kept.stat().st_mode & 0o777


@pytest.mark.parametrize("content", ["[]\n", "no receipt\n", '{"event_id": 5}\n'])
async def test_a_file_of_other_things_is_not_written_to(sharing: ScriptedSharing, tmp_path: Path, content: str) -> None:
    kept = tmp_path / "notes"
    kept.write_text(content, encoding="utf-8")

    assert 2 == await run(sharing, events_file(tmp_path, line("event-1")), "--receipts", str(kept))

    assert content == kept.read_text(encoding="utf-8")
    assert [] == sharing.batches


async def test_a_journal_that_is_away_ends_the_run_with_what_to_do(
    sharing: ScriptedSharing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = ErrorInfo(reason="ERROR_REASON_JOURNAL_UNAVAILABLE", domain="portcullis")
    sharing.failing = status_of(grpc.StatusCode.UNAVAILABLE, "the journal can't be written just now", reason)
    file = events_file(tmp_path, *(line(f"event-{number}") for number in range(150)))

    assert 1 == await run(sharing, file)

    assert "what was taken gets its first receipt" in capsys.readouterr().err
    assert {100} == {len(batch) for batch in sharing.batches}


async def test_one_event_of_one_that_is_refused_is_told_with_its_line(
    sharing: ScriptedSharing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == await run(sharing, events_file(tmp_path, line("taken")))

    assert capsys.readouterr().err.startswith("portcullis: line 1: event_id: another event")


def test_without_a_key_a_partner_has_to_be_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORTCULLIS_API_KEY", raising=False)

    assert 2 == run_command("report", report, ["-", "--target", "127.0.0.1:1"], ProcessWiring())
    assert "--as" in capsys.readouterr().err


def test_a_gateway_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [events_file(tmp_path, line("event-1")), "--target", "127.0.0.1:1", "--key", "k", "--timeout", "2"]

    assert 1 == run_command("report", report, arguments, ProcessWiring())
    error = capsys.readouterr().err
    assert "no gateway answers at 127.0.0.1:1; run it again when the gateway answers" in error
    assert "what was taken gets its first receipt" in error


async def test_receipts_are_not_written_by_two_at_once(sharing: ScriptedSharing, tmp_path: Path) -> None:
    file, kept = events_file(tmp_path, line("event-1")), tmp_path / "receipts"
    other = ReceiptFile(kept)

    refused = await run(sharing, file, "--receipts", str(kept))
    other.close()

    assert 2 == refused
    assert 0 == await run(sharing, file, "--receipts", str(kept))
