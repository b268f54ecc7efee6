"""What every process of ours does before anything else: what it makes is private, and what it holds is never dumped.

`portcullis.mains.command` calls it before the first file can be made and the first key be read; children inherit both.
"""

from __future__ import annotations

import os
import resource

PRIVATE = 0o077
"""The bits that nobody but the owner gets on a file or folder; whoever wants more says so with a mode of its own."""


def harden() -> None:
    """Make new files the owner's alone, and have no core dump written: it would hold keys and identifiers.

    The hard limit falls too, so that nothing started from here can raise it again. Where the host pipes dumps to a program
    (``kernel.core_pattern``), that program is told the limit and has to heed it, as systemd's and Ubuntu's do.
    """
    os.umask(PRIVATE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
