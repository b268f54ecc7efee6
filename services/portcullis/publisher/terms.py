"""The terms of a list while it is compiled: which row and which bit stands for what.

The rules:

1. Rows of the legal table and measure bits are only ever appended: a place never comes to mean something else, so a record
   that was published stays right whatever is published after it.
2. Every measure of the list's definition has a bit, and so has every name that an entry uses, whether or not the policy
   has such a measure now: it may have it later, and then the entry's records need not change.
3. There are 32 bits and 65,536 rows. What finds no place sets ``full``. Terms begun afresh, with a base of the list, give
   back the places that nothing refers to any more.

Example: a list with the measures trains and loans has the bits 1 and 2; an entry that names hotels adds the bit 4, which
stays although the entry goes.
"""

from __future__ import annotations

from portcullis.domain.editions import FORMAT, Legal
from portcullis.domain.manifests import Terms
from portcullis.domain.policies import RestrictedList
from portcullis.domain.records import ALL_MEASURES

MAX_LEGAL_ROWS = 1 << 16
"""A record names its row in 16 bits."""

MAX_MEASURE_NAMES = 32
"""A record names its measures in a mask of 32 bits."""


class TermsBuilder:
    """The terms of one list, growing.

    Attributes:
        full: something found no place since the terms were begun here.
        fits: every measure of the definition has a bit; without that the terms can't be published.
    """

    __slots__ = ("_bits", "_definition", "_earlier", "_legal", "_number", "fits", "full")

    def __init__(self, number: int, definition: RestrictedList, earlier: Terms | None = None) -> None:
        """Go on from the earlier terms of the same list, or begin afresh."""
        self._number = number
        self._definition = definition
        self._earlier = earlier
        self._legal = {(row.legal_basis, row.redress): place for place, row in enumerate(earlier.legal)} if earlier else {}
        self._bits = {name: 1 << place for place, name in enumerate(earlier.measures)} if earlier else {}
        self.full = False
        bits = [self._bit(measure.name) for measure in definition.measures]
        self.fits = all(bits)

    def legal_place(self, legal_basis: str, redress: str) -> int | None:
        """Give the row of what an entry rests on; None when there is no room for it."""
        key = (legal_basis, redress)
        place = self._legal.get(key)
        if place is None:
            if len(self._legal) >= MAX_LEGAL_ROWS:
                self.full = True
                return None
            place = self._legal[key] = len(self._legal)
        return place

    def mask(self, names: tuple[str, ...]) -> int:
        """Give the bits of the measures named; none named means all. A name that finds no room has no bit."""
        if not names:
            return ALL_MEASURES
        mask = 0
        for name in names:
            mask |= self._bit(name)
        return mask

    @property
    def changed(self) -> bool:
        """Whether the terms are others than the earlier ones."""
        earlier = self._earlier
        if earlier is None or earlier.definition != self._definition:
            return True
        return len(earlier.legal) < len(self._legal) or len(earlier.measures) < len(self._bits)

    def terms(self) -> Terms:
        """Give the terms as they stand."""
        return Terms(
            format=FORMAT,
            number=self._number,
            definition=self._definition,
            legal=tuple(Legal(*key) for key in self._legal),
            measures=tuple(self._bits),
        )

    def _bit(self, name: str) -> int:
        bit = self._bits.get(name, 0)
        if not bit:
            if len(self._bits) >= MAX_MEASURE_NAMES:
                self.full = True
                return 0
            bit = self._bits[name] = 1 << len(self._bits)
        return bit
