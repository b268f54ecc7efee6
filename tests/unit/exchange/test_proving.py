"""Proofs for partners verify against the checkpoints that come with them."""

from __future__ import annotations

from typing import cast

import pytest

from portcullis.domain.errors import InvalidRequest
from portcullis.domain.merkle import verify_consistency, verify_inclusion
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.proving import Prover
from portcullis.ports import Journal
from tests.support.clocks import HandClock
from tests.support.logs import LogInMemory
from tests.support.signers import SignCounts, SignerInMemory


@pytest.fixture
def log() -> LogInMemory:
    """A log of 700 entries, signed at 300 and 600."""
    log = LogInMemory()
    checkpointer = Checkpointer(cast("Journal", log), SignerInMemory(), HandClock(), SignCounts())
    for _ in range(2):
        log.fill(300)
        checkpointer.sign_once()
    return log.fill(100)


@pytest.mark.parametrize("sequence", [0, 299, 300, 511, 599])
def test_an_entry_that_is_covered_is_proven(log: LogInMemory, sequence: int) -> None:
    checkpoint, proof = Prover(log).inclusion(sequence)
    assert checkpoint is not None
    assert (600, log.checkpoint()) == (checkpoint.size, checkpoint)
    assert verify_inclusion(log.rows[sequence].leaf, sequence, 600, proof, checkpoint.root)


@pytest.mark.parametrize("sequence", [600, 699])
def test_an_entry_that_no_checkpoint_covers_yet_has_no_proof(log: LogInMemory, sequence: int) -> None:
    assert (None, ()) == Prover(log).inclusion(sequence)


def test_a_log_without_checkpoints_proves_nothing() -> None:
    prover = Prover(LogInMemory().fill(3))
    assert prover.newest() is None
    assert (None, ()) == prover.inclusion(0)
    with pytest.raises(InvalidRequest, match="second_size: no checkpoint is signed yet"):
        prover.consistency(1, 0)


@pytest.mark.parametrize(("first", "second"), [(300, 0), (300, 600), (1, 0), (299, 300), (600, 0), (300, 300)])
def test_a_later_checkpoint_is_proven_to_add_to_an_earlier_size(log: LogInMemory, first: int, second: int) -> None:
    checkpoint, proof = Prover(log).consistency(first, second)
    assert (second or 600, log.checkpoint(second)) == (checkpoint.size, checkpoint)
    assert verify_consistency(first, checkpoint.size, log.root(first), checkpoint.root, proof)


def test_a_size_that_was_never_signed_is_proven_by_its_root_without_a_note(log: LogInMemory) -> None:
    checkpoint, proof = Prover(log).consistency(300, 450)
    assert (450, log.root(450), "") == (checkpoint.size, checkpoint.root, checkpoint.note)
    assert verify_consistency(300, 450, log.root(300), checkpoint.root, proof)


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (0, 0, "first_size"),
        (-1, 0, "first_size"),
        (601, 0, "first_size"),
        (500, 400, "first_size"),
        (1, 601, "second_size"),
        (1, -1, "second_size"),
    ],
)
def test_sizes_that_prove_nothing_are_refused_by_field(log: LogInMemory, first: int, second: int, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Prover(log).consistency(first, second)
    assert [field] == [violation.field for violation in caught.value.violations]
