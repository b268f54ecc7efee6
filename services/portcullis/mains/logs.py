"""Logging: one JSON object a line on stderr, or lines for people on a terminal. Nothing about a person is ever logged."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

_NEVER = frozenset(
    {"identifier", "identifiers", "value", "phone", "name", "names", "token", "tokens", "key", "authorization", "body"}
)
"""Keys that would carry someone's data or a secret; a call that passes one is a fault, and says so in the line."""


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


def withhold(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what must not be logged."""
    for key in _NEVER.intersection(event):
        event[key] = "[withheld]"
    return event


def _part(part: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["part"] = part
        return event

    return add


def _rendering(out: TextIO) -> list[structlog.typing.Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if out.isatty():
        return [drop, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [drop, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]


def _to_json(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
