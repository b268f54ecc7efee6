"""By what names the journal has what partners reported about entries without naming a decision.

1. SETTLED and SETTLEMENT_CLAIMED name a case, and TERMINATED may name the entry as the reporting partner knows it. Each such
   event is sealed under a key of that case or name, and the journal can't tell whose it is: the registry alone can.
2. A partner may have reported under an earlier agreement, and with an earlier feed key. So the names of an entry are those
   for every partner that a policy ever had, in each epoch up to the present.
3. A case that another entry has, which still says who it is about, is not among the names: what was reported of it is that
   person's too, and may be what their release rests on. It goes with the last of its entries.
4. The keys of these names are destroyed before the registry forgets who the entries are about. Until it has, the entries are
   found by the person's identifier, or by their age: whoever was broken off in between begins again and finds both.

Example: Ann and Bob are liable for one debt, each by an entry of case 17, and both entries have ended. Ann is erased: the
keys of her names go, and the report that case 17 is settled stays. Bob is erased too: its key goes with those of his names.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from portcullis.domain.subjects import FIRST_EPOCH, SubjectNames
from portcullis.ports import EntryTraces, ReportedBy


class TraceStore(Protocol):
    """Tells by what partners know entries."""

    def traces_of(self, entry_ids: Collection[int]) -> EntryTraces:
        """Give it.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        ...


class ReportedNames:
    """Gives the names of entries; blocks on the registry. Safe for threads if the store is.

    Args:
        store: the numbers and cases of entries, and the partners.
        subjects: names entries for partners.
    """

    def __init__(self, store: TraceStore, subjects: SubjectNames) -> None:
        self._store = store
        self._subjects = subjects

    def of(self, entry_ids: Collection[int]) -> ReportedBy:
        """Give by what partners may have reported about these entries; rules 2 and 3.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        traces = self._store.traces_of(entry_ids)
        subjects = [
            self._subjects.name(partner, list_number, entry_id, epoch)
            for partner, present in traces.partners.items()
            for epoch in range(FIRST_EPOCH, present + 1)
            for list_number, entry_id in traces.entries
        ]
        return ReportedBy(cases=traces.cases, subjects=subjects)
