"""Clearing: what a redress number takes away from the entries that a check has found.

The rules:

1. A number counts for its holder alone: a record found under a token is left out when the replica has, under the clearance
   of the number, a token of another document in the same check and the token found (`Tokeniser.clearance`), a record of the
   same list and entry. The registry indexes such a clearance with the entry as long as the number holds.
2. The holder's own document must be an exact match (no weak token): a number that somebody picked up clears nobody.
3. Without a number nothing of this is computed, and with one that clears nothing the answer is as without.

Example: a traveller's phone number once belonged to somebody on the court's list. With the redress number and the
traveller's own passport in the check, the court's entry that the phone finds is left out; what the passport finds stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portcullis.domain.records import decode_body, decode_records, encode_body
from portcullis.domain.segments import join_segments, split_segments

Clearance = Callable[[str, bytes, bytes], bytes]
"""`Tokeniser.clearance`: the token of (number, own token, mistaken token)."""


class Clearing:
    """The look-up of one check that gives a redress number: the replica's, without what the number clears.

    Args:
        number: the number's sixteen characters (`portcullis.domain.redress_numbers`).
        probes: the customer's (token, weak) pairs.
        get: the replica's look-up, of one version.
        clearance: makes the tokens that clearances stand under.
    """

    def __init__(
        self,
        number: str,
        probes: Sequence[tuple[bytes, bool]],
        get: Callable[[bytes], bytes | None],
        clearance: Clearance,
    ) -> None:
        self._number = number
        self._probes = probes
        self._get = get
        self._clearance = clearance
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
        for own, weak in self._probes:
            if weak or own == token:
                continue
            value = self._get(self._clearance(self._number, own, token))
            if value is not None:
                cleared |= {(each.list_number, each.entry_id) for each in decode_records(value)}
        return cleared
