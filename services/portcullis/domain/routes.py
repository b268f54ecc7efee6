"""The way from what a replica holds to what is published: which files to take, and whether the replica can stay.

The rules:

1. A list whose bodies are held goes on from them by the deltas that lead to the published version, none where that is held
   already. Where no deltas lead on, the version held is not what it was published as, or the rows that records refer to
   were not only added to, its base is taken and the deltas from there.
2. The replica is led on in place where every list goes on from its bodies, or has none yet and begins with few; and no list
   that had bodies is gone. All of it is then one transaction.
3. Otherwise a replica is built beside: from the bases taken, from the bodies held of the other lists, and the deltas. So it
   is too for changes so many that rewriting everything in order costs less than changing so much of it at random.
4. A list is the same one where both its name and its number are.

Example: three lists of 40,000 tokens, one of which has a gap between the version held and its oldest delta. A replica is
built from that list's base and deltas, and from the bodies held of the other two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from portcullis.domain.editions import Edition, ListEdition
from portcullis.domain.manifests import Base, Delta, Manifest, steps_from

MANY_CHANGES = 200_000
_LARGE_SHARE = 0.1


class ListRoute(NamedTuple):
    """How one list gets there: from the bodies held, or from ``base`` where one is named, by ``deltas`` in this order."""

    number: int
    base: Base | None
    deltas: tuple[Delta, ...]


class Route(NamedTuple):
    """How a replica gets there; ``in_place`` where the one held stays."""

    lists: tuple[ListRoute, ...]
    in_place: bool

    @property
    def bases(self) -> frozenset[str]:
        """The bases that it takes, by target."""
        return frozenset(each.base.target for each in self.lists if each.base)

    @property
    def targets(self) -> frozenset[str]:
        """Every file that it takes, by target."""
        return self.bases.union(delta.target for each in self.lists for delta in each.deltas)


def route_to(edition: Edition, manifests: Iterable[Manifest], held: Edition | None) -> Route:
    """Choose the way from a replica to an edition; ``manifests`` stand in the order of ``edition.lists``."""
    if held is None:
        return route_from_bases(manifests)
    lists = tuple(
        _list_route(each, manifest, _same_list(each, held)) for each, manifest in zip(edition.lists, manifests, strict=True)
    )
    stays = all(each.base is None or _is_vacant(held, each.number) for each in lists)
    none_gone = all(each.records == 0 or _same_list(each, edition) is not None for each in held.lists)
    changes = sum((each.base.records if each.base else 0) + sum(delta.changes for delta in each.deltas) for each in lists)
    return Route(lists, stays and none_gone and not is_large(changes, edition.records))


def route_from_bases(manifests: Iterable[Manifest]) -> Route:
    """Give the way that needs no replica."""
    return Route(tuple(_from_base(manifest) for manifest in manifests), in_place=False)


def is_large(changes: int, records: int) -> bool:
    """Say whether so many changes are better made by writing all records anew (rule 3)."""
    return changes > MANY_CHANGES and changes > _LARGE_SHARE * records


def _list_route(each: ListEdition, manifest: Manifest, held: ListEdition | None) -> ListRoute:
    if held is None or not _was_only_added_to(held, each):
        return _from_base(manifest)
    if held.version == each.version and (held.records, held.digest) != (each.records, each.digest):
        return _from_base(manifest)
    steps = steps_from(manifest, held.version)
    return _from_base(manifest) if steps is None else ListRoute(each.number, None, steps)


def _from_base(manifest: Manifest) -> ListRoute:
    # A manifest whose deltas do not lead on from its base can't be read in the first place.
    return ListRoute(manifest.number, manifest.base, steps_from(manifest, manifest.base.version) or ())


def _same_list(each: ListEdition, edition: Edition) -> ListEdition | None:
    found = edition.list_numbered(each.number)
    return found if found is not None and found.name == each.name else None


def _is_vacant(held: Edition, number: int) -> bool:
    """Say whether a replica has no bodies under a number."""
    found = held.list_numbered(number)
    return found is None or found.records == 0


def _was_only_added_to(held: ListEdition, each: ListEdition) -> bool:
    return held.legal == each.legal[: len(held.legal)] and held.measures == each.measures[: len(held.measures)]
