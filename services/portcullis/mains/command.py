"""The entry point of the ``portcullis`` command."""

from __future__ import annotations

import sys
from typing import NoReturn

from portcullis.cli.app import execute
from portcullis.mains.wiring import ProcessWiring


def main() -> NoReturn:
    """Run the command line of this process and exit with its code."""
    sys.exit(execute(sys.argv[1:], ProcessWiring()))
