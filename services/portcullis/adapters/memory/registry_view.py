"""One consistent reading of a registry in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from portcullis.adapters.memory.registry_versions import Change, Version, tokens_of
from portcullis.domain.editions import Credential
from portcullis.domain.entries import EntryStatus
from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.token_keys import TokenKey
from portcullis.domain.tokens import Tokeniser
from portcullis.ports import ENDED_KEPT_S, IndexedEntry


class MemoryView:
    """The registry as it stood when the view was opened; ``held`` are the present versions of all entries."""

    def __init__(
        self,
        *,
        seq: int,
        policy: Policy,
        credentials: tuple[Credential, ...],
        revoked: tuple[str, ...],
        list_numbers: Mapping[str, int],
        held: Sequence[Version],
        tokeniser: Tokeniser,
        now: float,
        log: Sequence[Change],
    ) -> None:
        self.seq = seq
        self._log = log
        self.policy = policy
        self.credentials = credentials
        self.revoked = revoked
        self.token_keys: tuple[TokenKey, ...] = ()
        self.list_numbers = list_numbers
        self.now = now
        self._held = held
        self._tokeniser = tokeniser

    def changed_at(self, seq: int) -> float:
        """Give when a change of the log was made (Unix seconds); 0 where there is none of this number."""
        return self._log[seq - 1].at if 0 < seq <= self.seq else 0.0

    def forgot_renewals(self, _after: int, /) -> bool:
        """Say no: entries here never come over to another key."""
        return False

    def index(self, lists: Collection[str]) -> Iterator[tuple[bytes, IndexedEntry]]:
        """Give every (token, listed entry) pair of these lists in ascending order of token, then of entry."""
        found = self._index(lists)
        for token in sorted(found):
            for version in found[token]:
                yield token, _indexed(version)

    def touched(self, after: int, now_then: float) -> Iterator[tuple[bytes, str, tuple[IndexedEntry, ...]]]:
        """Give every token of a list whose entries may be others than at change ``after``: (token, list, entries now)."""
        span = sorted((now_then - ENDED_KEPT_S, self.now - ENDED_KEPT_S))
        published = self._published(self.list_numbers)
        touched = {
            (token, version.entry.list)
            for held in self._held
            if held.entry.list in published
            for version in _touched_versions(held, after, span)
            for token in tokens_of(version.entry, self._tokeniser)
        }
        found = self._index(self.list_numbers)
        for token, name in sorted(touched):
            yield token, name, tuple(_indexed(each) for each in found.get(token, ()) if each.entry.list == name)

    def _index(self, lists: Collection[str]) -> dict[bytes, list[Version]]:
        """Give what is indexed under each token, in the order of the entries."""
        published = self._published(lists)
        found: dict[bytes, list[Version]] = {}
        for version in self._held:
            if version.listed and version.entry.list in published and version.ends > self.now - ENDED_KEPT_S:
                for token in tokens_of(version.entry, self._tokeniser):
                    found.setdefault(token, []).append(version)
        return found

    def _published(self, lists: Collection[str]) -> set[str]:
        """Give those of the lists whose entries may leave the registry."""
        may_leave = {each.name for each in self.policy.lists if each.disclosure is not Disclosure.AUTHORITY_ONLY}
        return may_leave.intersection(lists)


def _touched_versions(held: Version, after: int, span: Sequence[float]) -> Iterator[Version]:
    """Give the versions whose tokens a change since ``after``, or an end within the span, touches."""
    changed = held.seq > after
    then = held.as_of(after) if changed else None
    if held.listed and (changed or span[0] < held.ends <= span[1]):
        yield held
    if then is not None and then.listed:
        yield then


def _indexed(version: Version) -> IndexedEntry:
    entry = version.entry
    return IndexedEntry(
        list=entry.list,
        entry_id=version.entry_id,
        case_reference=entry.case_reference,
        legal_basis=entry.legal_basis,
        redress=entry.redress,
        valid_from=entry.valid_from,
        until=version.ends,
        stayed=version.status is EntryStatus.STAYED,
        measures=entry.measures,
    )
