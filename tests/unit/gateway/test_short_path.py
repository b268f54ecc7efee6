"""The short path against the whole one: it may only say what the whole path would say."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.adapters.memory.spool import MemorySpool
from portcullis.domain.errors import PortcullisError
from portcullis.domain.policies import OnStale, Partner
from portcullis.domain.quotas import UNLIMITED
from portcullis.domain.records import Record
from portcullis.domain.redress_numbers import format_number
from portcullis.gateway.desk import CheckDesk
from portcullis.gateway.messages.requests import parse
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.short_path import MOST_TAILS, split, split_batch
from portcullis.gateway.views import Held, View
from portcullis.metrics import CheckTally
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import SUBJECTS, TOKENISER, edition_of, installed
from tests.support.people import passport, resident_id
from tests.support.policies import NOW, YEAR_S, a_list, agreement, measure, policy

LISTED, CLEAN = resident_id(1), resident_id(2)
NUMBER = format_number("0" * 16)
OTHERS_LIST, STAYED, ENDED, NOT_BEGUN, OTHER_MEASURE, FALSE_CONDITION, SEVERAL = map(resident_id, range(11, 18))
SILENT = (OTHERS_LIST, STAYED, ENDED, NOT_BEGUN, OTHER_MEASURE, FALSE_CONDITION, SEVERAL)
"""Those who stand on a list that does not speak about them here."""

COURT, ELSEWHERE, LARGE = 1, 2, 3


class FixedClock(SystemClock):
    def now(self) -> float:
        return float(NOW)


GATE = Gate("lender", UNLIMITED)


def the_view(*, on_stale: OnStale = OnStale.RESTRICT, **list_changes: Any) -> View:
    clock = FixedClock()
    writer = MemoryReplicaWriter(clock)
    silent = {
        OTHERS_LIST: [a_record(ELSEWHERE)],
        STAYED: [a_record(COURT, stayed=True)],
        ENDED: [a_record(COURT, until=NOW)],
        NOT_BEGUN: [a_record(COURT, valid_from=NOW + 1)],
        OTHER_MEASURE: [a_record(COURT, measures=2)],
        FALSE_CONDITION: [a_record(LARGE)],
        SEVERAL: [a_record(COURT, stayed=True), a_record(ELSEWHERE), a_record(LARGE)],
    }
    found = {LISTED: [a_record(COURT)], passport(1): [a_record(COURT)], **silent}
    index = {token: records for each, records in found.items() for token in TOKENISER.index_tokens(each)}
    lists = (
        a_list("court", measure(on_stale=on_stale), measure("trains", actions=("rail.ticket.purchase",)), **list_changes),
        a_list("elsewhere", measure()),
        a_list("large", measure(when="amount > 1000000.0")),
    )
    partner = Partner(name="lender", title="A lender", agreements=(agreement(("court", "large")),), quota=UNLIMITED)
    installed(writer, edition_of(1, policy(*lists, partners=(partner,)), index, published_at=NOW), index)
    view = Held(MemoryReplica(writer, clock), clock, tokeniser=TOKENISER).view
    assert view is not None
    return view


def a_record(number: int, **changes: Any) -> Record:
    values: dict[str, Any] = {"until": NOW + YEAR_S, "entry_id": number, "case_reference": f"case-{number}"}
    return Record(number, 0, **(values | changes))


def a_desk() -> CheckDesk:
    clock = FixedClock()
    return CheckDesk(subjects=SUBJECTS, spool=MemorySpool(), clock=clock, tally=CheckTally(CollectorRegistry()))


def ask_whole(desk: CheckDesk, view: View, body: bytes) -> str:
    """Give what the whole path says: passes, a hit, or an error."""
    try:
        request = parse(pb.CheckRequest, body)
        if request.at_least_snapshot:
            return "waits"
        return "passes" if desk.check(view, "lender", request, GATE, body) is None else "hit"
    except PortcullisError:
        return "error"


people = st.sampled_from([LISTED, CLEAN, resident_id(3), passport(1), passport(2), *SILENT])
identifiers = st.one_of(
    people.map(lambda each: types_pb2.Identifier(kind=each.kind, value=each.value, country=each.country)),
    people.map(lambda each: types_pb2.Identifier(kind=each.kind, value=each.value)),
    st.builds(
        types_pb2.Identifier,
        kind=st.sampled_from(["passport", "cn.resident-id", "phone", ""]),
        value=st.text(max_size=20),
        country=st.sampled_from(["", "XA", "xa", "Q"]),
    ),
)
requests = st.builds(
    pb.CheckRequest,
    identifiers=st.lists(identifiers, min_size=1, max_size=2),
    action=st.sampled_from(["loan.apply", "rail.ticket.purchase", "tea.drink", ""]),
    purpose=st.sampled_from(["lending", "curiosity"]),
    attributes=st.lists(st.builds(types_pb2.Attribute, name=st.just("amount"), double_value=st.floats()), max_size=2),
    partner_reference=st.sampled_from(["", "", "", "order-1"]),
    at_least_snapshot=st.sampled_from(["", "", "", "1"]),
    dry_run=st.booleans(),
    redress_number=st.sampled_from(["", "", "", NUMBER, "PCR-0000-0000-0000-0001"]),
    locale=st.sampled_from(["", "", "zh-CN", "qq", "zh_CN", "x" * 33]),
)
bodies = st.one_of(
    requests.map(lambda request: request.SerializeToString(deterministic=True)),
    # The fields in another order, and fields that come twice: all of it is good protobuf.
    st.tuples(requests, requests).map(lambda pair: pair[0].SerializeToString() + pair[1].SerializeToString()),
    st.binary(max_size=60),
)


@given(st.lists(bodies, max_size=12))
def test_the_short_path_passes_no_check_that_the_whole_path_would_not(given_bodies: list[bytes]) -> None:
    desk, view = a_desk(), the_view()
    for body in given_bodies:
        if desk.passes(view, "lender", body, GATE):
            assert "passes" == ask_whole(desk, view, body)
        else:
            ask_whole(desk, view, body)


@given(st.lists(st.tuples(people, st.booleans()), min_size=2, max_size=8))
def test_a_question_once_answered_takes_the_short_path_for_everybody_of_whom_no_list_speaks(
    asked: list[tuple[Any, bool]],
) -> None:
    desk, view = a_desk(), the_view()
    first = body_of(CLEAN)
    assert not desk.passes(view, "lender", first, GATE)
    assert "passes" == ask_whole(desk, view, first)
    for person, _ in asked:
        assert (person not in {LISTED, passport(1)}) == desk.passes(view, "lender", body_of(person), GATE)


@pytest.mark.parametrize("person", [CLEAN, *SILENT])
def test_nobody_of_whom_no_list_speaks_is_told_from_a_clean_customer_by_anything_that_is_kept(person: Any) -> None:
    desk, view, gate = a_desk(), the_view(), Gate("lender", UNLIMITED)
    whole = desk.check(view, "lender", pb.CheckRequest.FromString(body_of(person)), gate, body_of(person))
    assert whole is None
    assert desk.passes(view, "lender", body_of(person), gate)
    assert (2, set(), 0) == (len(gate.noted), gate.found, gate.invalid)


def test_whoever_a_condition_is_about_is_refused_only_where_it_holds() -> None:
    desk, view = a_desk(), the_view()
    large = body_of(FALSE_CONDITION, attributes=[types_pb2.Attribute(name="amount", double_value=2e6)])
    ask_whole(desk, view, body_of(CLEAN, attributes=[types_pb2.Attribute(name="amount", double_value=2e6)]))
    ask_whole(desk, view, body_of(CLEAN))
    assert (False, True) == tuple(desk.passes(view, "lender", body, GATE) for body in (large, body_of(FALSE_CONDITION)))
    assert "hit" == ask_whole(desk, view, large)


def body_of(person: Any, **changes: Any) -> bytes:
    identifier = types_pb2.Identifier(kind=person.kind, value=person.value, country=person.country)
    return pb.CheckRequest(identifiers=[identifier], action="loan.apply", purpose="lending", **changes).SerializeToString(
        deterministic=True
    )


def test_a_question_known_from_one_partner_is_not_known_from_another() -> None:
    desk, view = a_desk(), the_view()
    ask_whole(desk, view, body_of(CLEAN))
    assert desk.passes(view, "lender", body_of(CLEAN), GATE)
    assert not desk.passes(view, "stranger", body_of(CLEAN), GATE)


def test_a_stale_list_ends_the_short_path() -> None:
    desk, view = a_desk(), the_view(max_age_s=10)
    ask_whole(desk, view, body_of(CLEAN))
    assert desk.passes(view, "lender", body_of(CLEAN), GATE)
    view.stale = frozenset({1})
    assert not desk.passes(view, "lender", body_of(CLEAN), GATE)


def test_a_check_that_names_a_transaction_is_not_kept() -> None:
    desk, view = a_desk(), the_view()
    body = body_of(CLEAN, partner_reference="order-1")
    assert "passes" == ask_whole(desk, view, body)
    assert not desk.passes(view, "lender", body, GATE)


def test_a_check_that_names_a_customer_by_a_redress_number_is_not_kept() -> None:
    desk, view = a_desk(), the_view()
    body = body_of(CLEAN, redress_number=NUMBER)
    assert "passes" == ask_whole(desk, view, body)
    assert not desk.passes(view, "lender", body, GATE)


def test_a_check_that_wants_a_language_is_kept_as_any_other() -> None:
    desk, view = a_desk(), the_view()
    ask_whole(desk, view, body_of(CLEAN, locale="zh-CN"))
    assert desk.passes(view, "lender", body_of(CLEAN, locale="zh-CN"), GATE)
    assert not desk.passes(view, "lender", body_of(LISTED, locale="zh-CN"), GATE)
    assert not desk.passes(view, "lender", body_of(CLEAN, locale="en"), GATE)


@pytest.mark.parametrize("changes", [{"locale": "zh_CN"}, {"redress_number": "PCR-1"}, {"redress_number": NUMBER + "0"}])
def test_a_check_with_a_faulty_number_or_language_is_an_error_each_time(changes: dict[str, str]) -> None:
    desk, view = a_desk(), the_view()
    ask_whole(desk, view, body_of(CLEAN))
    for _ in range(2):
        assert not desk.passes(view, "lender", body_of(CLEAN, **changes), GATE)
        assert "error" == ask_whole(desk, view, body_of(CLEAN, **changes))


def test_the_questions_kept_are_bounded_and_the_latest_are_among_them() -> None:
    desk, view = a_desk(), the_view()
    asked = [
        body_of(CLEAN, attributes=[types_pb2.Attribute(name="amount", double_value=float(n))])
        for n in range(MOST_TAILS + 50)
    ]
    for body in asked:
        ask_whole(desk, view, body)
        assert desk.passes(view, "lender", body, GATE)
    assert 0 < sum(desk.passes(view, "lender", body, GATE) for body in asked) <= MOST_TAILS


def test_questions_that_never_come_again_keep_no_common_one_out_for_long() -> None:
    desk, view = a_desk(), the_view()
    for number in range(MOST_TAILS):
        ask_whole(desk, view, body_of(CLEAN, attributes=[types_pb2.Attribute(name="amount", double_value=float(number))]))
    common = body_of(CLEAN)
    assert not desk.passes(view, "lender", common, GATE)
    ask_whole(desk, view, common)
    assert desk.passes(view, "lender", common, GATE)


@given(identifiers, st.binary(max_size=40))
def test_what_is_split_off_is_what_protobuf_reads(identifier: types_pb2.Identifier, tail: bytes) -> None:
    head = pb.CheckRequest(identifiers=[identifier]).SerializeToString(deterministic=True)
    customer = split(head + tail)
    if customer is not None:
        assert (identifier.kind, identifier.value, identifier.country, tail) == customer


@given(st.lists(requests, max_size=8))
def test_the_items_split_off_a_batch_are_what_protobuf_reads(given_requests: list[pb.CheckRequest]) -> None:
    body = pb.BatchCheckRequest(requests=given_requests).SerializeToString(deterministic=True)
    items = split_batch(body, 8)
    assert items is not None
    assert [request.SerializeToString(deterministic=True) for request in given_requests] == [
        pb.CheckRequest.FromString(item).SerializeToString(deterministic=True) for item in items
    ]


@given(st.lists(requests, min_size=4, max_size=8))
def test_of_a_batch_that_is_too_large_one_check_more_than_it_may_have_is_split_off(batch: list[pb.CheckRequest]) -> None:
    body = pb.BatchCheckRequest(requests=batch).SerializeToString(deterministic=True)
    assert split_batch(body, 3) == (split_batch(body, 8) or [])[:4]


@given(st.binary(max_size=80))
def test_what_is_split_off_as_a_batch_is_one(body: bytes) -> None:
    items = split_batch(body, 1000)
    if items is not None:
        try:
            expected = pb.BatchCheckRequest.FromString(body).requests
        except DecodeError:
            return
        assert len(expected) == len(items)


@pytest.mark.parametrize(
    ("on_stale", "person", "found"),
    [
        (OnStale.RESTRICT, CLEAN, 0),
        (OnStale.ALLOW, CLEAN, 0),
        (OnStale.RESTRICT, LISTED, 1),
    ],
)
def test_a_list_that_is_out_of_date_finds_nobody_who_is_not_on_it(on_stale: OnStale, person: Any, found: int) -> None:
    desk, gate = a_desk(), Gate("lender", UNLIMITED)
    view = the_view(on_stale=on_stale)
    view.stale = frozenset({COURT})
    answer = desk.check(view, "lender", pb.CheckRequest.FromString(body_of(person)), gate, body_of(person))
    assert answer is not None
    assert answer.response.degraded
    assert found == len(gate.found)
