"""``portcullis report``: report events to the authorities, and keep the receipts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from portcullis.cli import asking, options
from portcullis.cli.event_files import Fault, Read, ReceiptFile, Unusable, read_events, receipt_document
from portcullis.cli.faults import FAILED, MISUSED
from portcullis.cli.output import print_error, print_line
from portcullis.cli.wiring import wiring_of

if TYPE_CHECKING:
    from portcullis.client import Client, ClientError, EventAnswer

BATCH = 100

_AGAIN = "run it again when the gateway answers: what was taken gets its first receipt"
_OF_EVENTS = frozenset(
    f"ERROR_REASON_{reason}" for reason in ("INVALID_FIELD", "EVENT_CONFLICT", "DECISION_UNKNOWN", "OUTSIDE_AGREEMENT")
)
"""The reasons that concern one event; any other is the whole call's."""

_PLACE_OF_ITEM = re.compile(r"^events\[\d+\]\.?")


def report(
    ctx: typer.Context,
    *,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Events in the JSON form of the contract's Event: one object a line, or one array; '-' reads stdin.",
            show_default=False,
        ),
    ] = "-",
    receipts: Annotated[
        Path | None,
        typer.Option(
            "--receipts",
            metavar="FILE",
            help="Append each receipt to this file, durably, one JSON object a line.",
            show_default=False,
        ),
    ] = None,
    target: options.Target = None,
    key: options.Key = None,
    partner: options.Partner = None,
    home: options.Home = None,
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    timeout: options.Timeout = 10.0,
    as_json: options.JsonLines = False,
) -> None:
    """Report what was done under the agreement: refusals carried out, reviews, notices, settlements.

    Prints a receipt for each event that was taken. It may be run again with the same events at any time. Exit 0 when all
    were taken, 1 when some were not, 2 when the input is no events.
    """
    wiring = wiring_of(ctx)
    tls = asking.tls_of(tls_ca, tls_cert, tls_key)
    address, api_key = asking.whom(
        wiring,
        target=target,
        key=key,
        partner=demanded_partner(key, partner, certified=tls_cert is not None),
        home=home,
        purpose="",
        tls=tls,
    )
    with ExitStack() as stack:
        source = stack.enter_context(_opened(file))
        kept = _kept(stack, receipts)
        client = stack.enter_context(asking.client(wiring, address, api_key, timeout, as_json=False, advice=_AGAIN, tls=tls))
        refused = _report_all(client, read_events(source), kept, timeout, as_json=as_json)
    if refused:
        raise typer.Exit(FAILED)


def demanded_partner(key: str | None, partner: str | None, *, certified: bool = False) -> str | None:
    """Give the partner of ``--as``, which has to be named where no key is given: nothing else tells whose events these are.

    But a certificate does, where the partner is ``certified`` by one.

    Raises:
        typer.BadParameter: neither is given.
    """
    if not key and not partner and not certified:
        raise typer.BadParameter(
            "give a key with PORTCULLIS_API_KEY or --key, or name a partner with --as", param_hint="--key"
        )
    return partner


def _report_all(client: Client, reads: Iterator[Read], kept: ReceiptFile | None, timeout_s: float, *, as_json: bool) -> int:
    """Report batch by batch; gives how many events were not taken."""
    refused = 0
    unusable: Unusable | None = None
    while unusable is None:
        batch, unusable = _next_batch(reads)
        if not batch and unusable is None:
            return refused
        refused += _report_batch(client, batch, kept, timeout_s, as_json=as_json)
    print_error(f"{unusable.message}; what stands before it was reported: mend it and run again")
    raise typer.Exit(MISUSED)


def _next_batch(reads: Iterator[Read]) -> tuple[list[Read], Unusable | None]:
    batch: list[Read] = []
    try:
        batch.extend(islice(reads, BATCH))
    except Unusable as fault:
        return batch, fault
    return batch, None


def _report_batch(
    client: Client, batch: Sequence[Read], kept: ReceiptFile | None, timeout_s: float, *, as_json: bool
) -> int:
    answers = client.report_events([each.event for each in batch if each.event is not None], timeout_s=timeout_s)
    if kept is not None:
        kept.add(answer.receipt for answer in answers if answer.receipt is not None)
    _demand_answered(answers)
    places = iter(answers)
    refused = 0
    for each in batch:
        answer = next(places) if each.event is not None else None
        refused += answer is None or answer.receipt is None
        _show(each, answer, as_json=as_json)
    return refused


def _demand_answered(answers: Sequence[EventAnswer]) -> None:
    """Stop where a whole call failed: the next one would fare no better.

    Raises:
        ClientError: the call's own error.
    """
    for answer in answers:
        if answer.error is not None and answer.error.reason not in _OF_EVENTS:
            raise _with_advice(answer.error)


def _with_advice(error: ClientError) -> ClientError:
    from portcullis.client import Unavailable  # noqa: PLC0415 - gRPC would slow `--help` down

    if isinstance(error, Unavailable) and error.reason:
        return Unavailable(f"{error.message}; {_AGAIN}", status=error.status, reason=error.reason)
    return error


def _show(read: Read, answer: EventAnswer | None, *, as_json: bool) -> None:
    if answer is not None and answer.receipt is not None:
        if as_json:
            _print({"place": read.place, "receipt": receipt_document(answer.receipt)})
        else:
            receipt = answer.receipt
            recorded = receipt.recorded_at.strftime("%Y-%m-%d %H:%M:%S UTC")
            print_line(f"{read.place:<10}  {receipt.sequence:>10}  {recorded}  ", (receipt.event_id, "bold"))
        return
    faults = _faults(read, answer)
    if as_json:
        error = answer.error if answer is not None else None
        _print(
            {
                "place": read.place,
                "error": {
                    "status": error.status if error else "INVALID_ARGUMENT",
                    "reason": error.reason if error else "ERROR_REASON_INVALID_FIELD",
                    "violations": [each._asdict() for each in faults],
                },
            }
        )
    for each in faults:
        print_error(f"{read.place}: {each.field}: {each.description}" if each.field else f"{read.place}: {each.description}")


def _faults(read: Read, answer: EventAnswer | None) -> list[Fault]:
    if read.fault is not None or answer is None or answer.error is None:
        return [read.fault] if read.fault else []
    error = answer.error
    if not error.violations:
        field, colon, description = error.message.partition(": ")
        return [Fault(field, description) if colon and " " not in field else Fault("", error.message)]
    return [Fault(_PLACE_OF_ITEM.sub("", each.field), each.description) for each in error.violations]


def _print(document: object) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False))


@contextmanager
def _opened(file: str) -> Iterator[IO[str]]:
    """Open the input.

    Raises:
        typer.BadParameter: it is no text.
    """
    try:
        if file == "-":
            yield sys.stdin
        else:
            with Path(file).open(encoding="utf-8") as opened:
                yield opened
    except UnicodeDecodeError:
        raise typer.BadParameter("it is no UTF-8 text; write events as JSON", param_hint="FILE") from None


def _kept(stack: ExitStack, file: Path | None) -> ReceiptFile | None:
    if file is None:
        return None
    try:
        kept = ReceiptFile(file)
    except BlockingIOError:
        raise typer.BadParameter(
            "another `portcullis report` is writing to the file; wait for it, or name another", param_hint="--receipts"
        ) from None
    except ValueError:
        raise typer.BadParameter(
            "the file holds other things than receipts; name another", param_hint="--receipts"
        ) from None
    stack.callback(kept.close)
    return kept
