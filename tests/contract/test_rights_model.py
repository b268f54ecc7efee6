"""Waiting releases against a plain model, over any order of events, objections and steps of the entries."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from portcullis.domain.entries import LISTED
from portcullis.domain.entry_life import Step, legal_steps
from portcullis.domain.errors import NotFound
from portcullis.ports import Settlement
from tests.support.policies import NOW
from tests.support.registry_entries import an_entry, document
from tests.support.rights import NOTE, Office

KEYS = st.sampled_from(["k1", "k2"])
EVENTS = st.tuples(st.sampled_from(["lender", "carrier"]), st.integers(1, 4))
STEPS = st.sampled_from([Step.STAY, Step.LIFT, Step.RELEASE, Step.WITHDRAW, Step.RETRACT])


class WaitingMachine(RuleBasedStateMachine):
    """The model knows which events there were, and of each entry that waits the times of its events' releases."""

    office: Office

    def __init__(self) -> None:
        super().__init__()
        self.office.stock()
        self.now = NOW
        self.events: set[tuple[str, str, int]] = set()
        self.waits: dict[str, list[float]] = {}

    @rule(key=KEYS, event=EVENTS, after=st.integers(0, 20))
    def settle(self, key: str, event: tuple[str, int], after: int) -> None:
        partner, number = event
        release_at = float(self.now + after)
        fresh = self.is_listed(key) and (key, partner, number) not in self.events
        settled = Settlement(
            list="court",
            case_reference=f"(2090) Demo {key}",
            partner=partner,
            event_id=f"e{number}",
            reported_at=float(self.now),
            release_at=release_at,
        )
        found = self.office.rights.note_settlements([settled])
        assert int(fresh) == found
        if fresh:
            self.events.add((key, partner, number))
            self.waits.setdefault(key, []).append(release_at)

    @rule(key=KEYS, step=STEPS)
    def step(self, key: str, step: Step) -> None:
        if step in legal_steps(self.office.entry(key).status):
            self.office.step(step, key)
            if not self.is_listed(key):
                self.waits.pop(key, None)

    @rule(key=KEYS, purpose=st.sampled_from(["one", "other"]))
    def put(self, key: str, purpose: str) -> None:
        self.office.put(an_entry(key, document(1), purpose=purpose))

    @rule(key=KEYS)
    def object_to(self, key: str) -> None:
        try:
            self.office.rights.object_to("court", key, note=NOTE)
        except NotFound:
            # Whose time has come waits for the keeper alone.
            assert key not in self.waits or min(self.waits[key]) <= self.now
        else:
            assert min(self.waits.pop(key)) > self.now

    @rule(passed=st.integers(0, 15))
    def let_time_pass(self, passed: int) -> None:
        self.now += passed
        self.office.clock.time = self.now

    @rule(passed=st.integers(0, 15))
    def release(self, passed: int) -> None:
        self.now += passed
        self.office.clock.time = self.now
        due = {key for key, times in self.waits.items() if min(times) <= self.now}
        assert len(due) == self.office.rights.release_due(self.now, note=NOTE)
        assert {False} >= {self.is_listed(key) for key in due}
        for key in due:
            del self.waits[key]

    @invariant()
    def the_model_waits_for_the_same(self) -> None:
        expected = sorted((min(times), key) for key, times in self.waits.items())
        assert expected == sorted((each.release_at, each.key) for each in self.office.rights.waiting("court"))

    def is_listed(self, key: str) -> bool:
        return self.office.entry(key).status in LISTED


def test_releases_wait_as_the_model_does(office: Office) -> None:
    run_state_machine_as_test(
        type("Machine", (WaitingMachine,), {"office": office}),
        settings=settings(max_examples=12, stateful_step_count=12, suppress_health_check=list(HealthCheck)),
    )
