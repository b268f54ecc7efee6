"""`portcullis serve PART`: one part as a process of its own.

The embedded stack runs the same parts as children; its parent serves their metrics and health, so a supervised part opens
no HTTP port of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from portcullis.config import Settings
from portcullis.domain.errors import PortcullisError
from portcullis.mains import lifeline
from portcullis.mains.logs import configure_logs, log_uncaught

EXIT_SETUP = 2


def serve(part: str, settings: Settings) -> int:
    """Run one part until SIGTERM or SIGINT; blocks. To be called from the main thread.

    Args:
        part: publisher, follower, gateway, shipper, exchange or registry.
        settings: the part's.

    Returns:
        The exit status: 0 after a stop asked for, 2 when the part can't start as it is set up.
    """
    configure_logs(settings.log_level, part)
    log_uncaught()
    lifeline.hold_on()
    try:
        _runner(part)(settings)
    except PortcullisError as fault:
        print(f"portcullis: {part}: {fault.message}", file=sys.stderr, flush=True)
        return EXIT_SETUP
    return 0


def _runner(part: str) -> Callable[[Settings], None]:
    # Each part imports only what it needs: a follower has no use for a database, a publisher none for gRPC.
    match part:
        case "publisher":
            from portcullis.mains.serve_publisher import run_publisher as run  # noqa: PLC0415
        case "follower":
            from portcullis.mains.serve_follower import run_follower as run  # noqa: PLC0415
        case "gateway":
            from portcullis.mains.serve_gateway import run_gateway as run  # noqa: PLC0415
        case "registry":
            from portcullis.mains.serve_registry import run_registry as run  # noqa: PLC0415
        case "shipper":
            from portcullis.mains.serve_shipper import run_shipper as run  # noqa: PLC0415
        case "exchange":
            from portcullis.mains.serve_exchange import run_exchange as run  # noqa: PLC0415
        case _:
            raise ValueError("part: must be publisher, follower, gateway, shipper, exchange or registry")
    return run
