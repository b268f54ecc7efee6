"""Compile the entries of one token in one list into a body.

The rules:

1. What leaves the registry is chosen by list: a list of class AUTHORITY_ONLY is never asked for.
2. Bodies refer to the list's terms (`portcullis.publisher.terms`), where places are only ever appended.
3. A beginning is written only where it lies ahead; an entry past its end goes in as it is, for expiry is judged at every
   check.
4. What does not fit a record is mended in the subject's favour where that changes no effect before 2106 (an end beyond
   the field is cut to its greatest value, a case reference of more than 255 bytes is cut short), else the entry is left
   out. Both are counted by reason: one bad entry never stops its list, nor a bad list the others.

Example: three entries of a court under token T, all resting on one section of one act, become one body of three records
that refer to one row of the legal table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from portcullis.domain.records import MAX_CASE_REFERENCE_BYTES, Record, encode_body
from portcullis.ports import IndexedEntry
from portcullis.publisher.terms import TermsBuilder

_MAX_WORD = 0xFFFF_FFFF


class BodyCompiler:
    """Compiles the bodies of one list; ``faults`` counts, by reason, the entries that were left out or mended."""

    __slots__ = ("_now", "_number", "faults", "terms")

    def __init__(self, number: int, terms: TermsBuilder, now: float) -> None:
        """``now`` is Unix seconds, the time of the registry's reading."""
        self._number = number
        self._now = int(now)
        self.terms = terms
        self.faults: Counter[str] = Counter()

    def body(self, entries: Iterable[IndexedEntry]) -> bytes:
        """Give the body of one token's entries; empty where none is left."""
        return encode_body([record for entry in entries if (record := self._record(entry)) is not None])

    def _record(self, entry: IndexedEntry) -> Record | None:
        """Give the entry's record; None, and counted, where it must be left out."""
        mask = self.terms.mask(entry.measures)
        legal = None
        if not 0 <= entry.entry_id <= _MAX_WORD:
            fault = "entry_id does not fit a record"
        elif entry.valid_from > _MAX_WORD:
            fault = "valid_from does not fit a record"
        elif not mask:
            fault = "the list has too many names of measures"
        else:
            legal = self.terms.legal_place(entry.legal_basis, entry.redress)
            fault = "the list has too many legal bases"
        if legal is None:
            self.faults[fault] += 1
            return None
        reference = entry.case_reference
        # Only a text of more characters than a quarter of the bytes can be too long.
        if len(reference) * 4 > MAX_CASE_REFERENCE_BYTES:
            reference = self._reference(reference)
        return Record(
            self._number,
            legal,
            entry.until if 0 <= entry.until <= _MAX_WORD else self._until(entry.until),
            entry.entry_id,
            reference,
            entry.valid_from if entry.valid_from > self._now else 0,
            mask,
            entry.stayed,
        )

    def _until(self, until: int) -> int:
        if until > _MAX_WORD:
            self.faults["until was cut to 2106"] += 1
        return max(0, min(until, _MAX_WORD))

    def _reference(self, reference: str) -> str:
        encoded = reference.encode()
        if len(encoded) <= MAX_CASE_REFERENCE_BYTES:
            return reference
        self.faults["case_reference was cut to 255 bytes"] += 1
        return encoded[:MAX_CASE_REFERENCE_BYTES].decode(errors="ignore")
