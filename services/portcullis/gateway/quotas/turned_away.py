"""Those who are over their rate of checks, known by what they call with: refused again before anything is done for them.

A refusal that takes the whole way through a handler costs about as much as an answer, so a flood of refused calls would take
the time of everybody else's. Who was refused for the rate of checks is known here by the headers of that call. Further calls
with the same headers are put to the same gate first, where a refusal costs a fraction. The rules:

1. The gate alone decides, each time, as it would inside: nobody is refused who would have been let through.
2. What it lets through goes the whole way, and so does what the gate has more to do about than to look at its rate. All are
   forgotten once a second and with each new edition, and known again when they are refused again.
3. Callers are known here by a key alone, which nobody else has, with what else says who they are beside it. Who shows a
   certificate and no key goes the whole way each time: what a proxy tells of it is no secret, and who tells it is judged
   inside.

Only the native transport asks (`portcullis.gateway.transport.shedding`): grpcio hands a call over with its handler begun.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import grpc

from portcullis.domain.errors import PortcullisError, QuotaExceeded
from portcullis.gateway.front import Context, metadata_of
from portcullis.gateway.quotas.gate import CHECKS_PER_S, Gate

MOST_KEPT: Final = 256

_KEY: Final = "authorization"
_CREDENTIALS: Final = frozenset({_KEY, "x-forwarded-client-cert"})
"""The headers that say who calls."""

_STEPS_A_S: Final = 100
"""When to come again is rounded up to hundredths of a second."""

Headers = tuple[tuple[str, str | bytes], ...]


class TurnedAway:
    """Remembers them. One a worker; not for several threads.

    Args:
        status_of: counts an error, and gives the status that a call ends with for it.
        most: how many are remembered; 0 where nobody asks.
    """

    def __init__(self, status_of: Callable[[PortcullisError], grpc.Status], most: int = MOST_KEPT) -> None:
        self._status_of = status_of
        self._most = most
        self._gates: dict[Headers, Gate] = {}
        self._promised: dict[Gate, int] = {}
        # To make an error costs as much as to give the refusal.
        self._refusals: dict[int, QuotaExceeded] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._gates)

    def take(self, gate: Gate, context: Context) -> None:
        """Let a check through, and remember its caller if it is refused for its rate.

        Raises:
            QuotaExceeded, ProbingSuspected: as `Gate.take` says.
        """
        if self._promised and (promised := self._promised.get(gate)):
            self._promised[gate] = promised - 1
        try:
            gate.take()
        except QuotaExceeded as fault:
            if self._most and fault.metadata["quota"] == CHECKS_PER_S:
                self._remember(gate, context)
            raise

    def begin(self) -> None:
        """Begin a turn: what was let in before has come to `take`, or never will."""
        self._promised.clear()

    def status(self, metadata: Iterable[tuple[str, str | bytes]]) -> grpc.Status | None:
        """Give what refuses a call with this metadata; None where it has to be looked at inside."""
        gate = self._gates.get(_headers(metadata))
        if gate is None:
            return None
        promised = self._promised.get(gate, 0)
        wait_s = gate.spent(promised)
        if not wait_s:
            self._promised[gate] = promised + 1
            return None
        return self._status_of(self._refusal(math.ceil(wait_s * _STEPS_A_S)))

    def forget(self) -> None:
        """Forget all of them."""
        self._gates.clear()
        self._promised.clear()

    def _refusal(self, steps: int) -> QuotaExceeded:
        refusal = self._refusals.get(steps)
        if refusal is None:
            if len(self._refusals) >= MOST_KEPT:
                self._refusals.clear()
            refusal = self._refusals[steps] = QuotaExceeded(CHECKS_PER_S, retry_after_s=steps / _STEPS_A_S)
        return refusal

    def _remember(self, gate: Gate, context: Context) -> None:
        headers = _headers(metadata_of(context))
        if not any(name == _KEY for name, _ in headers):
            return
        if len(self._gates) >= self._most:
            self._gates.clear()
        self._gates[headers] = gate


def _headers(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    return tuple(pair for pair in metadata if pair[0] in _CREDENTIALS)
