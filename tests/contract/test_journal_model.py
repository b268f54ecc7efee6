"""The journal against a plain list: whatever is recorded, repeated, erased and opened again, the log is that list."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.domain.errors import DecisionUnknown, EventConflict, PortcullisError
from portcullis.domain.log_entries import decode_entry
from portcullis.domain.merkle import Frontier, leaf_hash
from portcullis.domain.shared_events import SharedEvent
from portcullis.ports import DecisionRecord, Erasure, Journal, Receipt
from tests.support.databases import sqlite_url
from tests.support.decision_records import a_record
from tests.support.imports import StillClock
from tests.support.journals import a_settlement, an_event, sql_journal

TOKENS = [f"{number:032x}" for number in range(4)]
DECISIONS = [f"d{number}" for number in range(8)]
EVENTS = [f"e{number}" for number in range(8)]

decisions = st.builds(
    lambda name, tokens, partner: a_record(name, tokens=tuple(tokens), partner=partner),
    st.sampled_from(DECISIONS),
    st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3, unique=True),
    st.sampled_from(["lending", "rental"]),
)
events = st.one_of(
    st.builds(a_settlement, st.sampled_from(EVENTS), reference=st.sampled_from(["", "order-1"])),
    st.builds(
        lambda name, decision_id, reference: an_event(name, decision_id=decision_id, reference=reference),
        st.sampled_from(EVENTS),
        st.sampled_from(DECISIONS),
        st.sampled_from(["", "order-1"]),
    ),
)


class JournalMachine(RuleBasedStateMachine):
    """``log`` names what is in the log; the rest is what each answer follows from."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.entries: list[bytes] = []
        self.decisions: dict[str, DecisionRecord] = {}
        self.events: dict[str, tuple[SharedEvent, Receipt]] = {}
        self.keys: dict[str, int] = {}
        self.key_of: dict[str, int] = {}
        self.found_by: dict[str, set[str]] = {}
        self.next_key = 0
        self.journal = self.open()

    def open(self) -> Journal:
        return MemoryJournal(clock=StillClock())

    def teardown(self) -> None:
        assert list(self.journal.index_faults()) == []
        self.journal.close()

    @rule(records=st.lists(decisions, max_size=4))
    def record(self, records: list[DecisionRecord]) -> None:
        new = 0
        for each in records:
            if each.decision_id in self.decisions:
                continue
            new += 1
            self.decisions[each.decision_id] = each
            self.log.append(each.decision_id)
            if each.tokens[0] not in self.keys:
                self.next_key += 1
                self.keys[each.tokens[0]] = self.next_key
            self.key_of[each.decision_id] = self.keys[each.tokens[0]]
            for token in each.tokens:
                self.found_by.setdefault(token, set()).add(each.decision_id)
        assert new == self.journal.record_decisions(records)

    @rule(reported=st.lists(events, max_size=4))
    def report(self, reported: list[SharedEvent]) -> None:
        answers = asyncio.run(self._record(reported))
        for event, answer in zip(reported, answers, strict=True):
            known = self.events.get(event.event_id)
            decision = self.decisions.get(event.decision_id)
            if known:
                assert known[1] == answer if known[0] == event else isinstance(answer, EventConflict)
            elif event.decision_id and (decision is None or decision.partner != "lending"):
                assert isinstance(answer, DecisionUnknown)
            else:
                assert isinstance(answer, Receipt)
                assert (len(self.log), event.event_id) == (answer.sequence, answer.event_id)
                self.log.append(event.event_id)
                self.events[event.event_id] = event, answer

    async def _record(self, reported: list[SharedEvent]) -> list[Receipt | PortcullisError]:
        return list(await self.journal.record_events("lending", reported))

    @rule(tokens=st.lists(st.sampled_from(TOKENS), min_size=1, max_size=2, unique=True))
    def erase(self, tokens: list[str]) -> None:
        gone = {self.keys.pop(token) for token in tokens if token in self.keys}
        found = {each for token in tokens for each in self.found_by.pop(token, ())}
        unreadable = {each for each in found if self.key_of[each] in gone}
        for others in self.found_by.values():
            others.difference_update(unreadable)
        left = len(found - unreadable)
        erased = self.journal.erase([bytes.fromhex(token) for token in tokens], actor="dpo", purpose="")
        assert Erasure(keys=len(gone), left=left) == erased
        self.log.append("")

    @rule(name=st.sampled_from(DECISIONS))
    def look(self, name: str) -> None:
        if name in self.decisions:
            stored = self.journal.decision(name, actor="ann", purpose="a test")
            readable = self.key_of[name] in self.keys.values()
            assert (self.decisions[name] if readable else None) == stored.record
            assert self.log.index(name) == stored.sequence

    @invariant()
    def the_log_only_grows_and_is_what_was_told(self) -> None:
        found = list(self.journal.entries(0))
        entries = [entry for _, _, entry in found]
        assert self.entries == entries[: len(self.entries)]
        self.entries = entries
        read = [decode_entry(entry) for entry in entries]
        assert self.log == [entry.id if entry.kind != "erasure" else "" for entry in read]
        frontier = Frontier()
        for _, own, entry in found:
            assert leaf_hash(entry) == own
            frontier.append(own)
        assert (len(entries), frontier.root()) == (self.journal.size(), self.journal.root(len(entries)))


class SqlJournalMachine(JournalMachine):
    """The same on a file, which is closed and opened again in between."""

    def open(self) -> Journal:
        self.folder = tempfile.TemporaryDirectory()
        self.url = sqlite_url(Path(self.folder.name), "journal.db", migrate_journal)
        return sql_journal(self.url)

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = sql_journal(self.url)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestMemoryJournal = JournalMachine.TestCase
TestMemoryJournal.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSqlJournal = SqlJournalMachine.TestCase
TestSqlJournal.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
