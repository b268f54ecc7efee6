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
from portcullis.domain.records import Record
from portcullis.domain.redress_numbers import format_number
from portcullis.gateway.desk import CheckDesk
from portcullis.gateway.requests import parse
from portcullis.gateway.short_path import MOST_TAILS, split, split_batch
from portcullis.gateway.views import Held, View
from portcullis.metrics import CheckTally
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import SUBJECTS, TOKENISER, edition_of, installed
from tests.support.people import passport, resident_id
from tests.support.policies import NOW, YEAR_S, a_list, measure, policy

LISTED, CLEAN = resident_id(1), resident_id(2)
NUMBER = format_number("0" * 16)


class FixedClock(SystemClock):
    def now(self) -> float:
        return float(NOW)


def the_view(**list_changes: Any) -> View:
    clock = FixedClock()
    writer = MemoryReplicaWriter(clock)
    record = Record(1, 0, until=NOW + YEAR_S, entry_id=1, case_reference="case-1")
    index = {token: [record] for each in (LISTED, passport(1)) for token in TOKENISER.index_tokens(each)}
    installed(writer, edition_of(1, policy(a_list("court", measure(), **list_changes)), index, published_at=NOW), index)
    view = Held(MemoryReplica(writer, clock), clock).view
    assert view is not None
    return view


def a_desk() -> CheckDesk:
    clock = FixedClock()
    return CheckDesk(
        tokeniser=TOKENISER, subjects=SUBJECTS, spool=MemorySpool(), clock=clock, tally=CheckTally(CollectorRegistry())
    )


def ask_whole(desk: CheckDesk, view: View, body: bytes) -> str:
    """Give what the whole path says: passes, a hit, or an error."""
    try:
        request = parse(pb.CheckRequest, body)
        if request.at_least_snapshot:
            return "waits"
        return "passes" if desk.check(view, "lender", request, body) is None else "hit"
    except PortcullisError:
        return "error"


people = st.sampled_from([LISTED, CLEAN, resident_id(3), passport(1), passport(2)])
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
        if desk.passes(view, "lender", body):
            assert "passes" == ask_whole(desk, view, body)
        else:
            ask_whole(desk, view, body)


@given(st.lists(st.tuples(people, st.booleans()), min_size=2, max_size=8))
def test_a_question_once_answered_takes_the_short_path_for_every_other_clean_customer(asked: list[tuple[Any, bool]]) -> None:
    desk, view = a_desk(), the_view()
    first = body_of(CLEAN)
    assert not desk.passes(view, "lender", first)
    assert "passes" == ask_whole(desk, view, first)
    for person, _ in asked:
        assert (person not in {LISTED, passport(1)}) == desk.passes(view, "lender", body_of(person))


def body_of(person: Any, **changes: Any) -> bytes:
    identifier = types_pb2.Identifier(kind=person.kind, value=person.value, country=person.country)
    return pb.CheckRequest(identifiers=[identifier], action="loan.apply", purpose="lending", **changes).SerializeToString(
        deterministic=True
    )


def test_a_question_known_from_one_partner_is_not_known_from_another() -> None:
    desk, view = a_desk(), the_view()
    ask_whole(desk, view, body_of(CLEAN))
    assert desk.passes(view, "lender", body_of(CLEAN))
    assert not desk.passes(view, "stranger", body_of(CLEAN))


def test_a_stale_list_ends_the_short_path() -> None:
    desk, view = a_desk(), the_view(max_age_s=10)
    ask_whole(desk, view, body_of(CLEAN))
    assert desk.passes(view, "lender", body_of(CLEAN))
    view.stale = frozenset({1})
    assert not desk.passes(view, "lender", body_of(CLEAN))


def test_a_check_that_names_a_transaction_is_not_kept() -> None:
    desk, view = a_desk(), the_view()
    body = body_of(CLEAN, partner_reference="order-1")
    assert "passes" == ask_whole(desk, view, body)
    assert not desk.passes(view, "lender", body)


def test_a_check_that_names_a_customer_by_a_redress_number_is_not_kept() -> None:
    desk, view = a_desk(), the_view()
    body = body_of(CLEAN, redress_number=NUMBER)
    assert "passes" == ask_whole(desk, view, body)
    assert not desk.passes(view, "lender", body)


def test_a_check_that_wants_a_language_is_kept_as_any_other() -> None:
    desk, view = a_desk(), the_view()
    ask_whole(desk, view, body_of(CLEAN, locale="zh-CN"))
    assert desk.passes(view, "lender", body_of(CLEAN, locale="zh-CN"))
    assert not desk.passes(view, "lender", body_of(LISTED, locale="zh-CN"))
    assert not desk.passes(view, "lender", body_of(CLEAN, locale="en"))


@pytest.mark.parametrize("changes", [{"locale": "zh_CN"}, {"redress_number": "PCR-1"}, {"redress_number": NUMBER + "0"}])
def test_a_check_with_a_faulty_number_or_language_is_an_error_each_time(changes: dict[str, str]) -> None:
    desk, view = a_desk(), the_view()
    ask_whole(desk, view, body_of(CLEAN))
    for _ in range(2):
        assert not desk.passes(view, "lender", body_of(CLEAN, **changes))
        assert "error" == ask_whole(desk, view, body_of(CLEAN, **changes))


def test_the_questions_kept_are_bounded_and_the_latest_are_among_them() -> None:
    desk, view = a_desk(), the_view()
    asked = [
        body_of(CLEAN, attributes=[types_pb2.Attribute(name="amount", double_value=float(n))])
        for n in range(MOST_TAILS + 50)
    ]
    for body in asked:
        ask_whole(desk, view, body)
        assert desk.passes(view, "lender", body)
    assert 0 < sum(desk.passes(view, "lender", body) for body in asked) <= MOST_TAILS


def test_questions_that_never_come_again_keep_no_common_one_out_for_long() -> None:
    desk, view = a_desk(), the_view()
    for number in range(MOST_TAILS):
        ask_whole(desk, view, body_of(CLEAN, attributes=[types_pb2.Attribute(name="amount", double_value=float(number))]))
    common = body_of(CLEAN)
    assert not desk.passes(view, "lender", common)
    ask_whole(desk, view, common)
    assert desk.passes(view, "lender", common)


@given(identifiers, st.binary(max_size=40))
def test_what_is_split_off_is_what_protobuf_reads(identifier: types_pb2.Identifier, tail: bytes) -> None:
    head = pb.CheckRequest(identifiers=[identifier]).SerializeToString(deterministic=True)
    customer = split(head + tail)
    if customer is not None:
        assert (identifier.kind, identifier.value, identifier.country, tail) == customer


@given(st.lists(requests, max_size=8))
def test_the_items_split_off_a_batch_are_what_protobuf_reads(given_requests: list[pb.CheckRequest]) -> None:
    body = pb.BatchCheckRequest(requests=given_requests).SerializeToString(deterministic=True)
    items = split_batch(body)
    assert items is not None
    assert [request.SerializeToString(deterministic=True) for request in given_requests] == [
        pb.CheckRequest.FromString(item).SerializeToString(deterministic=True) for item in items
    ]


@given(st.binary(max_size=80))
def test_what_is_split_off_as_a_batch_is_one(body: bytes) -> None:
    items = split_batch(body)
    if items is not None:
        try:
            expected = pb.BatchCheckRequest.FromString(body).requests
        except DecodeError:
            return
        assert len(expected) == len(items)
