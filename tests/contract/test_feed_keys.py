"""Partners' feed keys in a registry, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import NotFound
from portcullis.domain.policies import Partner, Policy
from tests.support.databases import migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW, a_list
from tests.support.registry_entries import SEAL_KEY, TOKENISER

NOTE = StepNote(actor="ann", why="its database was seen")
POLICY = Policy(
    lists=(a_list("court"),),
    partners=tuple(Partner(name=name, title=name, agreements=()) for name in ("lender", "shop")),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlRegistry]:
    with (
        migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as url,
        closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=StillClock())) as store,
    ):
        store.apply_policy(POLICY, actor="ann")
        yield store


def epochs(registry: SqlRegistry) -> dict[str, int]:
    with registry.view() as view:
        assert view.policy == registry.policy()
        return {each.name: each.feed_epoch for each in view.policy.partners}


def test_a_rotated_partner_and_no_other_has_another_epoch_in_the_policy_that_is_published(registry: SqlRegistry) -> None:
    assert {"lender": 1, "shop": 1} == epochs(registry)
    head = registry.head()
    assert 2 == registry.rotate_feed_key("lender", note=NOTE)
    assert {"lender": 2, "shop": 1} == epochs(registry)
    assert 3 == registry.rotate_feed_key("lender", note=NOTE)
    assert head + 2 == registry.head()
    assert {"lender": (3, NOW)} == registry.feed_epochs()


def test_a_policy_applied_again_is_the_same_and_another_one_keeps_the_epochs(registry: SqlRegistry) -> None:
    registry.rotate_feed_key("lender", note=NOTE)
    assert not registry.apply_policy(POLICY, actor="ann")
    assert not registry.apply_policy(registry.policy(), actor="ann")
    assert registry.apply_policy(Policy(lists=(a_list("court"), a_list("bank")), partners=POLICY.partners), actor="ann")
    assert {"lender": 2, "shop": 1} == epochs(registry)


def test_a_partner_that_the_policy_does_not_know_is_not_rotated(registry: SqlRegistry) -> None:
    with pytest.raises(NotFound):
        registry.rotate_feed_key("nobody", note=NOTE)
    assert {} == registry.feed_epochs()
