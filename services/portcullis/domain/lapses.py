"""When an entry lapses that its authority does not reaffirm (`RestrictedList.lapse_s`).

Each import and each submission reaffirms what it carries. Lapses fall on a grid of a tenth of the list's lapse time: so the
same file again, soon after, changes nothing, and a later one renews every entry of the list in one stroke. An entry lapses
at the first line of the grid after the lapse time has passed: up to a tenth of it later, never sooner.

Example: on a list whose entries lapse after ten days, the grid's lines are midnights. What is submitted on the first of a
month at noon lapses at the midnight after the eleventh; again an hour later it says the same, on the second a day more.
"""

from __future__ import annotations

import msgspec

from portcullis.domain.entries import Entry
from portcullis.domain.policies import RestrictedList

_CELLS = 10


def lapses_at(on: RestrictedList, now: float) -> int:
    """Give when an entry lapses that is reaffirmed now (both Unix seconds); 0 on a list whose entries do not lapse."""
    if not on.lapse_s:
        return 0
    cell = max(1, on.lapse_s // _CELLS)
    return (int(now + on.lapse_s) // cell + 1) * cell


def later_lapse(proposed: int, present: int) -> int:
    """Give when an amendment lapses whose entry lapses at ``present`` by now (both Unix seconds); 0 where it does not."""
    return max(proposed, present) if proposed else 0


def with_lapse(entry: Entry, on: RestrictedList, now: float) -> Entry:
    """Give an entry as its list's authority reaffirms it now (Unix seconds)."""
    return msgspec.structs.replace(entry, lapses_at=lapses_at(on, now))
