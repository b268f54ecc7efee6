"""What a question that finds something says about who asks: noted at the gate, beside the answer."""

from __future__ import annotations

from collections.abc import Sequence

from portcullis.domain.decisions import Probe, Verdict
from portcullis.domain.segments import split_segments
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.views import View


def note_found(view: View, gate: Gate, probes: Sequence[Probe], verdict: Verdict) -> None:
    """Note at the caller's gate what a verdict found, and whether it is a canary.

    A list that is out of date speaks about everybody: that finds nobody.
    """
    if any(hit.record is not None for hit in verdict.hits):
        # All of them: which is noted depends on the identifiers, and whoever asks chooses their order.
        gate.found.update(token for token, _ in probes)
    note_canaries(view, gate, probes)


def note_canaries(view: View, gate: Gate, probes: Sequence[Probe]) -> None:
    """Note at the caller's gate if somebody asked about is on a list of canaries, which never speaks."""
    if view.canaries:
        tokens = [token for token, _ in probes if _is_canary(view, token)]
        if tokens:
            gate.canary(tokens)


def _is_canary(view: View, token: bytes) -> bool:
    value = view.get(token)
    return value is not None and any(number in view.canaries for number, _ in split_segments(value))
