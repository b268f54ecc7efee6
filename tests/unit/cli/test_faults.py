from __future__ import annotations

import errno

import pytest
import typer

from portcullis.cli.faults import guarded
from portcullis.client import InvalidArgument, ResourceExhausted, Unavailable, Violation
from portcullis.domain.errors import InvalidRequest, NotFound, SetupFault
from tests.support.command_homes import portcullis

CANARY = "A1234567"


def raising(fault: BaseException) -> int:
    def command() -> int:
        raise fault

    return guarded(command)


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        (SetupFault("no home; make one"), 2, "portcullis: no home; make one\n"),
        (SetupFault("one\ntwo"), 2, "portcullis: one\nportcullis: two\n"),
        (InvalidRequest.at("holder", "unknown"), 2, "portcullis: holder: unknown\n"),
        (NotFound("no such key"), 1, "portcullis: no such key\n"),
        (
            typer.BadParameter("no", param_hint="--id"),
            2,
            "portcullis: Invalid value for --id: no; see `portcullis --help`\n",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 2, "portcullis: /x: No space left on device\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_every_fault_is_a_line_and_an_exit_code(
    fault: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code == raising(fault)
    assert line == capsys.readouterr().err


def test_an_error_answer_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == raising(Unavailable("no gateway answers", status="UNAVAILABLE"))
    assert "start it with `portcullis run`" in capsys.readouterr().err


def test_who_is_held_back_is_told_for_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == raising(ResourceExhausted("answers are held back", status="RESOURCE_EXHAUSTED", retry_after_s=890.2))
    assert "portcullis: answers are held back; ask again in 891 s\n" == capsys.readouterr().err


def test_a_gateway_that_has_no_snapshot_yet_is_not_said_to_be_down(capsys: pytest.CaptureFixture[str]) -> None:
    raising(Unavailable("no snapshot has arrived yet", status="UNAVAILABLE", reason="ERROR_REASON_NO_SNAPSHOT"))
    assert "portcullis run" not in capsys.readouterr().err


def test_a_fact_of_the_wrong_type_says_how_to_force_it(capsys: pytest.CaptureFixture[str]) -> None:
    violation = Violation("attributes[0].value", "it must be text (string_value)")

    raising(InvalidArgument("it must be text", status="INVALID_ARGUMENT", violations=[violation]))

    assert "NAME:TYPE=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "fault"),
    [("attributes[0].name", "the action does not declare it"), ("attributes[0].value", "it must be finite")],
)
def test_another_fault_of_a_fact_says_nothing_of_types(field: str, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    raising(InvalidArgument(fault, status="INVALID_ARGUMENT", violations=[Violation(field, fault)]))

    assert f"portcullis: {fault}\n" == capsys.readouterr().err


def test_an_unforeseen_fault_shows_its_type_and_not_its_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORTCULLIS_DEBUG", raising=False)

    assert 1 == raising(LookupError(CANARY))

    told = capsys.readouterr().err
    assert "LookupError" in told
    assert "PORTCULLIS_DEBUG=1" in told
    assert CANARY not in told


def test_a_traceback_comes_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_DEBUG", "1")

    raising(LookupError("why"))

    assert "Traceback" in capsys.readouterr().err


def test_control_sequences_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    raising(NotFound("red \x1b[31m"))

    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("policy",), ("partner", "key")])
def test_a_group_without_a_command_shows_its_help(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis(*arguments)
    assert capsys.readouterr().err.startswith("Usage: portcullis")


@pytest.mark.parametrize("arguments", [("nonsense",), ("check",), ("run", "--grpc-port", "99999"), ("check", "--no-such")])
def test_wrong_usage_is_one_line_that_names_the_help(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis(*arguments)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("portcullis: ")
    assert "--help`" in line


@pytest.mark.parametrize("given", ["nonsense", "it's nonsense", "nonsense is not one of 'x'"])
def test_a_choice_that_is_none_is_told_without_itself_and_the_parsers_own_words(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == portcullis("serve", given)

    error = capsys.readouterr().err
    assert "is not one of 'gateway'" in error
    assert "nonsense" not in error
    assert "Value error" not in error


@pytest.mark.parametrize(
    ("option", "said"),
    [("--110101209001010011", "no such option;"), ("-4", "no such option;"), ("--jsom", "No such option: --jsom")],
)
def test_an_option_that_may_be_a_number_is_not_repeated(option: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("caller", option)

    error = capsys.readouterr().err
    assert said in error
    assert "110101209001010011" not in error


def test_one_argument_too_many_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis("caller", "+447700900123", CANARY)

    assert CANARY not in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == portcullis("version")
    assert capsys.readouterr().out.startswith("portcullis ")


def test_an_identifier_in_the_place_of_a_command_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis(CANARY)
    assert 2 == portcullis("decision", CANARY)
    told = capsys.readouterr().err
    assert "no such command; see `portcullis --help`" in told
    assert CANARY not in told
