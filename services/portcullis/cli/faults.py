"""Every fault of a command becomes one clear line a fault on stderr, and an exit code.

    0    done; a check was answered, whatever the answer
    1    asked and refused: an error answer, bad rows, a faulty policy, a part that is not there just now
    2    not asked at all: usage, settings, setup
    3    an import is held for a second operator (`portcullis.cli.importing`)
    130  interrupted

A fault that nobody foresaw shows its type only, for its message may hold what must not be printed. The traceback of any
fault comes with PORTCULLIS_DEBUG=1.
"""

from __future__ import annotations

import math
import os
import re
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import typer

from portcullis.cli.output import print_error

if TYPE_CHECKING:
    from portcullis.client.errors import ClientError

FAILED = 1
MISUSED = 2
INTERRUPTED = 130

_HINTS: Mapping[str, str] = {
    "UNAVAILABLE": (
        "is the gateway running? start it with `portcullis run`, or name another with --target; one that speaks TLS needs "
        "--tls-ca, and --tls-cert where it asks for a certificate"
    ),
    "DEADLINE_EXCEEDED": "ask again, or allow more time with --timeout",
    "UNAUTHENTICATED": "give a key that is in force with --key, PORTCULLIS_API_KEY or --as, or show a certificate",
    "RESOURCE_EXHAUSTED": "ask less often, or have the quota raised",
}
_NO_SNAPSHOT_HINT = "ask again in some seconds, or see `portcullis doctor`"
_ECHOED_CHOICE = re.compile(r": .* is not one of ")
_FACT_HINT = "NAME:TYPE=VALUE forces the type of an --attr"


def guarded(command: Callable[[], int]) -> int:
    """Run a command and give its exit code; no exception leaves but SystemExit."""
    try:
        return command()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as fault:  # noqa: BLE001 - the last line of defence between a fault and the terminal
        if os.environ.get("PORTCULLIS_DEBUG") == "1":
            traceback.print_exception(fault)
        return report(fault)


def report(fault: Exception) -> int:
    """Print a fault and give its exit code."""
    if type(fault).__name__ == "NoArgsIsHelpError":  # typer does not export it; its message is the help
        typer.echo(str(fault.args[0]) if fault.args else "", err=True)
        return MISUSED
    if isinstance(fault, typer.TyperException):
        print_error(_usage_text(fault))
        return fault.exit_code
    if isinstance(fault, BrokenPipeError):
        return FAILED
    if isinstance(fault, OSError):
        print_error(f"{fault.filename or 'a file or connection'}: {fault.strerror or type(fault).__name__}")
        return MISUSED
    return _report_ours(fault)


def _report_ours(fault: Exception) -> int:
    # Imported here because a command that goes well needs neither.
    from portcullis.client.errors import ClientError  # noqa: PLC0415
    from portcullis.domain.errors import InvalidRequest, PortcullisError, SetupFault  # noqa: PLC0415

    if isinstance(fault, ClientError):
        hint = _hint_of(fault)
        print_error(f"{fault.message}; {hint}" if hint else fault.message)
        return FAILED
    if isinstance(fault, PortcullisError):
        print_error(fault.message)
        return MISUSED if isinstance(fault, SetupFault | InvalidRequest) else FAILED
    print_error(f"an unforeseen fault ({type(fault).__name__}); run again with PORTCULLIS_DEBUG=1 and report the traceback")
    return FAILED


def _hint_of(fault: ClientError) -> str | None:
    if _of_a_facts_type(fault):
        return _FACT_HINT
    if fault.reason == "ERROR_REASON_NO_SNAPSHOT":
        return _NO_SNAPSHOT_HINT
    if fault.status == "RESOURCE_EXHAUSTED" and fault.retry_after_s:
        return f"ask again in {math.ceil(fault.retry_after_s):,} s"
    return _HINTS.get(fault.status)


def _of_a_facts_type(fault: ClientError) -> bool:
    # Of a value's faults only that of its type names the field of the contract that it should be in, as (string_value).
    return any(
        each.field.startswith("attributes[") and each.field.endswith("].value") and "_value" in each.description
        for each in fault.violations
    )


def _usage_text(fault: typer.TyperException) -> str:
    # The parser puts the type of its own exception before what is wrong with a choice.
    message = " ".join(fault.format_message().split()).replace(": Value error, ", ": ")
    # These messages repeat the argument itself, and that may be an identifier; no option's name has a digit.
    message = _ECHOED_CHOICE.sub(": is not one of ", message)
    if message.startswith("Got unexpected extra argument"):
        message = "more arguments than the command takes"
    elif message.startswith("No such option") and any(each.isdigit() for each in message):
        message = "no such option"
    elif message.startswith("No such command"):
        message = "no such command"
    context = getattr(fault, "ctx", None)
    name = context.command_path if context else "portcullis"
    return f"{message.rstrip('.')}; see `{name} --help`"
