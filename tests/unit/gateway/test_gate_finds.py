"""What is noted at a gate about a question that finds somebody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from portcullis.domain.decisions import Probe, Verdict
from portcullis.domain.errors import ProbingSuspected
from portcullis.domain.quotas import UNLIMITED
from portcullis.gateway.quotas.finds import note_found
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.views import View
from tests.support.clocks import HandClock

CLEAN = b"a customer who is on no list"


def ask(gate: Gate, number: int, *, before: list[bytes]) -> None:
    """Ask about somebody listed, after others."""
    token = b"listed %d" % number
    probes: list[Probe] = [(each, False) for each in (*before, token)]
    for each, _ in probes:
        # The numbers lie far apart.
        gate.noted.append(("national-id", f"{number * 7_919_333:09}XB", each))
    view = cast("View", SimpleNamespace(canaries=frozenset()))
    verdict = cast("Verdict", SimpleNamespace(hits=[SimpleNamespace(record=object())]))
    note_found(view, gate, probes, verdict)


@pytest.mark.parametrize("before", [[], [CLEAN], [b"another", CLEAN]])
def test_a_stolen_list_is_seen_whatever_stands_before_its_numbers(before: list[bytes]) -> None:
    clock = HandClock()
    gate = Gate("shop", UNLIMITED, clock.monotonic, clock.now)

    def go_through() -> Any:
        for number in range(400):
            clock.advance(0.01)
            gate.take()
            ask(gate, number, before=before)

    with pytest.raises(ProbingSuspected):
        go_through()
