"""API keys: shown once, kept as digests, for partners of the policy and for people of every role."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.domain.errors import InvalidRequest, NotFound, StepNotAllowed, Unauthenticated
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.roles import KEY_ROLES, Role
from portcullis.ports import ApiKeyDesk
from portcullis.registry.keys import KeyDesk, key_digest
from tests.support.imports import StillClock, registry
from tests.support.policies import NOW, a_list


@pytest.fixture
def store() -> MemoryRegistry:
    store = registry()
    partners = tuple(Partner(name, name, ()) for name in ("lending", "ticketing"))
    store.apply_policy(Policy(lists=(a_list(),), partners=partners), actor="test")
    return store


@pytest.fixture
def desk(store: MemoryRegistry) -> ApiKeyDesk:
    return KeyDesk(store, clock=StillClock())


def test_a_key_names_itself_and_holds_256_random_bits(desk: ApiKeyDesk) -> None:
    made, text = desk.create("lending", "partner", "checkout", actor="op")
    match = re.fullmatch(r"pcl_([a-z2-7]{8})_([A-Za-z0-9_-]{43})", text)
    assert match
    assert made.key_id == match[1]
    assert ("lending", "partner", "checkout", NOW, None) == (
        made.holder,
        made.role,
        made.note,
        made.created_at,
        made.revoked_at,
    )


def test_the_same_randomness_gives_the_same_key(store: MemoryRegistry) -> None:
    desk = KeyDesk(store, clock=StillClock(), random_bytes=lambda count: bytes(range(count)))
    _, text = desk.create("lending", "partner", "", actor="op")
    assert "pcl_aaaqeaye_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" == text


def test_only_the_digest_of_the_whole_key_is_kept(desk: ApiKeyDesk, store: MemoryRegistry) -> None:
    _, text = desk.create("lending", "partner", "", actor="op")
    assert sha256(text.encode()).hexdigest() == key_digest(text)
    with store.view() as view:
        assert [key_digest(text)] == [credential.digest for credential in view.credentials]
    assert text not in repr(desk.list())


def test_a_revoked_key_is_listed_and_is_no_credential(desk: ApiKeyDesk, store: MemoryRegistry) -> None:
    made, _ = desk.create("lending", "partner", "", actor="op")
    desk.revoke(made.key_id, actor="op")
    desk.revoke(made.key_id, actor="op")
    assert [NOW] == [key.revoked_at for key in desk.list("lending")]
    with store.view() as view:
        assert () == view.credentials


def test_keys_are_listed_by_holder(desk: ApiKeyDesk) -> None:
    for holder in ("lending", "ticketing", "lending"):
        desk.create(holder, "partner", "", actor="op")
    assert (2, 1, 3) == (len(desk.list("lending")), len(desk.list("ticketing")), len(desk.list()))


def test_a_key_that_is_not_there_cant_be_revoked(desk: ApiKeyDesk) -> None:
    with pytest.raises(NotFound):
        desk.revoke("aaaaaaaa", actor="op")


def test_a_partners_key_is_for_a_partner_of_the_policy(desk: ApiKeyDesk) -> None:
    with pytest.raises(InvalidRequest, match=r"holder: .* lending, ticketing"):
        desk.create("stranger", "partner", "", actor="op")


def test_without_a_policy_no_partner_can_have_a_key() -> None:
    store = registry()
    store.apply_policy(Policy(), actor="test")
    with pytest.raises(InvalidRequest, match="apply a policy first"):
        KeyDesk(store, clock=StillClock()).create("lending", "partner", "", actor="op")


@pytest.mark.parametrize("role", [role for role in KEY_ROLES if role is not Role.PARTNER])
def test_a_key_of_another_role_is_for_any_name(desk: ApiKeyDesk, role: Role) -> None:
    made, _ = desk.create("a.nobody@example", role, "", actor="op")
    assert ("a.nobody@example", role, ()) == (made.holder, made.role, made.lists)


def test_a_key_is_good_for_the_lists_that_it_was_made_for(desk: ApiKeyDesk) -> None:
    made, _ = desk.create("rita", "reviewer", "", actor="op", lists=["court", "court"])
    whole, _ = desk.create("rita", "reviewer", "", actor="op")
    assert [("court",), ()] == [tuple(desk.lists_of("rita", each.key_id)) for each in (made, whole)]


def test_a_key_that_has_ended_or_is_anothers_is_good_for_nothing(desk: ApiKeyDesk) -> None:
    made, _ = desk.create("rita", "reviewer", "", actor="op", lists=["court"])
    with pytest.raises(Unauthenticated):
        desk.lists_of("olga", made.key_id)
    desk.revoke(made.key_id, actor="op")
    with pytest.raises(Unauthenticated):
        desk.lists_of("rita", made.key_id)


@pytest.mark.parametrize(
    ("role", "holder", "lists"), [("reviewer", "rita", ["court", "moon"]), ("partner", "lending", ["court"])]
)
def test_lists_that_a_key_cant_have_are_refused(desk: ApiKeyDesk, role: str, holder: str, lists: list[str]) -> None:
    with pytest.raises(InvalidRequest, match=r"^lists: "):
        desk.create(holder, role, "", actor="op", lists=lists)
    assert [] == list(desk.list())


@pytest.mark.parametrize(
    ("holder", "role", "note", "field"),
    [
        ("lending", "admin", "", "role"),
        ("lending", "subject", "", "role"),
        ("lending", "anyone", "", "role"),
        ("", "operator", "", "holder"),
        ("two words", "reviewer", "", "holder"),
        ("two words", "operator", "", "holder"),
        ("subject", "operator", "", "holder"),
        ("Subject", "reviewer", "", "holder"),
        ("lending", "partner", "x" * 129, "note"),
        ("lending", "partner", "two\nlines", "note"),
    ],
)
def test_what_a_key_cant_have_is_refused_by_field(desk: ApiKeyDesk, holder: str, role: str, note: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        desk.create(holder, role, note, actor="op")
    assert [field] == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize("role", ["operator", "authority-approver"])
def test_a_key_that_may_approve_imports_names_its_holder(desk: ApiKeyDesk, role: str) -> None:
    _, text = desk.create("olga", role, "", actor="op")
    assert ["olga", "olga"] == [desk.approver(given) for given in (text, f" {text}\n")]


def test_a_key_that_is_no_operators_in_force_names_nobody(desk: ApiKeyDesk) -> None:
    revoked, text = desk.create("olga", "operator", "", actor="op")
    desk.revoke(revoked.key_id, actor="op")
    _, partners = desk.create("lending", "partner", "", actor="op")
    for given in (text, partners, "pcl_aaaaaaaa_nonsense", "nonsense", "", "\udce4"):
        with pytest.raises(InvalidRequest, match="no key in force of the role") as caught:
            desk.approver(given)
        assert not given or given not in str(caught.value)


DAY_S = 86_400.0


def test_a_key_may_end_by_itself_and_is_good_for_nothing_then(store: MemoryRegistry) -> None:
    clock = StillClock()
    desk = KeyDesk(store, clock=clock)
    made, _ = desk.create("rita", "reviewer", "", actor="op", lists=["court"], expires_at=NOW + DAY_S)
    assert (NOW + DAY_S, ("court",)) == (made.expires_at, tuple(desk.lists_of("rita", made.key_id)))
    clock.time = NOW + DAY_S
    with pytest.raises(Unauthenticated):
        desk.lists_of("rita", made.key_id)


@pytest.mark.parametrize("expires_at", [NOW, NOW - 1.0, 0.0, NOW + 3651 * DAY_S, float("nan"), float("inf")])
def test_an_end_that_a_key_cant_have_is_refused(desk: ApiKeyDesk, expires_at: float) -> None:
    with pytest.raises(InvalidRequest, match=r"^expires_at: "):
        desk.create("lending", "partner", "", actor="op", expires_at=expires_at)
    assert [] == list(desk.list())


def test_a_successor_has_the_same_holder_role_note_and_lists_and_lives_as_long(store: MemoryRegistry) -> None:
    clock = StillClock()
    desk = KeyDesk(store, clock=clock)
    made, _ = desk.create("rita", "reviewer", "desk 2", actor="op", lists=["court"], expires_at=NOW + 90 * DAY_S)
    clock.time = NOW + 80 * DAY_S
    successor, text = desk.rotate(made.key_id, overlap_s=7 * DAY_S, actor="op")
    assert ("rita", "reviewer", "desk 2", ("court",), NOW + 170 * DAY_S) == (
        successor.holder,
        successor.role,
        successor.note,
        successor.lists,
        successor.expires_at,
    )
    assert text.startswith(f"pcl_{successor.key_id}_")
    assert [(NOW + 87 * DAY_S, successor.key_id), (successor.expires_at, "")] == [
        (key.expires_at, key.successor) for key in desk.list("rita")
    ]


def test_an_overlap_makes_no_key_live_longer_and_may_be_none(desk: ApiKeyDesk) -> None:
    ending, _ = desk.create("lending", "partner", "", actor="op", expires_at=NOW + DAY_S)
    lasting, _ = desk.create("lending", "partner", "", actor="op")
    desk.rotate(ending.key_id, overlap_s=7 * DAY_S, actor="op")
    successor, _ = desk.rotate(lasting.key_id, overlap_s=0.0, actor="op")
    assert [NOW + DAY_S, NOW] == [key.expires_at for key in desk.list()[:2]]
    assert successor.expires_at is None


@pytest.mark.parametrize("overlap_s", [-1.0, 90 * DAY_S + 1, float("nan")])
def test_an_overlap_that_cant_be_is_refused(desk: ApiKeyDesk, overlap_s: float) -> None:
    made, _ = desk.create("lending", "partner", "", actor="op")
    with pytest.raises(InvalidRequest, match=r"^overlap: "):
        desk.rotate(made.key_id, overlap_s=overlap_s, actor="op")


def test_what_is_not_there_has_ended_or_has_a_successor_is_not_rotated(desk: ApiKeyDesk) -> None:
    with pytest.raises(NotFound):
        desk.rotate("aaaaaaaa", overlap_s=0.0, actor="op")
    made, _ = desk.create("lending", "partner", "", actor="op")
    desk.rotate(made.key_id, overlap_s=DAY_S, actor="op")
    with pytest.raises(StepNotAllowed, match="rotate its successor"):
        desk.rotate(made.key_id, overlap_s=DAY_S, actor="op")
    desk.revoke(made.key_id, actor="op")
    with pytest.raises(StepNotAllowed, match="make a new key"):
        desk.rotate(made.key_id, overlap_s=DAY_S, actor="op")


def test_a_certificate_is_revoked_by_its_mark(desk: ApiKeyDesk, store: MemoryRegistry) -> None:
    assert "a1b" == desk.revoke_certificate("0A:1B", "lost", actor="op")
    assert [("a1b", "lost", NOW)] == [(each.mark, each.note, each.revoked_at) for each in desk.revoked_certificates()]
    with store.view() as view:
        assert ("a1b",) == view.revoked
    for certificate, note, field in (("nonsense", "", "certificate"), ("a1b", "two\nlines", "note")):
        with pytest.raises(InvalidRequest, match=f"^{field}: "):
            desk.revoke_certificate(certificate, note, actor="op")
