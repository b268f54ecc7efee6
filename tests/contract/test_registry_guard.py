"""The guard of a list, on every adapter: what an import may take away, and what becomes of one that takes more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.errors import ImportNotHeld, NotFound, SecondOperatorRequired
from portcullis.domain.policies import Disclosure, Policy, RestrictedList
from portcullis.ports import HeldImport, ImportCounts, ImportOutcome, RegistryStore, Shrinkage
from tests.support.imports import StillClock
from tests.support.policies import NOW, YEAR_S, a_list, measure
from tests.support.registries import ADAPTERS, import_rows, opened_registry
from tests.support.registry_entries import an_entry, document

DAY_S = 86_400
GUARDED = a_list("court", guard_percent=5, guard_entries=2)
WHY = {"purpose": "confirmed by telephone"}


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(params=ADAPTERS)
def registry(request: pytest.FixtureRequest, tmp_path: Path, clock: StillClock) -> Iterator[RegistryStore]:
    with opened_registry(request.param, tmp_path, clock, lambda: request.getfixturevalue("postgres")) as store:
        store.apply_policy(Policy(lists=(GUARDED, a_list("carrier"))), actor="ann")
        yield store


def entries_of(count: int, **changes: Any) -> list[Entry]:
    return [an_entry(f"k{number}", document(number), **changes) for number in range(count)]


def state(registry: RegistryStore, list_name: str = "court") -> dict[str, tuple[EntryStatus, int, str]]:
    stored = registry.entries(list_name, after_id=0, limit=10_000)
    return {each.key: (each.status, each.version, each.case_reference) for each in stored}


def in_force(registry: RegistryStore) -> set[str]:
    return {key for key, (status, _, _) in state(registry).items() if status is EntryStatus.IN_FORCE}


def everything(registry: RegistryStore) -> tuple[Any, ...]:
    with registry.view() as view:
        return state(registry), list(view.index(view.list_numbers)), registry.count_in_force("court")


@pytest.fixture
def held(registry: RegistryStore) -> ImportOutcome:
    """An import by ann that keeps k0, amends k1, adds another, and would withdraw k2 to k9."""
    import_rows(registry, entries_of(10))
    return import_rows(registry, shrunk())


def shrunk() -> list[Entry]:
    return [an_entry("k0", document(0)), an_entry("k1", document(1), case_reference="new"), an_entry("n1", document(99))]


# --- how much may go ------------------------------------------------------------


def test_an_import_takes_away_as_much_as_the_guard_lets_go_and_no_entry_more(registry: RegistryStore) -> None:
    cases = {3: 2, 40: 2, 59: 2, 60: 3, 119: 5}
    lists = tuple(msgspec.structs.replace(GUARDED, name=f"of-{count}") for count in cases)
    registry.apply_policy(Policy(lists=lists), actor="ann")
    for count, may_go in cases.items():
        name = f"of-{count}"
        entries = entries_of(count, list=name)
        import_rows(registry, entries, list_name=name)

        outcome = import_rows(registry, entries[may_go + 1 :], list_name=name)
        assert Shrinkage(lost=may_go + 1, in_force=count, guard=may_go) == outcome.held
        assert count == registry.count_in_force(name)

        assert import_rows(registry, entries[may_go:], list_name=name).held is None
        assert count - may_go == registry.count_in_force(name)


def test_a_list_that_says_nothing_gives_up_a_thousand_entries_at_once(registry: RegistryStore) -> None:
    entries = entries_of(1002, list="carrier")
    import_rows(registry, entries, list_name="carrier")
    assert Shrinkage(lost=1001, in_force=1002, guard=1000) == import_rows(registry, entries[1001:], list_name="carrier").held
    assert import_rows(registry, entries[1000:], list_name="carrier").held is None
    assert 2 == registry.count_in_force("carrier")


def test_what_an_import_adds_is_not_set_off_against_what_it_takes_away(registry: RegistryStore) -> None:
    import_rows(registry, entries_of(10))
    others = [an_entry(f"other{number}", document(100 + number)) for number in range(20)]
    outcome = import_rows(registry, others)
    assert (ImportCounts(added=20, withdrawn=10), 10) == (outcome.counts, outcome.held and outcome.held.lost)


def test_an_empty_list_has_nothing_to_lose(registry: RegistryStore) -> None:
    registry.apply_policy(Policy(lists=(a_list("court", guard_percent=0, guard_entries=0),)), actor="ann")
    assert import_rows(registry, []).held is None
    assert import_rows(registry, entries_of(3)).held is None
    assert Shrinkage(lost=1, in_force=3, guard=0) == import_rows(registry, entries_of(2)).held


def test_a_share_of_all_entries_holds_nothing(registry: RegistryStore) -> None:
    registry.apply_policy(Policy(lists=(a_list("court", guard_percent=100, guard_entries=0),)), actor="ann")
    import_rows(registry, entries_of(9))
    assert ImportCounts(withdrawn=9) == import_rows(registry, []).counts
    assert 0 == registry.count_in_force("court")


def test_an_additive_import_is_guarded_too(registry: RegistryStore) -> None:
    import_rows(registry, entries_of(10))
    outcome = import_rows(registry, entries_of(4, identifiers=()), full=False)
    assert (ImportCounts(amended=4), Shrinkage(lost=4, in_force=10, guard=2)) == (outcome.counts, outcome.held)


@pytest.mark.parametrize(
    "change",
    [
        {"identifiers": ()},
        {"identifiers": (document(77), document(78, "XB"))},
        {"until": NOW},
        {"until": NOW - DAY_S},
        {"valid_from": NOW + 1},
    ],
    ids=["no identifier", "others'", "ending now", "ended", "not begun"],
)
def test_an_entry_that_has_no_effect_any_more_is_as_good_as_gone(registry: RegistryStore, change: dict[str, Any]) -> None:
    entries = entries_of(10)
    import_rows(registry, entries)
    stripped = [msgspec.structs.replace(entry, **change) for entry in entries[:3]]
    outcome = import_rows(registry, [*stripped, *entries[3:]])
    assert (ImportCounts(amended=3, unchanged=7), 3) == (outcome.counts, outcome.held and outcome.held.lost)


@pytest.mark.parametrize("change", [{"identifiers": ()}, {"until": NOW - 1}, {"valid_from": NOW + 1}])
def test_an_entry_that_had_no_effect_is_not_lost_by_staying_so(registry: RegistryStore, change: dict[str, Any]) -> None:
    import_rows(registry, entries_of(10, **change))
    outcome = import_rows(registry, entries_of(10, **change, case_reference="amended"))
    assert (ImportCounts(amended=10), None) == (outcome.counts, outcome.held)


def test_an_entry_that_has_ended_is_no_loss_and_no_part_of_the_list(registry: RegistryStore, clock: StillClock) -> None:
    ending = [an_entry(f"e{number}", document(100 + number), until=NOW + DAY_S) for number in range(50)]
    entries = entries_of(10)
    import_rows(registry, [*ending, *entries])
    clock.time = NOW + DAY_S
    assert Shrinkage(lost=3, in_force=10, guard=2) == import_rows(registry, entries[3:]).held
    assert ImportCounts(withdrawn=50, unchanged=10) == import_rows(registry, entries).counts


def test_an_entry_that_keeps_one_of_its_identifiers_is_not_lost(registry: RegistryStore) -> None:
    registry.apply_policy(Policy(lists=(a_list("court", guard_percent=0, guard_entries=0),)), actor="ann")
    import_rows(registry, [an_entry(f"k{number}", document(number), document(100 + number)) for number in range(4)])
    # The same number of another country is found by whoever does not know the country, as before.
    kept = [(document(0), document(200)), (document(101),), (document(2, "XB"),)]
    rows = [an_entry(f"k{number}", *identifiers) for number, identifiers in enumerate(kept)]
    assert import_rows(registry, rows, full=False).held is None
    countryless = an_entry("k3", document(3, ""), document(103, ""))
    assert Shrinkage(lost=1, in_force=4, guard=0) == import_rows(registry, [countryless], full=False).held


def test_a_shorter_term_is_no_loss_while_it_runs(registry: RegistryStore) -> None:
    import_rows(registry, entries_of(10))
    assert import_rows(registry, entries_of(10, until=NOW + 1)).held is None


# --- what is held ------------------------------------------------------------


def test_nothing_of_a_held_import_takes_effect(registry: RegistryStore) -> None:
    import_rows(registry, entries_of(10))
    before, head = everything(registry), registry.head()
    outcome = import_rows(registry, shrunk())
    assert ImportCounts(added=1, amended=1, unchanged=1, withdrawn=8) == outcome.counts
    assert before == everything(registry)
    assert head + 1 == registry.head()


def test_a_held_import_says_what_it_would_do(registry: RegistryStore, held: ImportOutcome) -> None:
    assert [
        HeldImport(
            import_id=held.import_id,
            list="court",
            full=True,
            importer="ann",
            held_at=NOW,
            counts=held.counts,
            shrinkage=Shrinkage(lost=8, in_force=10, guard=2),
        )
    ] == registry.held_imports()


@pytest.mark.usefixtures("held")
def test_other_lists_go_on(registry: RegistryStore) -> None:
    rows = entries_of(3, list="carrier")
    assert ImportCounts(added=3) == import_rows(registry, rows, list_name="carrier").counts
    assert ["court"] == [each.list for each in registry.held_imports()]


def test_an_approved_import_takes_effect_as_it_would_have_at_once(registry: RegistryStore, held: ImportOutcome) -> None:
    with registry.view() as view:
        seq, now = view.seq, view.now
    outcome = registry.approve_import(held.import_id, actor="bob", **WHY)
    assert ImportOutcome(import_id=held.import_id, counts=held.counts) == outcome
    assert {"k0", "k1", "n1"} == in_force(registry)
    assert [] == registry.held_imports()
    assert (3, seq + 1) == (registry.count_in_force("court"), registry.head())
    assert ImportCounts(unchanged=3) == import_rows(registry, shrunk()).counts
    with registry.view() as view:
        # Two tokens for each document: of the one that is new, the one that is amended and the eight that are gone.
        assert 20 == len(list(view.touched(seq, now)))


def test_whoever_imported_it_can_not_approve_it(registry: RegistryStore, held: ImportOutcome) -> None:
    before, head = everything(registry), registry.head()
    for approver in ("ann", "Ann", "ANN"):
        with pytest.raises(SecondOperatorRequired, match="ann has imported it, so another operator must approve it"):
            registry.approve_import(held.import_id, actor=approver, **WHY)
    assert (before, head, 1) == (everything(registry), registry.head(), len(registry.held_imports()))


@pytest.mark.parametrize("actor", ["ann", "bob"])
def test_a_rejected_import_never_takes_effect(registry: RegistryStore, held: ImportOutcome, actor: str) -> None:
    before = everything(registry)
    (told,) = registry.held_imports()
    assert told == registry.reject_import(held.import_id, actor=actor, **WHY)
    assert (before, []) == (everything(registry), registry.held_imports())
    for decide in (registry.approve_import, registry.reject_import):
        with pytest.raises(ImportNotHeld, match="it was rejected"):
            decide(held.import_id, actor="carol", **WHY)


def test_an_import_is_approved_once(registry: RegistryStore, held: ImportOutcome) -> None:
    registry.approve_import(held.import_id, actor="bob", **WHY)
    head = registry.head()
    for decide in (registry.approve_import, registry.reject_import):
        with pytest.raises(ImportNotHeld, match="it is in force already"):
            decide(held.import_id, actor="carol", **WHY)
    assert head == registry.head()


def test_an_import_that_took_effect_at_once_can_not_be_decided(registry: RegistryStore) -> None:
    outcome = import_rows(registry, entries_of(1))
    with pytest.raises(ImportNotHeld, match="it is in force already"):
        registry.reject_import(outcome.import_id, actor="bob", **WHY)


@pytest.mark.usefixtures("held")
def test_a_number_that_no_import_has_is_not_found(registry: RegistryStore) -> None:
    for import_id in (-1, 0, 99, 2**63 - 1):
        for decide in (registry.approve_import, registry.reject_import):
            with pytest.raises(NotFound):
                decide(import_id, actor="bob", **WHY)


@pytest.mark.parametrize(
    ("rows", "full"),
    [(entries_of(10), True), (entries_of(10), False), (shrunk()[2:], False), (shrunk()[2:], True)],
    ids=["what stands", "what stands, additive", "one more", "a shrunk file again"],
)
def test_a_newer_import_of_the_list_makes_it_void(
    registry: RegistryStore, held: ImportOutcome, rows: list[Entry], *, full: bool
) -> None:
    newer = import_rows(registry, rows, full=full, actor="carol")
    assert held.import_id == newer.voided
    assert [newer.import_id] * (newer.held is not None) == [each.import_id for each in registry.held_imports()]
    with pytest.raises(ImportNotHeld, match="a newer import of its list has made it void"):
        registry.approve_import(held.import_id, actor="bob", **WHY)


def test_an_import_that_was_given_up_makes_nothing_void(registry: RegistryStore, held: ImportOutcome) -> None:
    with registry.begin_import("court", actor="carol") as session:
        session.stage(entries_of(1))
    assert [held.import_id] == [each.import_id for each in registry.held_imports()]


# --- what happens while it is held ------------------------------------------------------------


def test_what_was_changed_one_by_one_meanwhile_is_newer_and_stays(registry: RegistryStore, held: ImportOutcome) -> None:
    amended = an_entry("k1", document(1), case_reference="newer")
    registry.withdraw_entry("court", "k0", reason="performed", actor="dan")
    registry.put_entry(amended, actor="dan")
    registry.withdraw_entry("court", "k2", reason="performed", actor="dan")
    registry.put_entry(an_entry("k3", document(3), case_reference="newer"), actor="dan")
    registry.put_entry(an_entry("n1", document(98)), actor="dan")
    registry.put_entry(an_entry("n2", document(97)), actor="dan")
    newer = {key: state(registry)[key] for key in ("k0", "k1", "k2", "k3", "n1", "n2")}

    outcome = registry.approve_import(held.import_id, actor="bob", **WHY)

    assert ImportCounts(unchanged=1, withdrawn=6, superseded=4) == outcome.counts
    assert newer == {key: state(registry)[key] for key in newer}
    assert {"k1", "k3", "n1", "n2"} == in_force(registry)
    assert 4 == registry.count_in_force("court")


RULES: Sequence[tuple[str, RestrictedList | None]] = (
    ("the rules of its list have changed", msgspec.structs.replace(GUARDED, max_term_s=YEAR_S)),
    ("the rules of its list have changed", msgspec.structs.replace(GUARDED, identifier_kinds=("phone",))),
    ("the rules of its list have changed", msgspec.structs.replace(GUARDED, measures=(measure("other"),))),
    ("the rules of its list have changed", msgspec.structs.replace(GUARDED, authority="Another Court")),
    ("the rules of its list have changed", msgspec.structs.replace(GUARDED, redress_url="https://else.example")),
    ("the policy in force has no list any more", None),
)


def test_an_import_whose_rows_might_not_be_admitted_now_can_not_be_approved(
    registry: RegistryStore, held: ImportOutcome
) -> None:
    for reason, now in RULES:
        registry.apply_policy(Policy(lists=(now,) if now else ()), actor="ann")
        with pytest.raises(ImportNotHeld, match=reason):
            registry.approve_import(held.import_id, actor="bob", **WHY)
    assert 1 == len(registry.held_imports())
    registry.apply_policy(Policy(lists=(GUARDED,)), actor="ann")
    assert held.counts == registry.approve_import(held.import_id, actor="bob", **WHY).counts


def test_rules_that_admit_more_are_no_hindrance(registry: RegistryStore, held: ImportOutcome) -> None:
    wider = msgspec.structs.replace(
        GUARDED,
        max_term_s=10 * YEAR_S,
        identifier_kinds=(*GUARDED.identifier_kinds, "imo"),
        measures=(*GUARDED.measures, measure("other")),
        disclosure=Disclosure.PUBLIC,
        guard_entries=0,
    )
    registry.apply_policy(Policy(lists=(wider,)), actor="ann")
    assert held.counts == registry.approve_import(held.import_id, actor="bob", **WHY).counts


def test_an_import_can_be_rejected_when_its_list_is_gone(registry: RegistryStore, held: ImportOutcome) -> None:
    registry.apply_policy(Policy(), actor="ann")
    assert "court" == registry.reject_import(held.import_id, actor="bob", **WHY).list


def test_entries_that_end_meanwhile_are_withdrawn_all_the_same(
    registry: RegistryStore, held: ImportOutcome, clock: StillClock
) -> None:
    clock.time = NOW + 2 * YEAR_S
    assert held.counts == registry.approve_import(held.import_id, actor="bob", **WHY).counts
