"""The rules of one list and its measures, one by one."""

from __future__ import annotations

import msgspec
import pytest

from portcullis.domain.errors import PolicyProblem
from portcullis.domain.identifiers import KINDS
from portcullis.domain.policies import (
    Action,
    AttributeSpec,
    AttributeType,
    Disclosure,
    Effect,
    OnStale,
    Partner,
    Policy,
)
from portcullis.domain.policy_rules import check_policy
from tests.support.policies import NOW, RAIL, a_list, agreement, measure, policy
from tests.support.policy_checks import refusals, warnings

FORMS = (Effect.RESTRICT, Effect.REVIEW)


def of_list(**changes: object) -> Policy:
    return policy(a_list("court", **changes))


def of_measure(**changes: object) -> Policy:
    return policy(a_list("court", measure("loans", **changes)))


def rail(when: str, effect: Effect = Effect.RESTRICT, action: Action = RAIL) -> Policy:
    trains = measure("trains", actions=(action.name,), when=when, effect=effect)
    return policy(
        a_list("court", trains),
        actions=(action,),
        partners=(Partner("rail", "Rail", (agreement(actions=(action.name,)),)),),
    )


def caller(effect: Effect = Effect.NOTICE, **changes: object) -> Policy:
    values = {"disclosure": Disclosure.PUBLIC, "published_from": NOW, "published_until": NOW + 1} | changes
    label = measure("label", actions=("call.identify",), effect=effect)
    return policy(
        a_list("court", label, **values), partners=(Partner("app", "App", (agreement(actions=("call.identify",)),)),)
    )


@pytest.mark.parametrize("key", ["authority", "legal_basis", "purpose", "title"])
@pytest.mark.parametrize("text", ["", "  ", "x" * 513, "two\nlines"])
def test_a_list_says_its_authority_legal_basis_and_purpose(key, text):
    """Rule 1."""
    assert [f"list[court].{key}"] == refusals(of_list(**{key: text}))


@pytest.mark.parametrize(
    "url",
    [
        *("", "court", "http://court.example", "https://", "https:///path", "ftp://court.example", "javascript:alert(1)"),
        *("mailto:", "mailto:court", "mailto:@court.example", "tel:", "tel:none", "https://[::1", "https://a b.example"),
    ],
)
def test_a_list_says_where_a_subject_objects(url):
    """Rule 1."""
    assert ["list[court].redress_url"] == refusals(of_list(redress_url=url))


@pytest.mark.parametrize("url", ["https://court.example/objections", "mailto:court@court.example", "tel:+447700900123"])
def test_redress_may_be_a_page_an_address_or_a_number(url):
    assert [] == refusals(of_list(redress_url=url))


@pytest.mark.parametrize("term", [0, -1, 101 * 365 * 86_400])
def test_a_list_has_a_bounded_term(term):
    """Rule 1."""
    assert ["list[court].max_term"] == refusals(of_list(max_term_s=term))


@pytest.mark.parametrize("age", [0, -1, 367 * 86_400])
def test_a_list_has_a_greatest_age(age):
    assert ["list[court].max_age"] == refusals(of_list(max_age_s=age))


def test_a_list_carries_known_kinds_of_identifiers():
    assert ["list[court].identifier_kinds"] == refusals(of_list(identifier_kinds=("passport", "library-card")))
    assert ["list[court].identifier_kinds"] == refusals(of_list(identifier_kinds=()))
    assert [] == refusals(of_list(identifier_kinds=tuple(KINDS)))


def test_a_list_has_at_most_32_measures():
    measures = [measure(f"m{number}") for number in range(33)]
    assert ["list[court].measure"] == refusals(policy(a_list("court", *measures)))
    assert [] == refusals(policy(a_list("court", *measures[:32])))


def test_a_policy_has_at_most_65535_lists():
    empty = a_list("x", disclosure=Disclosure.AUTHORITY_ONLY, measures=())
    many = Policy(lists=tuple(msgspec.structs.replace(empty, name=f"l{number}") for number in range(65_536)))
    assert ["list"] == refusals(many)


def test_a_list_of_class_authority_only_has_no_measures():
    secret = policy(a_list("court", disclosure=Disclosure.AUTHORITY_ONLY), partners=())
    assert ["list[court].disclosure"] == refusals(secret)


def test_a_list_of_class_authority_only_is_in_no_agreement():
    secret = policy(a_list("court", disclosure=Disclosure.AUTHORITY_ONLY, measures=()))
    assert ["partner[lender].agreement[0].lists"] == refusals(secret)


def test_a_list_without_measures_gives_a_warning():
    idle = policy(a_list("court", measures=()), partners=())
    assert ["list[court]"] == warnings(idle)
    assert [] == refusals(idle)


def test_a_publication_period_has_two_ends_in_order_and_belongs_to_a_public_list():
    public = {"disclosure": Disclosure.PUBLIC}
    assert ["list[court].published_until"] == refusals(of_list(**public, published_from=NOW))
    assert ["list[court].published_from"] == refusals(of_list(**public, published_until=NOW))
    assert ["list[court].published_until"] == refusals(of_list(**public, published_from=NOW, published_until=NOW))
    assert ["list[court].published_from"] == refusals(of_list(published_from=NOW, published_until=NOW + 1))
    assert [] == refusals(of_list(**public, published_from=NOW, published_until=NOW + 1))


@pytest.mark.parametrize("effect", [Effect.GRANT, Effect.NOTICE])
@pytest.mark.parametrize("on_stale", [OnStale.RESTRICT, OnStale.REVIEW])
def test_a_grant_or_notice_is_silent_while_its_list_is_out_of_date(effect, on_stale):
    assert ["list[court].measure[loans].on_stale"] == refusals(of_measure(effect=effect, on_stale=on_stale))


def test_a_review_that_refuses_when_out_of_date_gives_a_warning():
    checked = of_measure(effect=Effect.REVIEW, on_stale=OnStale.RESTRICT)
    assert ["list[court].measure[loans].on_stale"] == warnings(checked)


@pytest.mark.parametrize("message", ["", " ", "x" * 513, "two\nlines"])
def test_a_measure_has_a_sentence_for_the_subject(message):
    assert ["list[court].measure[loans].message"] == refusals(of_measure(message=message))


def test_a_measure_names_its_actions_once():
    assert "list[court].measure[loans].actions" in refusals(of_measure(actions=()))
    assert ["list[court].measure[loans].actions"] == refusals(of_measure(actions=("loan.apply", "loan.apply")))


def test_an_unknown_action_is_refused_with_the_nearest_known_one():
    problems = check_policy(of_measure(actions=("loan.aply", "loan.apply")))
    assert [
        PolicyProblem(
            "list[court].measure[loans].actions",
            "the action 'loan.aply' is not declared",
            "write 'loan.apply' if that is meant, or declare the action",
        )
    ] == problems


def test_a_condition_compiles_against_every_action_of_its_measure():
    checked = policy(a_list("court", measure("loans", actions=("loan.apply", "call.identify"), when="amount > 5.0")))
    problems = [problem.what for problem in check_policy(checked) if problem.where == "list[court].measure[loans].when"]
    expected = (
        "for call.identify: line 1, column 1: 'amount' is neither an attribute of the action nor a function of CEL; "
        "its attributes: none"
    )
    assert [expected] == problems


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize(
    "name",
    [
        *("food.purchase", "medicine.purchase", "medical.visit.book", "housing.rent", "utility.contract.open"),
        *("education.enrol", "education.private.enrol", "wage.pay", "legal.counsel.engage", "bus.ticket.purchase"),
    ],
)
def test_no_measure_of_any_effect_touches_a_protected_action(effect, name):
    """Rule 3."""
    checked = policy(a_list("court", measure("m", actions=(name,), effect=effect)), actions=(Action(name),), partners=())
    assert ["list[court].measure[m].actions"] == refusals(checked)


def test_a_protected_action_is_refused_though_it_is_not_declared():
    """Rule 3."""
    whats = [problem.what for problem in check_policy(of_measure(actions=("loan.apply", "medicine.purchase")))]
    assert [
        "'medicine.purchase' is protected: medicine and medical care; no measure may touch it",
        "the action 'medicine.purchase' is not declared",
    ] == whats


@pytest.mark.parametrize("effect", FORMS)
@pytest.mark.parametrize(
    "when",
    [
        "",
        "true",
        "train.startsWith('K')",
        "train != 'K1'",
        "train == 'K7777'",
        "train.startsWith('L99')",
        "seat_class == 'second'",
        "train.startsWith('G') || seat_class != 'hard-seat'",
        "train.matches('^[A-Z]')",
        "size(train) == 0",
    ],
)
def test_no_measure_restricts_or_reviews_an_ordinary_seat(when, effect):
    """Rule 3."""
    assert ["list[court].measure[trains].when"] == refusals(rail(when, effect))


@pytest.mark.parametrize(
    "when",
    [
        "train.startsWith('G')",
        "train.matches('^[Gg]') || seat_class in ['first', 'business', 'soft-sleeper']",
        "seat_class == 'business' && train != 'K1'",
        "train == 'G101'",
    ],
)
def test_a_measure_may_restrict_what_is_no_ordinary_seat(when):
    assert [] == refusals(rail(when))


@pytest.mark.parametrize("effect", list(Effect))
def test_no_measure_of_any_effect_touches_an_ordinary_seat(effect):
    """Rule 3: a notice there would say of somebody, at every ordinary journey, that they are listed."""
    assert ["list[court].measure[trains].when"] == refusals(rail("", effect))
    assert [] == refusals(rail("train.startsWith('G')", effect))


@pytest.mark.parametrize(
    "when",
    [
        "train.startsWith('K7') && train.endsWith('99')",
        "size(train) == 7",
        "size(train) > 9 && size(train) < 11",
        "train.matches('^K777[78]$')",
        "train.matches('^Z[0-9]{6}$|^G')",
        "seat_class.matches('(?i)^bench')",
    ],
)
def test_a_condition_is_tried_on_the_seats_it_describes(when):
    """Rule 3."""
    assert ["list[court].measure[trains].when"] == refusals(rail(when))


def test_a_condition_of_more_forms_than_can_be_tried_is_refused():
    """Rule 3: what nobody has tried may hold for an ordinary seat."""
    flags = tuple(AttributeSpec(f"flag{number}", AttributeType.BOOL, default=False) for number in range(12))
    action = Action(RAIL.name, attributes=(*RAIL.attributes, *flags))
    problem = next(iter(check_policy(rail(" && ".join(flag.name for flag in flags), action=action))))
    assert "list[court].measure[trains].when" == problem.where
    assert "it has more forms than can be tried" in problem.what


def test_a_condition_that_fails_for_an_ordinary_seat_is_refused():
    """Rule 3."""
    assert ["list[court].measure[trains].when"] == refusals(rail("int(train) > 5"))


@pytest.mark.parametrize(
    "when", ["price > 5000.0", "price == 123.0", "luggage == 'ski'", "student", "price < 1.0 && student"]
)
def test_other_attributes_do_not_hide_an_ordinary_seat(when):
    """Rule 3."""
    action = Action(
        RAIL.name,
        attributes=(
            *RAIL.attributes,
            AttributeSpec("price", AttributeType.DOUBLE, default=10.0),
            AttributeSpec("luggage", AttributeType.STRING, default=""),
            AttributeSpec("student", AttributeType.BOOL, default=False),
        ),
    )
    assert ["list[court].measure[trains].when"] == refusals(rail(when, action=action))
    assert [] == refusals(rail(f"train.startsWith('G') && ({when})", action=action))


def test_a_refused_measure_shows_the_ordinary_form_it_holds_for():
    problem = next(iter(check_policy(rail("train == 'K7777'"))))
    expected = (
        "it holds for an ordinary form of rail.ticket.purchase (train='K7777', seat_class='second'), which is protected"
    )
    assert expected == problem.what


def test_a_train_ticket_without_the_attributes_that_tell_ordinary_seats_is_refused():
    """Rule 3: whoever names them otherwise would escape the guard."""
    other = Action(RAIL.name, attributes=(AttributeSpec("number", AttributeType.STRING, required=True),))
    assert [
        "action[rail.ticket.purchase].attribute[train]",
        "action[rail.ticket.purchase].attribute[seat_class]",
    ] == refusals(rail("number.startsWith('K')", action=other))


def test_the_attributes_that_tell_ordinary_seats_are_text():
    """Rule 3."""
    numbered = Action(
        RAIL.name,
        attributes=(AttributeSpec("train", AttributeType.INT, required=True), RAIL.attributes[1]),
    )
    assert ["action[rail.ticket.purchase].attribute[train]"] == refusals(rail("train > 5", action=numbered))


def test_an_ordinary_passage_by_ship_is_protected():
    """Rule 3."""
    ship = Action("ship.ticket.purchase", attributes=(AttributeSpec("cabin_class", AttributeType.STRING, required=True),))
    assert ["list[court].measure[trains].when"] == refusals(rail("cabin_class == 'third'", action=ship))
    assert [] == refusals(rail("cabin_class == 'second'", action=ship))


def test_caller_identification_is_a_notice_of_a_public_list_with_a_running_publication():
    """Rule 10."""
    assert [] == check_policy(caller())


@pytest.mark.parametrize("effect", [Effect.RESTRICT, Effect.REVIEW, Effect.GRANT])
def test_caller_identification_shows_notices_only(effect):
    """Rule 10."""
    assert ["list[court].measure[label].effect"] == refusals(caller(effect))


def test_caller_identification_needs_a_public_list():
    """Rule 10."""
    closed = caller(disclosure=Disclosure.RESTRICTED)
    assert "list[court].measure[label].actions" in refusals(closed)


def test_caller_identification_needs_a_publication_period():
    """Rule 10."""
    endless = caller(published_from=None, published_until=None)
    assert ["list[court].measure[label].actions"] == refusals(endless)


def test_caller_identification_without_phone_numbers_gives_a_warning():
    assert ["list[court].measure[label].actions"] == warnings(caller(identifier_kinds=("passport",)))
