"""Clearing: what a redress number takes away from the entries that a check has found.

The rules:

1. A number counts for its holder alone: a record found under a token is left out when the replica has, under the clearance
   of the number, a token of another document in the same check and the token found (`Tokeniser.clearance`), a record of the
   same list and entry. The registry indexes such a clearance with the entry as long as the number holds.
2. The holder's own document must be an exact match (no weak token): a number that somebody picked up clears nobody.
   All of it is judged under each token key that numbers in force were issued under (`portcullis.domain.token_keys`).
3. Without a number nothing of this is computed, and with one that clears nothing the answer is as without.

Example: a traveller's phone number once belonged to somebody on the court's list. With the redress number and the
traveller's own passport in the check, the court's entry that the phone finds is left out; what the passport finds stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from portcullis.domain.records import decode_body, decode_records, encode_body
from portcullis.domain.segments import join_segments, split_segments
from portcullis.domain.token_keys import ProbeSet


class Clearing:
    """The look-up of one check that gives a redress number: the replica's, without what the number clears.

    Args:
        number: the number's sixteen characters (`portcullis.domain.redress_numbers`).
        probe_sets: the customer's (token, weak) pairs under each key, all in the same order.
        get: the replica's look-up, of one version.
    """

    def __init__(
        self,
        number: str,
        probe_sets: Sequence[ProbeSet],
        get: Callable[[bytes], bytes | None],
    ) -> None:
        self._number = number
        self._sets = probe_sets
        self._get = get
        # The same identifier under each key stands at the same place.
        self._places = {token: place for each in probe_sets for place, (token, _) in enumerate(each.probes)}
        self._entries: dict[int, None] = {}

    @property
    def entries(self) -> tuple[int, ...]:
        """The ids of the entries that were left out so far, in the order found, each once."""
        return tuple(self._entries)

    def get(self, token: bytes) -> bytes | None:
        """Give a token's value without the records that are cleared; None when none is left.

        Raises:
            ValueError: a record can't be read.
        """
        value = self._get(token)
        cleared = self._cleared(token) if value is not None else None
        if value is None or not cleared:
            return value
        bodies = []
        for number, body in split_segments(value):
            records = list(decode_body(number, body))
            kept = [each for each in records if (number, each.entry_id) not in cleared]
            self._entries |= {each.entry_id: None for each in records if (number, each.entry_id) in cleared}
            bodies.append((number, encode_body(kept)))
        return join_segments(bodies) or None

    def _cleared(self, token: bytes) -> set[tuple[int, int]]:
        """Give (list, entry) of what the number clears where this token finds it."""
        cleared: set[tuple[int, int]] = set()
        for clearance in self._clearances(token):
            value = self._get(clearance)
            if value is not None:
                cleared |= {(each.list_number, each.entry_id) for each in decode_records(value)}
        return cleared

    def _clearances(self, token: bytes) -> Iterator[bytes]:
        """Give the tokens under which the number may clear what this token finds."""
        place = self._places[token]
        for clearance, probes in self._sets:
            mistaken = probes[place][0]
            yield from (clearance(self._number, own, mistaken) for own, weak in probes if not weak and own != mistaken)
