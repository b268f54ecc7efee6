"""What every registry does, in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.editions import Credential
from portcullis.domain.entries import Entry, EntryStatus, SubjectType
from portcullis.domain.errors import InvalidRequest, NotFound, StepNotAllowed
from portcullis.domain.policies import Policy
from portcullis.ports import ENDED_KEPT_S, ApiKey, ImportCounts, Look, RegistryStore
from tests.support.databases import migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW, a_list
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry, document, tokens_of

Import = Callable[..., ImportCounts]


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, clock: StillClock) -> Iterator[RegistryStore]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryRegistry(tokeniser=TOKENISER, clock=clock)
            return
        url = stack.enter_context(
            migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres"))
        )
        store = SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)
        stack.callback(store.close)
        yield store


@pytest.fixture
def stocked(registry: RegistryStore) -> RegistryStore:
    """A registry with a policy, and three entries on two lists."""
    registry.apply_policy(POLICY, actor="ann")
    registry.put_entry(an_entry("k1", document(1)), actor="ann")
    registry.put_entry(an_entry("k2", document(2)), actor="ann")
    registry.put_entry(an_entry("k1", document(3), list="carrier"), actor="ann")
    return registry


@pytest.fixture
def run_import(registry: RegistryStore) -> Import:
    def run(*entries: Entry, full: bool = False, list_name: str = "court") -> ImportCounts:
        with registry.begin_import(list_name, actor="ann") as session:
            session.stage(entries)
            return session.commit(full=full).counts

    return run


def index(registry: RegistryStore) -> list[tuple[bytes, str, str]]:
    with registry.view() as view:
        return [(token, entry.list, entry.case_reference) for token, entry in view.index(view.list_numbers)]


def expected_index(*entries: Entry) -> list[tuple[bytes, str, str]]:
    return sorted((token, entry.list, entry.case_reference) for entry in entries for token in tokens_of(entry))


def keys_of(registry: RegistryStore, list_name: str = "court") -> dict[str, EntryStatus]:
    return {entry.key: entry.status for entry in registry.entries(list_name, after_id=0, limit=1000)}


# --- the beginning and the policy ------------------------------------------------------------


def test_a_new_registry_is_empty(registry: RegistryStore) -> None:
    assert registry.head() == 0
    assert Policy() == registry.policy()
    assert list(registry.entries("court", after_id=0, limit=10)) == []
    assert registry.count_in_force("court") == 0
    assert list(registry.keys()) == []
    assert index(registry) == []


def test_a_policy_that_is_in_force_already_changes_nothing(registry: RegistryStore) -> None:
    assert registry.apply_policy(POLICY, actor="ann")
    assert not registry.apply_policy(POLICY, actor="bob")
    assert POLICY == registry.policy()
    assert registry.head() == 1


def test_the_first_policy_counts_as_a_change_even_when_it_is_empty(registry: RegistryStore) -> None:
    assert registry.apply_policy(Policy(), actor="ann")
    assert not registry.apply_policy(Policy(), actor="ann")


def test_an_earlier_policy_can_come_back(registry: RegistryStore) -> None:
    other = Policy(lists=(a_list("other"),))
    assert [registry.apply_policy(each, actor="ann") for each in (POLICY, other, POLICY)] == [True, True, True]
    assert POLICY == registry.policy()


# --- single entries ------------------------------------------------------------


def test_an_entry_is_given_out_without_its_subject(registry: RegistryStore) -> None:
    entry = an_entry(measures=("loans",))
    stored, changed = registry.put_entry(entry, actor="ann")
    assert changed
    assert stored == registry.entry("court", "k1")
    assert (stored.version, stored.status) == (1, EntryStatus.IN_FORCE)
    for field in stored.__struct_fields__:
        if field not in {"entry_id", "version", "status", "effective_until", "decide_by", "pending"}:
            assert getattr(entry, field) == getattr(stored, field), field
    assert (entry.until, 0, False) == (stored.effective_until, stored.decide_by, stored.pending)


def test_the_same_entry_again_changes_nothing(stocked: RegistryStore) -> None:
    head = stocked.head()
    stored, changed = stocked.put_entry(an_entry("k1", document(1)), actor="bob")
    assert not changed
    assert stored.version == 1
    assert head == stocked.head()


@pytest.mark.parametrize(
    "change",
    [
        {"identifiers": (document(9),)},
        {"names": ("Somebody Else",)},
        {"authority": "Another Court"},
        {"legal_basis": "Another Act"},
        {"case_reference": "another"},
        {"purpose": "another"},
        {"valid_from": NOW - 5},
        {"until": NOW + 5},
        {"redress": "https://redress.example/other"},
        {"measures": ("loans",)},
        {"subject_type": SubjectType.ORGANISATION},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_entry_with_any_other_field_is_another_version_under_its_number(
    stocked: RegistryStore, change: dict[str, object]
) -> None:
    before = stocked.entry("court", "k1")
    amended = an_entry("k1", **({"identifiers": (document(1),)} | change))
    stored, changed = stocked.put_entry(amended, actor="ann")
    assert changed
    assert (before.entry_id, 2) == (stored.entry_id, stored.version)
    assert stocked.count_in_force("court") == 2


def test_an_amended_entry_is_found_by_its_new_identifiers_only(stocked: RegistryStore) -> None:
    amended = an_entry("k1", document(8), document(9))
    stocked.put_entry(amended, actor="ann")
    others = (an_entry("k2", document(2)), an_entry("k1", document(3), list="carrier"))
    assert expected_index(amended, *others) == index(stocked)


def test_entries_have_numbers_of_their_own_over_all_lists(stocked: RegistryStore) -> None:
    numbers = [stocked.entry(*name).entry_id for name in (("court", "k1"), ("court", "k2"), ("carrier", "k1"))]
    assert sorted(set(numbers)) == numbers


def test_a_withdrawn_entry_has_no_effect_and_stays_to_be_seen(stocked: RegistryStore) -> None:
    withdrawn = stocked.withdraw_entry("court", "k1", reason="performed", actor="ann")
    assert (withdrawn.status, withdrawn.version) == (EntryStatus.WITHDRAWN, 2)
    assert withdrawn == stocked.entry("court", "k1")
    assert stocked.count_in_force("court") == 1
    assert expected_index(an_entry("k2", document(2)), an_entry("k1", document(3), list="carrier")) == index(stocked)


def test_withdrawing_twice_changes_nothing_more(stocked: RegistryStore) -> None:
    once = stocked.withdraw_entry("court", "k1", reason="performed", actor="ann")
    head = stocked.head()
    assert once == stocked.withdraw_entry("court", "k1", reason="again", actor="ann")
    assert head == stocked.head()


def test_a_withdrawn_entry_comes_back_under_its_number(stocked: RegistryStore) -> None:
    before = stocked.entry("court", "k1")
    stocked.withdraw_entry("court", "k1", reason="performed", actor="ann")
    back, changed = stocked.put_entry(an_entry("k1", document(1)), actor="ann")
    assert changed
    assert (before.entry_id, 3, EntryStatus.IN_FORCE) == (back.entry_id, back.version, back.status)
    assert stocked.count_in_force("court") == 2
    assert len(index(stocked)) == 6


def test_an_entry_that_is_not_there_is_not_found(stocked: RegistryStore) -> None:
    for look in (
        lambda: stocked.entry("court", "k9"),
        lambda: stocked.entry("none", "k1"),
        lambda: stocked.withdraw_entry("court", "k9", reason="performed", actor="ann"),
    ):
        with pytest.raises(NotFound):
            look()


def test_entries_come_in_pages_in_the_order_of_their_numbers(registry: RegistryStore, run_import: Import) -> None:
    run_import(*(an_entry(f"k{number}") for number in range(7)))
    seen: list[str] = []
    after = 0
    while page := registry.entries("court", after_id=after, limit=3):
        assert len(page) <= 3
        seen += [entry.key for entry in page]
        after = page[-1].entry_id
    assert [f"k{number}" for number in range(7)] == seen


# --- looks ------------------------------------------------------------


def test_a_look_at_an_entry_says_who_when_and_why(stocked: RegistryStore, clock: StillClock) -> None:
    stocked.note_looks("court", ["k1"], actor="ann", purpose="a complaint")
    clock.time += 5
    stocked.note_looks("court", ["k2", "k1"], actor="bob", purpose="an audit")
    first = Look(actor="ann", at=NOW, purpose="a complaint")
    second = Look(actor="bob", at=NOW + 5, purpose="an audit")
    assert [[first, second], [second]] == [list(stocked.looks("court", key)) for key in ("k1", "k2")]


def test_a_look_is_of_its_list_alone(stocked: RegistryStore) -> None:
    stocked.note_looks("court", ["k1"], actor="ann", purpose="a complaint")
    assert [] == list(stocked.looks("carrier", "k1"))


def test_a_look_is_no_change(stocked: RegistryStore) -> None:
    head, before = stocked.head(), stocked.entry("court", "k1")
    stocked.note_looks("court", ["k1"], actor="ann", purpose="a complaint")
    assert (head, before) == (stocked.head(), stocked.entry("court", "k1"))


def test_an_entry_keeps_its_looks_when_it_changes_and_goes(stocked: RegistryStore, run_import: Import) -> None:
    stocked.note_looks("court", ["k1"], actor="ann", purpose="a complaint")
    stocked.put_entry(an_entry("k1", document(9)), actor="ann")
    run_import(an_entry("k2", document(2)), full=True)
    stocked.note_looks("court", ["k1"], actor="bob", purpose="an audit")
    assert [("ann", "a complaint"), ("bob", "an audit")] == [
        (look.actor, look.purpose) for look in stocked.looks("court", "k1")
    ]


def test_an_entry_named_twice_at_once_is_looked_at_once(stocked: RegistryStore) -> None:
    stocked.note_looks("court", ["k1", "k1"], actor="ann", purpose="a complaint")
    assert 1 == len(stocked.looks("court", "k1"))


def test_a_whole_page_of_looks_is_noted_at_once(registry: RegistryStore, run_import: Import) -> None:
    keys = [f"k{number}" for number in range(1000)]
    run_import(*(an_entry(key) for key in keys))
    registry.note_looks("court", keys, actor="ann", purpose="an audit")
    assert [1, 1] == [len(registry.looks("court", key)) for key in (keys[0], keys[-1])]


def test_a_look_at_what_is_not_there_notes_nothing(stocked: RegistryStore) -> None:
    for list_name, keys in (("court", ["k1", "k9"]), ("none", ["k1"])):
        with pytest.raises(NotFound):
            stocked.note_looks(list_name, keys, actor="ann", purpose="a complaint")
    assert [[], [], []] == [list(stocked.looks(*name)) for name in (("court", "k1"), ("court", "k9"), ("none", "k1"))]


# --- imports ------------------------------------------------------------


def test_an_import_is_one_change(registry: RegistryStore, run_import: Import) -> None:
    counts = run_import(an_entry("k1"), an_entry("k2"))
    assert ImportCounts(added=2) == counts
    assert registry.head() == 1
    assert registry.count_in_force("court") == 2


def test_the_same_import_again_changes_nothing(registry: RegistryStore, run_import: Import) -> None:
    rows = [an_entry(f"k{number}", document(number)) for number in range(20)]
    run_import(*rows, full=True)
    assert ImportCounts(unchanged=20) == run_import(*rows, full=True)
    assert registry.head() == 1


def test_an_additive_import_leaves_what_it_does_not_name(stocked: RegistryStore, run_import: Import) -> None:
    assert ImportCounts(added=1, amended=1) == run_import(an_entry("k2", document(9)), an_entry("k3"))
    assert {"k1": "in-force", "k2": "in-force", "k3": "in-force"} == keys_of(stocked)


def test_a_full_import_withdraws_what_it_does_not_name_from_its_own_list(stocked: RegistryStore, run_import: Import) -> None:
    assert ImportCounts(unchanged=1, withdrawn=1) == run_import(an_entry("k2", document(2)), full=True)
    assert {"k1": "withdrawn", "k2": "in-force"} == keys_of(stocked)
    assert {"k1": "in-force"} == keys_of(stocked, "carrier")
    assert stocked.count_in_force("court") == 1


def test_an_entry_that_an_import_left_out_and_brings_again_counts_as_added(
    stocked: RegistryStore, run_import: Import
) -> None:
    number = stocked.entry("court", "k1").entry_id
    run_import(an_entry("k2", document(2)), full=True)
    counts = run_import(an_entry("k1", document(1)), an_entry("k2", document(2)), full=True)
    assert ImportCounts(added=1, unchanged=1) == counts
    assert (number, 3) == (stocked.entry("court", "k1").entry_id, stocked.entry("court", "k1").version)
    assert stocked.count_in_force("court") == 2


def test_an_entry_that_a_person_has_withdrawn_is_left_alone_by_imports(stocked: RegistryStore, run_import: Import) -> None:
    before = stocked.withdraw_entry("court", "k1", reason="performed", actor="ann")
    head = stocked.head()
    for full in (False, True):
        counts = run_import(an_entry("k1", document(9)), an_entry("k2", document(2)), full=full)
        assert ImportCounts(unchanged=1, superseded=1) == counts
    assert (before, head) == (stocked.entry("court", "k1"), stocked.head())


def test_an_empty_full_import_withdraws_the_list(stocked: RegistryStore, run_import: Import) -> None:
    assert ImportCounts(withdrawn=2) == run_import(full=True)
    assert stocked.count_in_force("court") == 0


def test_a_key_that_comes_twice_in_an_import_means_its_last_row(registry: RegistryStore) -> None:
    registry.apply_policy(POLICY, actor="ann")
    last = an_entry("k1", document(3))
    with registry.begin_import("court", actor="ann") as session:
        session.stage([an_entry("k1", document(1)), an_entry("k1", document(2))])
        session.stage([last])
        assert ImportCounts(added=1) == session.commit(full=False).counts
    assert expected_index(last) == index(registry)


def test_an_import_that_is_not_committed_leaves_nothing(stocked: RegistryStore) -> None:
    head, before = stocked.head(), index(stocked)
    with stocked.begin_import("court", actor="ann") as session:
        session.stage([an_entry("k1", document(9)), an_entry("k9")])
    assert (head, before) == (stocked.head(), index(stocked))
    with pytest.raises(NotFound):
        stocked.entry("court", "k9")


def test_an_import_that_fails_on_the_way_leaves_nothing(stocked: RegistryStore) -> None:
    head = stocked.head()

    def fail_on_the_way() -> None:
        with stocked.begin_import("court", actor="ann") as session:
            session.stage([an_entry("k9")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_on_the_way()
    assert head == stocked.head()
    assert ImportCounts(added=1) == _import_one(stocked, an_entry("k9"))


def test_others_write_while_an_import_is_being_staged(stocked: RegistryStore) -> None:
    with stocked.begin_import("court", actor="ann") as session:
        session.stage([an_entry("k1", document(1)), an_entry("k2", document(2))])
        stocked.put_entry(an_entry("k2", document(7)), actor="bob")
        stocked.withdraw_entry("court", "k1", reason="performed", actor="bob")
        session.stage([an_entry("k3", document(4))])
        counts = session.commit(full=False).counts
    assert ImportCounts(added=1, amended=1, superseded=1) == counts
    assert expected_index(
        an_entry("k2", document(2)),
        an_entry("k3", document(4)),
        an_entry("k1", document(3), list="carrier"),
    ) == index(stocked)


def test_an_entry_without_identifiers_stands_and_is_matched_by_nothing(registry: RegistryStore, run_import: Import) -> None:
    registry.apply_policy(POLICY, actor="ann")
    nameless = an_entry("k1", identifiers=())
    assert ImportCounts(added=1) == run_import(nameless)
    assert registry.count_in_force("court") == 1
    assert index(registry) == []


def test_an_entry_with_many_identifiers_is_found_by_each(registry: RegistryStore, run_import: Import) -> None:
    registry.apply_policy(POLICY, actor="ann")
    rich = an_entry("k1", *(document(number, "XB") for number in range(40)))
    run_import(rich, an_entry("k2", document(50)))
    assert expected_index(rich, an_entry("k2", document(50))) == index(registry)


def _import_one(registry: RegistryStore, entry: Entry) -> ImportCounts:
    with registry.begin_import(entry.list, actor="ann") as session:
        session.stage([entry])
        return session.commit(full=False).counts


# --- views ------------------------------------------------------------


def test_the_index_holds_what_a_check_must_know(registry: RegistryStore) -> None:
    registry.apply_policy(POLICY, actor="ann")
    entry = an_entry("k1", measures=("loans",))
    stored, _ = registry.put_entry(entry, actor="ann")
    with registry.view() as view:
        found = dict(view.index(view.list_numbers))
    assert tokens_of(entry) == found.keys()
    for indexed in found.values():
        assert not indexed.stayed
        assert stored.entry_id == indexed.entry_id
        for field in ("list", "case_reference", "legal_basis", "redress", "valid_from", "until", "measures"):
            assert getattr(entry, field) == getattr(indexed, field), field


def test_the_index_is_in_the_order_of_tokens_then_of_entries(registry: RegistryStore, run_import: Import) -> None:
    registry.apply_policy(POLICY, actor="ann")
    run_import(*(an_entry(f"k{number}", document(number % 50)) for number in range(200)))
    with registry.view() as view:
        pairs = [(token, entry.entry_id) for token, entry in view.index(view.list_numbers)]
    assert len(pairs) == 400
    assert sorted(pairs) == pairs


def test_one_document_named_twice_in_an_entry_is_indexed_once(registry: RegistryStore, run_import: Import) -> None:
    registry.apply_policy(POLICY, actor="ann")
    # Both are found without a country under the one weak token of their number.
    entry = an_entry("k1", document(1, "XA"), document(1, "XA"), document(1, "XB"))
    run_import(entry)
    assert len(tokens_of(entry)) == 3
    assert expected_index(entry) == index(registry)


def test_what_never_leaves_the_registry_or_has_no_policy_or_has_ended_is_not_indexed(
    registry: RegistryStore, clock: StillClock
) -> None:
    registry.apply_policy(POLICY, actor="ann")
    ending = an_entry("k1", document(1), until=NOW + 10)
    registry.put_entry(ending, actor="ann")
    registry.put_entry(an_entry("k2", document(2), list="secret"), actor="ann")
    registry.put_entry(an_entry("k3", document(3), list="unknown"), actor="ann")
    assert expected_index(ending) == index(registry)
    clock.time = NOW + 10 + ENDED_KEPT_S
    assert index(registry) == []


def test_a_view_shows_one_moment_and_holds_up_no_writer(stocked: RegistryStore) -> None:
    with stocked.view() as view:
        before = list(view.index(view.list_numbers))
        stocked.put_entry(an_entry("k9"), actor="bob")
        stocked.withdraw_entry("court", "k1", reason="performed", actor="bob")
        stocked.apply_policy(Policy(), actor="bob")
        assert before == list(view.index(view.list_numbers))
        assert (4, POLICY) == (view.seq, view.policy)
    with stocked.view() as later:
        assert (7, Policy()) == (later.seq, later.policy)


# --- keys ------------------------------------------------------------


def a_key(key_id: str, holder: str = "lending") -> ApiKey:
    return ApiKey(key_id=key_id, holder=holder, role="partner", note="", created_at=NOW, revoked_at=None)


def test_keys_are_given_in_the_order_of_their_making(registry: RegistryStore) -> None:
    for key_id, holder in (("zz", "lending"), ("aa", "ticketing"), ("mm", "lending")):
        registry.add_key(a_key(key_id, holder), f"digest of {key_id}", actor="ann")
    assert ["zz", "aa", "mm"] == [key.key_id for key in registry.keys(None)]
    assert [a_key("zz"), a_key("mm")] == list(registry.keys("lending"))
    assert registry.head() == 3


def test_a_key_tells_which_lists_it_is_good_for(registry: RegistryStore) -> None:
    narrow = msgspec.structs.replace(a_key("k1", "ann"), role="authority-editor", lists=("court", "carrier"))
    registry.add_key(narrow, "digest", actor="root")
    assert [narrow] == list(registry.keys(None))


def test_a_revoked_key_is_no_credential_and_stays_to_be_seen(registry: RegistryStore) -> None:
    for key_id in ("k1", "k2"):
        registry.add_key(a_key(key_id), f"digest of {key_id}", actor="ann")
    registry.revoke_key("k1", at=NOW + 1, actor="ann")
    registry.revoke_key("k1", at=NOW + 2, actor="ann")
    assert [NOW + 1, None] == [key.revoked_at for key in registry.keys(None)]
    assert registry.head() == 3
    with registry.view() as view:
        assert (Credential(key_id="k2", holder="lending", digest="digest of k2", role="partner"),) == view.credentials


def test_a_key_that_is_not_there_can_not_be_revoked(registry: RegistryStore) -> None:
    with pytest.raises(NotFound):
        registry.revoke_key("k1", at=NOW, actor="ann")


def test_a_key_id_is_given_once(registry: RegistryStore) -> None:
    registry.add_key(a_key("k1"), "digest", actor="ann")
    with pytest.raises(InvalidRequest):
        registry.add_key(a_key("k1"), "another", actor="ann")
    with pytest.raises(InvalidRequest):
        registry.add_key(a_key("k2"), "digest", actor="ann")
    assert registry.head() == 1


def test_a_key_that_ends_by_itself_is_a_credential_until_then(registry: RegistryStore) -> None:
    ending = msgspec.structs.replace(a_key("k1"), expires_at=NOW + 60.5)
    ended = msgspec.structs.replace(a_key("k2"), created_at=NOW - 20.0, expires_at=NOW - 10.0)
    registry.add_key(ending, "digest of k1", actor="ann")
    registry.add_key(ended, "digest of k2", actor="ann")
    assert [ending, ended] == list(registry.keys(None))
    with registry.view() as view:
        assert [("k1", NOW + 60.5)] == [(each.key_id, each.expires_at) for each in view.credentials]


def test_a_rotated_key_goes_on_beside_its_successor_until_its_end(registry: RegistryStore) -> None:
    registry.add_key(a_key("k1"), "digest of k1", actor="ann")
    registry.rotate_key("k1", a_key("k2"), "digest of k2", ends_at=NOW + 7.0, actor="ann")
    assert [("k1", NOW + 7.0, "k2"), ("k2", None, "")] == [
        (key.key_id, key.expires_at, key.successor) for key in registry.keys(None)
    ]
    with registry.view() as view:
        assert [("k1", NOW + 7.0), ("k2", None)] == [(each.key_id, each.expires_at) for each in view.credentials]


def test_a_key_that_has_ended_or_has_a_successor_is_not_rotated_and_nothing_changes(registry: RegistryStore) -> None:
    registry.add_key(a_key("k1"), "digest of k1", actor="ann")
    registry.rotate_key("k1", a_key("k2"), "digest of k2", ends_at=NOW + 7.0, actor="ann")
    registry.add_key(msgspec.structs.replace(a_key("k3"), expires_at=NOW - 1.0), "digest of k3", actor="ann")
    registry.add_key(a_key("k4"), "digest of k4", actor="ann")
    registry.revoke_key("k4", at=NOW, actor="ann")
    before = (registry.head(), list(registry.keys(None)))
    for key_id in ("k1", "k3", "k4"):
        with pytest.raises(StepNotAllowed):
            registry.rotate_key(key_id, a_key("k5"), "digest of k5", ends_at=NOW, actor="ann")
    with pytest.raises(NotFound):
        registry.rotate_key("k9", a_key("k5"), "digest of k5", ends_at=NOW, actor="ann")
    with pytest.raises(InvalidRequest):
        registry.rotate_key("k2", a_key("k3"), "digest of k5", ends_at=NOW, actor="ann")
    assert before == (registry.head(), list(registry.keys(None)))


def test_a_revoked_certificate_stands_in_the_view_once_in_the_order_of_revocation(registry: RegistryStore) -> None:
    registry.revoke_certificate("b2", note="lost", at=NOW + 1.0, actor="ann")
    registry.revoke_certificate("a1", note="", at=NOW + 2.0, actor="bob")
    registry.revoke_certificate("b2", note="again", at=NOW + 3.0, actor="bob")
    assert [("b2", "lost", NOW + 1.0), ("a1", "", NOW + 2.0)] == [
        (each.mark, each.note, each.revoked_at) for each in registry.revoked_certificates()
    ]
    assert registry.head() == 2
    with registry.view() as view:
        assert ("b2", "a1") == view.revoked


# --- many at once ------------------------------------------------------------


def test_changes_of_many_writers_are_seen_in_the_order_of_their_numbers(registry: RegistryStore) -> None:
    registry.apply_policy(POLICY, actor="ann")
    faults: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            for number in range(10):
                registry.put_entry(an_entry(f"k{writer}-{number}", document(writer * 100 + number)), actor="ann")
        except BaseException as fault:
            faults.append(fault)
            raise

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    seen = [0]
    while any(writer.is_alive() for writer in writers):
        with registry.view() as view:
            # The policy is change 1, and each change after it brings one entry: none may be missing below the number seen.
            entries = {entry.entry_id for _, entry in view.index(view.list_numbers)}
            assert max(view.seq - 1, 0) == len(entries)
            seen.append(view.seq)
    for writer in writers:
        writer.join()
    assert faults == []
    assert sorted(seen) == seen
    assert registry.head() == 41
