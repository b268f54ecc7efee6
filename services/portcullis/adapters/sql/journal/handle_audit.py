"""Comparing what finds people's decisions with the log: a decision has a row for each person whom it mentions.

Only who holds a person's key can tell which handles their decision should have. Of somebody who is erased it has a blank one
(`portcullis.adapters.sql.journal.erasure`), and the log says how many are blank in all; a decision that nobody can read any
more has none. So no row can be taken away, exchanged or made blank unseen, whatever was erased.
"""

from __future__ import annotations

from collections.abc import Iterator

from portcullis.adapters.sql.journal.erasure import BLANK
from portcullis.domain.log_facts import ErasureFacts


class HandleAudit:
    """Follows the handles of decisions through the log. What it holds grows with the keys that were erased."""

    def __init__(self) -> None:
        self._lacking: dict[int, str] = {}
        """The key of each decision that lacks a row, by its sequence."""
        self._found: dict[int, str] = {}
        """Likewise of each that has rows though its key can't be had."""
        self._erased: set[str] = set()
        self._blank = self._noted_blank = 0
        self._untold_until = -1
        """Up to the last erasure that does not tell what became blank, rows were deleted."""

    def decision(self, sequence: int, key_id: str, expected: set[str] | None, found: set[str]) -> Iterator[str]:
        """Take a decision with the handles that it should have, None where its key can't be had, and those it has."""
        blank = {each for each in found if each.startswith(BLANK)}
        self._blank += len(blank)
        if expected is None:
            if found:
                self._found[sequence] = key_id
        elif not found - blank <= expected or len(found) > len(expected) or blank != _blank(len(blank)):
            yield f"decision_handles {sequence}: it says something else than its entry"
        elif len(found) < len(expected):
            self._lacking[sequence] = key_id

    def erased(self, sequence: int, facts: ErasureFacts) -> None:
        """Take an erasure of the log."""
        self._erased.update(facts.key_ids)
        self._noted_blank += facts.blank or 0
        if facts.blank is None:
            self._untold_until = sequence

    @property
    def is_short(self) -> bool:
        """Whether an erasure that came while the log was read may explain something."""
        return bool(self._lacking or self._found) or self._blank != self._noted_blank

    def rest(self) -> Iterator[str]:
        """Name what no erasure explains, once all of the log was read."""
        for sequence, key_id in self._found.items():
            if key_id in self._erased:
                yield f"decision_handles {sequence}: it finds a decision whose person was erased"
        for sequence in self._lacking:
            if sequence > self._untold_until:
                yield f"decision_handles {sequence}: it is missing"
        if self._blank != self._noted_blank:
            yield f"decision_handles: {self._blank} are blank, and the erasures left {self._noted_blank}"


def _blank(count: int) -> set[str]:
    return {f"{BLANK}{number}" for number in range(count)}
