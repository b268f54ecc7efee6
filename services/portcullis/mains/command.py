"""The entry point of the ``portcullis`` command."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from portcullis.mains.hardening import harden

_YOUNG = 20_000


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    harden()
    # gRPC's core writes a line of its own for each failed handshake: any stranger could fill the log, and it is no JSON.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # What is imported stays. At Python's 700 objects the collector walks through it hundreds of times as a process starts,
    # a tenth of that time, to find nothing.
    gc.set_threshold(_YOUNG)
    # Here, so that this holds for these imports too.
    from portcullis.cli.app import execute  # noqa: PLC0415
    from portcullis.mains.wiring import ProcessWiring  # noqa: PLC0415

    sys.exit(execute(sys.argv[1:], ProcessWiring()))
