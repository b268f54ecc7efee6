"""The two passes over the registry: all entries of some lists, for bases; what may have changed since, for deltas.

Both give the compilations that they filled, by the name of the list, and leave it to the caller to put them down or to give
them up. Memory is bounded: a mebibyte for each list, and for deltas one token's entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeVar

from portcullis.domain.documents import ListDocuments
from portcullis.domain.policies import RestrictedList
from portcullis.ports import IndexedEntry, RegistryView, ReplicaWriter, SnapshotRepository
from portcullis.publisher.lists import ListCompilation, Reading, begin_base, begin_delta

LISTS_A_PASS = 64
"""How many bases are filled at once, each with an open file."""

Beat = Callable[[], None]
"""Called now and then in everything that takes long; it keeps the lease, and ends the work when it is lost."""

BEAT_EVERY = 256
"""After how many tokens."""

_Item = TypeVar("_Item")


def beating(items: Iterable[_Item], beat: Beat) -> Iterator[_Item]:
    """Pass things on, with a beat now and then."""
    for count, item in enumerate(items):
        if count % BEAT_EVERY == 0:
            beat()
        yield item


class Included(NamedTuple):
    """Up to where a state of a list reads the registry: the last change, and the time of the reading (Unix seconds)."""

    seq: int
    read_at: float

    def earlier(self, other: Included | None) -> Included:
        """Give what both include."""
        return self if other is None else Included(min(self.seq, other.seq), min(self.read_at, other.read_at))


def compile_bases(
    view: RegistryView,
    definitions: Sequence[RestrictedList],
    *,
    repository: SnapshotRepository,
    reading: Reading,
    beat: Beat,
) -> Iterator[dict[str, ListCompilation]]:
    """Fill the bases of these lists, some dozens at a time.

    Raises:
        RegistryUnavailable: the registry went away meanwhile.
        OSError: the disk refused.
    """
    for start in range(0, len(definitions), LISTS_A_PASS):
        group = definitions[start : start + LISTS_A_PASS]
        works = {each.name: begin_base(repository, each, view.list_numbers[each.name], reading) for each in group}
        try:
            _fill_bases(view, works, beat)
        except BaseException:
            give_up(works.values())
            raise
        yield works


def _fill_bases(view: RegistryView, works: Mapping[str, ListCompilation], beat: Beat) -> None:
    for token, pairs in groupby(beating(view.index(tuple(works)), beat), key=itemgetter(0)):
        own: dict[str, list[IndexedEntry]] = {}
        for _, entry in pairs:
            own.setdefault(entry.list, []).append(entry)
        for name, entries in own.items():
            work = works[name]
            body = b"" if work.failed else work.body(entries)
            if body:
                work.put(token, b"", body)


def compile_changes(
    view: RegistryView,
    definitions: Mapping[str, RestrictedList],
    states: Mapping[str, ListDocuments],
    *,
    included: Included,
    mirror: ReplicaWriter,
    repository: SnapshotRepository,
    reading: Reading,
    beat: Beat,
) -> dict[str, ListCompilation]:
    """Fill the deltas of those lists whose bodies or definitions are others than in ``states``.

    Args:
        view: the registry's reading.
        definitions: the lists to look at, as the policy has them now.
        states: the same lists as they stand; the mirror holds their bodies.
        included: what the oldest of the states includes.
        mirror: holds the bodies of the states.
        repository: takes the drafts.
        reading: of what version and time.
        beat: called now and then.

    Raises:
        RegistryUnavailable: the registry went away meanwhile.
        OSError: the disk refused.
    """
    works: dict[str, ListCompilation] = {
        name: begin_delta(repository, definition, states[name], reading)
        for name, definition in definitions.items()
        if definition != states[name].terms.definition
    }
    try:
        for token, name, entries in beating(view.touched(included.seq, included.read_at), beat):
            work = works.get(name)
            if work is None:
                if name not in definitions:
                    continue
                work = works[name] = begin_delta(repository, definitions[name], states[name], reading)
            new = None if work.failed else work.body(entries)
            if new is not None and new != (old := mirror.body(token, work.number)):
                work.put(token, old, new)
    except BaseException:
        give_up(works.values())
        raise
    return works


def give_up(works: Iterable[ListCompilation]) -> None:
    """Leave compilations as though they had never been begun."""
    for work in works:
        work.draft.give_up()
