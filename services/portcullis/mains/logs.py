"""Logging: one JSON object a line on stderr, or lines for people on a terminal. Nothing about a person is ever logged."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

from portcullis.mains.redaction import redact, redact_field, told

_META = frozenset({"_record", "_from_structlog", "exc_info"})
"""What structlog itself has put into a line; none of it is written as it stands."""


def configure_logs(level: str, part: str, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging, which both end in the same lines.

    Args:
        level: the least level shown: debug, info, warning or error.
        part: the name of this process, in every line.
        stream: where lines go; stderr by default.
    """
    out = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _part(part),
        withhold,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(out)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak up only when something is wrong: their lines are not written with our rules in mind.
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("portcullis").setLevel(threshold)


def log_uncaught() -> None:
    """Have a fault that ends a thread, or that nobody can be told of, written by the rules of every other line.

    Python would print it as it is, with what it quotes. Faults of tasks come through the log of asyncio already.
    """
    log = structlog.get_logger("portcullis.uncaught")

    def of_thread(given: threading.ExceptHookArgs) -> None:
        if given.exc_type is not SystemExit:
            log.error("a thread ended by a fault", exc_info=given.exc_value)

    def of_nobody(given: sys.UnraisableHookArgs) -> None:
        log.error("a fault that nobody can be told of", exc_info=given.exc_value)

    threading.excepthook = of_thread
    sys.unraisablehook = of_nobody


def withhold(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what must not be logged (`portcullis.mains.redaction`)."""
    for name, value in event.items():
        if name not in _META:
            event[name] = redact_field(name, value)
    return event


def _part(part: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["part"] = part
        return event

    return add


def _rendering(out: TextIO) -> list[structlog.typing.Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if out.isatty():
        return [drop, structlog.dev.ConsoleRenderer(exception_formatter=_write_fault)]
    return [
        drop,
        structlog.processors.ExceptionRenderer(lambda exc_info: told(exc_info[1])),
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _write_fault(out: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    out.write(f"\n{told(exc_info[1])}")


def _to_json(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=redact).decode()
