"""The policies of a registry in memory, and its switches: which of their lists are suspended, and who asks for what."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from portcullis.adapters.memory.registry_ledger import Ledger
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import NotFound
from portcullis.domain.policies import Policy
from portcullis.ports import Clock, ListSwitch


class MemoryPolicies:
    """Every policy that was in force, with the lists that were suspended then. Whoever uses it holds the ledger's lock."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._past: list[tuple[int, Policy]] = []
        self._numbers: dict[str, int] = {}
        self._switches: dict[str, ListSwitch] = {}

    @property
    def present(self) -> Policy:
        """The policy in force; an empty one before the first."""
        return self._past[-1][1] if self._past else Policy()

    @property
    def numbers(self) -> Mapping[str, int]:
        """The number of every list of the policy in force."""
        return {each.name: self._numbers[each.name] for each in self.present.lists}

    def as_of(self, seq: int) -> Policy:
        """Give the policy that was in force after a change of the log."""
        return next((each for at, each in reversed(self._past) if at <= seq), Policy())

    def apply(self, policy: Policy, *, actor: str) -> bool:
        """Put a policy in force; False when it is in force already. What is suspended stays so."""
        switched = self._switched(policy)
        if self._past and switched == self.present:
            return False
        self._past.append((self._ledger.write("policy", "policy", StepNote(actor=actor)), switched))
        for each in policy.lists:
            self._numbers.setdefault(each.name, len(self._numbers) + 1)
        return True

    def switch(self, list_name: str, *, suspend: bool, note: StepNote) -> ListSwitch:
        """Ask for a list to be suspended or resumed; the second person who asks for the same does it.

        Raises:
            NotFound: the policy in force has no such list.
        """
        before = self.list_switch(list_name)
        after = self._after(before, suspend=suspend, note=note)
        if after == before:
            return before
        self._switches[list_name] = after
        seq = self._ledger.write(_word(before, after, suspend=suspend), list_name, note)
        if after.suspended != before.suspended:
            self._past.append((seq, self._switched(self.present)))
        return after

    def list_switch(self, list_name: str) -> ListSwitch:
        """Say how a list stands.

        Raises:
            NotFound: the policy in force has no such list.
        """
        if self.present.list_named(list_name) is None:
            raise NotFound(
                "no such list in the policy in force; apply a policy that declares it", metadata={"resource": "list"}
            )
        return self._switches.get(list_name, ListSwitch(list=list_name, suspended=False))

    def _after(self, before: ListSwitch, *, suspend: bool, note: StepNote) -> ListSwitch:
        if suspend == before.suspended:
            given_up = ListSwitch(list=before.list, suspended=suspend, reason=note.why)
            return given_up if before.requested_by else before
        if not before.requested_by:
            return msgspec.structs.replace(before, requested_by=note.actor, requested_at=self._clock.now(), reason=note.why)
        if before.requested_by.casefold() == note.actor.casefold():
            return before
        return ListSwitch(list=before.list, suspended=suspend, reason=note.why)

    def _switched(self, policy: Policy) -> Policy:
        """Say in a policy which of its lists are suspended."""
        suspended = {name for name, each in self._switches.items() if each.suspended}
        lists = (msgspec.structs.replace(each, suspended=each.name in suspended) for each in policy.lists)
        return msgspec.structs.replace(policy, lists=tuple(lists))


def _word(before: ListSwitch, after: ListSwitch, *, suspend: bool) -> str:
    word = "suspend" if suspend else "resume"
    if after.suspended != before.suspended:
        return word
    return f"{word}-request" if after.requested_by else f"{word}-keep"
