"""What both replicas prove of the records they take, before a reader sees one of them.

The rules:

1. A change is taken only where its list is in the edition, its token has 16 bytes, and its body is one of that list
   (`portcullis.domain.records.is_body`): so no list's faulty file can break a check.
2. What a replica comes to hold is what the edition says, list by list: as many records, and the same multiset digest
   (`portcullis.domain.multisets`). It is worked out from the records themselves, the old body of each change included.
3. A list that leaves the edition must have no records, and one that has records keeps its legal rows: what was proven when
   a body came must hold for as long as it stays. A replica built anew proves every body afresh, and has neither bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter, lt

from portcullis.domain.editions import Edition, ListEdition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.records import is_body
from portcullis.domain.segments import TOKEN_BYTES, Change

_BATCH = 10_000
_token = itemgetter(0)
_place = itemgetter(0, 1)


class ListProofs:
    """Keeps count and digest of every list of an edition while records come and go.

    Args:
        edition: what is to come about.
        present: the edition whose records are there already; None where there are none.

    Raises:
        SnapshotInvalid: the records of ``present`` can't stay (rule 3).
    """

    def __init__(self, edition: Edition, present: Edition | None = None) -> None:
        held = {each.number: each for each in present.lists if each.records} if present else {}
        self._lists = edition.lists
        self._legal_rows = {each.number: len(each.legal) for each in edition.lists}
        self._digests = {each.number: _digest_of(held.get(each.number)) for each in edition.lists}
        for number, each in held.items():
            if number not in self._legal_rows:
                raise _mismatch(each.name, "left, and has records still")
            if self._legal_rows[number] < len(each.legal):
                raise SnapshotInvalid(f"list {each.name}: legal rows are gone", refusal=Refusal.TERMS_MALFORMED)

    def demand(self, token: bytes, number: int, body: bytes) -> None:
        """See that a change may be taken (rule 1); an empty body may.

        Raises:
            SnapshotInvalid: it may not.
        """
        rows = self._legal_rows.get(number)
        if rows is None or len(token) != TOKEN_BYTES or (body and not is_body(body, rows)):
            raise _malformed("a change is malformed")

    def replace(self, token: bytes, number: int, old: bytes, new: bytes) -> None:
        """Note that ``new`` takes the place of ``old``; either may be empty."""
        self._digests[number].replace(token, old, new)

    def add_all(self, records: Sequence[Change]) -> None:
        """Note many records, none of which was there; each is seen to have a body (rule 1).

        Raises:
            SnapshotInvalid: one has not.
        """
        by_list: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in self._digests}
        rows_of = self._legal_rows.get
        for token, number, body in records:
            # A list that is not in the edition has no rows, and so no body.
            if not is_body(body, rows_of(number, 0)):
                raise _malformed("a record is malformed")
            by_list[number].append((token, body))
        for number, elements in by_list.items():
            self._digests[number].add_all(elements)

    def confirm(self) -> None:
        """See that every list is what the edition says (rule 2).

        Raises:
            SnapshotInvalid: one is not.
        """
        for each in self._lists:
            digest = self._digests[each.number]
            if (digest.count, digest.hex()) != (each.records, each.digest):
                raise _mismatch(each.name, "the records are not what was published")


def whole_tokens(records: Iterable[Change]) -> Iterator[list[Change]]:
    """Pass records on in batches, each with all that there is of every token in it.

    Raises:
        SnapshotInvalid: they don't ascend strictly by token and list, or a token has not 16 bytes.
    """
    records = iter(records)
    last: tuple[bytes, int] = (b"", 0)
    rest: list[Change] = []
    while taken := list(islice(records, _BATCH)):
        _demand_ascending(last, taken)
        last = _place(taken[-1])
        batch = rest + taken
        cut = len(batch) - 1
        while cut and batch[cut - 1][0] == last[0]:
            cut -= 1
        if cut:
            yield batch[:cut]
        rest = batch[cut:]
    if rest:
        yield rest


def _demand_ascending(last: tuple[bytes, int], batch: list[Change]) -> None:
    # As `portcullis.domain.segments.ascending`, with no step of Python's for a record: ten millions pass here. Mostly every
    # token is another, and then the numbers need no look.
    tokens = list(map(_token, batch))
    ascend = all(map(lt, chain([last[0]], tokens), tokens)) or all(
        map(lt, chain([last], map(_place, batch)), map(_place, batch))
    )
    if not ascend or set(map(len, tokens)) != {TOKEN_BYTES}:
        raise _malformed("tokens are out of order")


def _digest_of(each: ListEdition | None) -> MultisetDigest:
    return MultisetDigest(each.digest, each.records) if each else MultisetDigest()


def _malformed(message: str) -> SnapshotInvalid:
    return SnapshotInvalid(message, refusal=Refusal.RECORDS_MALFORMED)


def _mismatch(name: str, what: str) -> SnapshotInvalid:
    return SnapshotInvalid(f"list {name}: {what}", refusal=Refusal.DIGEST_MISMATCH)
