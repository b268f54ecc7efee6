"""Scopes: on which lists a key of the staff may act.

Which those are stands beside the key in the registry's database, not in the snapshot, so it is looked up there, before
anything is done or read. An answer is used again for a moment, so that a page of calls costs one look.

Where a request names a list, what lies outside is refused as such, whether there is such a list or not. Where it names
something by an id, a case, a decision or an import, what is of a list outside is answered as what is not there: who may not
see it can't tell the two apart, nor on which list it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from portcullis.domain.errors import InvalidRequest, NotFound, OutsideScope
from portcullis.domain.roles import Role
from portcullis.gateway.admission import Caller
from portcullis.ports import ApiKeyDesk, Clock

KEPT_S = 1.0
"""How long an answer is used again: with a look at the snapshot each second, a key that has ended is refused within two."""
_MAX_KEPT = 1024

_T = TypeVar("_T")


class Scope(NamedTuple):
    """The lists that a caller may act on; none named means every list."""

    lists: tuple[str, ...]

    def covers(self, list_name: str) -> bool:
        """Say whether a list is among them."""
        return not self.lists or list_name in self.lists

    def demand(self, list_name: str) -> None:
        """Refuse what is about a list outside; "" stands for what concerns every list.

        Raises:
            OutsideScope: it is.
        """
        if not self.covers(list_name):
            raise OutsideScope(list_name)

    def found(self, field: str, fetch: Callable[[], _T], lists_of: Callable[[_T], Collection[str]]) -> _T:
        """Fetch what an id names; for a limited key one error stands for what is not there and what is of a list outside.

        Args:
            field: the request's field that has the id.
            fetch: gives what it names; raises NotFound where there is nothing.
            lists_of: gives the lists that it is of; none, where that can't be told any more.

        Raises:
            NotFound: it is not there, or not of lists within alone.
        """
        if not self.lists:
            return fetch()
        try:
            found = fetch()
            lists = lists_of(found)
        except NotFound:
            lists = ()
        if not lists or not all(map(self.covers, lists)):
            raise NotFound(f"{field}: nothing of the lists that your key covers has this id; look at it, or use another key")
        return found

    def one(self, list_name: str) -> str:
        """Give the list to ask about, "" for every one: that named, or the only one within.

        Raises:
            OutsideScope: the list named is outside.
            InvalidRequest: none is named, and several, but not all, are within.
        """
        if list_name:
            self.demand(list_name)
        elif len(self.lists) > 1:
            raise InvalidRequest.at("list", f"your key covers some lists alone; name one of {', '.join(self.lists)}")
        return list_name or next(iter(self.lists), "")

    def each(self, list_name: str, fetch: Callable[[str], Iterable[_T]]) -> list[_T]:
        """Fetch what is of one list, or where none is named, of every list within.

        Raises:
            OutsideScope: the list named is outside.
        """
        if list_name:
            self.demand(list_name)
            return list(fetch(list_name))
        return [found for each in self.lists or ("",) for found in fetch(each)]


EVERY_LIST = Scope(())
"""The scope of a key that is not limited, and of a subject, whom the desks limit to what is about them."""


class Scopes:
    """Looks scopes up, and keeps them for a moment.

    Args:
        keys: where the keys' lists stand.
        clock: measures the moment.
    """

    def __init__(self, keys: ApiKeyDesk, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._kept: dict[str, tuple[float, Scope]] = {}

    def of(self, caller: Caller) -> Scope:
        """Give a caller's scope; may block on the registry's database.

        Raises:
            Unauthenticated: the key has ended.
            RegistryUnavailable: it can't be looked up, so nothing may be done.
        """
        if caller.role == Role.SUBJECT:
            return EVERY_LIST
        now = self._clock.monotonic()
        at, scope = self._kept.get(caller.key_id, (-KEPT_S, EVERY_LIST))
        if now - at < KEPT_S:
            return scope
        scope = Scope(tuple(self._keys.lists_of(caller.holder, caller.key_id)))
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[caller.key_id] = (now, scope)
        return scope

    async def on(self, caller: Caller, list_name: str, act: Callable[..., _T], *args: Any, **given: Any) -> _T:
        """Do on a thread what is about one list, once the caller's scope covers it; "" for what concerns every list.

        Raises:
            OutsideScope: it does not.
        """

        def within() -> _T:
            self.of(caller).demand(list_name)
            return act(*args, **given)

        return await asyncio.to_thread(within)

    async def across(self, caller: Caller, act: Callable[[Scope], _T]) -> _T:
        """Do on a thread what judges the scope itself."""
        return await asyncio.to_thread(lambda: act(self.of(caller)))
