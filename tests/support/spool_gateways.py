"""What a gateway over a real spool is asked: one listed customer, one clean, one caller with a label."""

from __future__ import annotations

from typing import Any

from portcullis.domain.policies import Disclosure, Effect, Partner, Policy
from portcullis.domain.records import Record
from portcullis.v1 import caller_service_pb2 as callers
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import TOKENISER, Bench, arrival
from tests.support.people import phone, resident_id
from tests.support.policies import a_list, agreement, measure, policy

LISTED, CLEAN, CALLER = resident_id(1), resident_id(2), phone(1)
_ALWAYS = {"valid_from": 0, "valid_until": 4_000_000_000}


def the_policy() -> Policy:
    label = measure("label", actions=("call.identify",), effect=Effect.NOTICE, message="A known nuisance.")
    public = {"disclosure": Disclosure.PUBLIC, "published_from": 0, "published_until": 4_000_000_000}
    agreements = (
        agreement(("court",), **_ALWAYS),
        agreement(("notices",), actions=("call.identify",), purposes=("caller-identification",), **_ALWAYS),
    )
    partner = Partner(name="lender", title="A lender", agreements=agreements)
    return policy(a_list("court"), a_list("notices", label, **public), partners=(partner,))


async def publish(bench: Bench) -> None:
    """Publish the two lists, and wait until the gateway serves from them."""
    index = {
        token: [Record(number, legal_index=0, until=4_000_000_000, entry_id=number, case_reference=f"case-{number}")]
        for number, identifier in ((1, LISTED), (2, CALLER))
        for token in TOKENISER.index_tokens(identifier)
    }
    await arrival(bench, bench.publish(the_policy(), index))


def question(person: Any = LISTED) -> pb.CheckRequest:
    request = pb.CheckRequest(action="loan.apply", purpose="lending")
    request.identifiers.add(kind=person.kind, value=person.value)
    return request


async def check(bench: Bench, person: Any = LISTED) -> pb.CheckResponse:
    return pb.CheckResponse.FromString(await bench.call("CheckService/Check", question(person).SerializeToString()))


async def batch(bench: Bench, *people: Any) -> list[pb.CheckResult]:
    request = pb.BatchCheckRequest(requests=[question(person) for person in people])
    answer = await bench.call("CheckService/BatchCheck", request.SerializeToString())
    return list(pb.BatchCheckResponse.FromString(answer).results)


async def look_up(bench: Bench) -> callers.LookupCallerResponse:
    request = callers.LookupCallerRequest(phone=CALLER.value)
    answer = await bench.call("CallerService/LookupCaller", request.SerializeToString())
    return callers.LookupCallerResponse.FromString(answer)


RESTRICT, ALLOW = types_pb2.OUTCOME_RESTRICT, types_pb2.OUTCOME_ALLOW
