"""The garbage collector of a worker.

A worker's modules, policies and phone plans live as long as it does: some hundred thousand objects that every full
collection would walk through. Once it is warm they are set aside, and young objects, nearly all of which die with their
call, are looked at less often.

They are set aside without a collection before. That would take some 50 ms, in which no call is answered, and find about a
thousand objects that nobody refers to: half a megabyte, which is kept.
"""

from __future__ import annotations

import gc

_YOUNG = 20_000
_MIDDLE, _OLD = 20, 50


def settle() -> None:
    """Set aside what stands now. To be called once, when a process is ready to serve."""
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
