"""Crowding: how many of some numbers stand close together, whichever way they are gone through.

Numbers of one kind fall into cells of three sizes: of the numbers that share all but their last characters. Of n different
numbers in m cells, n - m are crowded: they share a cell with one before them. This is the occupancy count of the
birthday problem (Feller, "An Introduction to Probability Theory", vol. 1, II.5): n numbers at random over M cells leave
about n * n / (2 * M) crowded, so it is next to none where n is some dozens and a cell is small, and n - 1 where somebody
goes through one cell. It takes no order into account: upwards, downwards, in strides, shuffled, or split over several
connections is all the same, as long as the numbers lie in few cells.

==============  ======================================  =============================  ===============================
kind            NEAR                                    BLOCK                          REGION
==============  ======================================  =============================  ===============================
cn.resident-id  one region and birth date: 1,000        one region and birth month     one region
phone           100 numbers                             10,000 numbers                 1,000,000 numbers
cn.uscc         one region, 1,000 numbers or so         one region, 1,000,000 or so    one region
imo             100 ships                               1,000 ships                    10,000 ships
others          100 numbers, 10 with a check digit      10,000                         1,000,000
==============  ======================================  =============================  ===============================

How a number is written is left to whoever asks, so cells are those of its canonical value: two ways of writing one number
fall into the same cells, whatever separators, digits and prefixes `portcullis.domain.identifiers` reads.

Example: of the phones +447700900001, +447700900002 and +12025550100 a `Crowd` tells ``(1, 1, 1)``: one of them beside
another at each size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType

from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.identifiers import KINDS, normalise

Cut = Callable[[str], str]
Note = tuple[str, str, bytes]
"""Kind and value of an identifier asked about, as written or canonical, and its first token."""


def _cuts(near: int, block: int, region: int) -> tuple[Cut, Cut, Cut]:
    """Make what gives the cells of a number: all of it but so many characters at its end."""
    return itemgetter(slice(-near)), itemgetter(slice(-block)), itemgetter(slice(-region))


_OTHERS = _cuts(2, 4, 6)
_CUTS: Mapping[str, tuple[Cut, Cut, Cut]] = MappingProxyType(
    {"cn.resident-id": _cuts(4, 6, 12), "cn.uscc": _cuts(4, 6, 10), "imo": _cuts(3, 4, 5)}
)
_REWRITTEN = frozenset({"imo", "phone"})
"""Kinds with values of nothing but plain characters that are not canonical: those with a prefix that is dropped. Of all
others that can be, such a value is, which is seen of many at once."""
_roughly = itemgetter(slice(-6))
_kind_of, _value_of, _token_of = itemgetter(0), itemgetter(1), itemgetter(2)

Placed = tuple[bytes, str, str, str]
"""A number's token and its cells, smallest first."""


class Crowd:
    """Different numbers, gathered. It keeps none of them: only salted hashes of their cells (SipHash, keyed by process)."""

    __slots__ = ("_cells", "count")

    def __init__(self) -> None:
        self._cells: tuple[set[int], set[int], set[int]] = (set(), set(), set())
        self.count = 0

    def add(self, notes: Sequence[Note]) -> list[Placed]:
        """Add numbers that are not in it: each once, however it is written. Gives where each lies."""
        self.count += len(notes)
        kinds = set(map(_kind_of, notes))
        placed: list[Placed] = []
        for kind in kinds:
            own = notes if len(kinds) == 1 else [each for each in notes if each[0] == kind]
            placed += self._add_of(kind, own)
        return placed

    def _add_of(self, kind: str, notes: Sequence[Note]) -> Iterator[Placed]:
        # With the kind before it no number is beside one of another kind.
        numbers = [f"{kind} {value}" for value in _canonical(kind, map(_value_of, notes))]
        near, block, region = (list(map(cut, numbers)) for cut in _CUTS.get(kind, _OTHERS))
        for held, cells in zip(self._cells, (near, block, region), strict=True):
            held.update(map(hash, cells))
        return zip(map(_token_of, notes), near, block, region, strict=True)

    def crowded(self) -> tuple[int, int, int]:
        """Tell how many of them are crowded, for cells of each size."""
        near, block, region = self._cells
        return self.count - len(near), self.count - len(block), self.count - len(region)

    def clear(self) -> None:
        """Forget them."""
        self.count = 0
        for cells in self._cells:
            cells.clear()


def looks_crowded(notes: Sequence[Note]) -> bool:
    """Say from every fourth of some notes, roughly and soon, whether it is worth while to study them."""
    some = notes[::4]
    values: set[str] = set()
    for kind in set(map(_kind_of, some)):
        values.update(_canonical(kind, (value for each, value, _ in some if each == kind)))
    return 4 * (len(values) - len(set(map(_roughly, values)))) >= len(values)


def _canonical(kind: str, values: Iterable[str]) -> list[str]:
    """Give the canonical form of each value of one kind; what has none stays as it is written."""
    written = list(values)
    known = KINDS.get(kind)
    text = "".join(written)
    if known is None or (kind not in _REWRITTEN and text.isascii() and text.isalnum() and text == text.upper()):
        return written
    is_canonical = known.is_canonical
    return [value if is_canonical(value) else _normalised(kind, value) for value in written]


def _normalised(kind: str, value: str) -> str:
    try:
        return normalise(kind, value).value
    except InvalidIdentifier:
        return value
