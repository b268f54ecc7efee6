"""Making a recorded decision again: from the policy and the entries of its snapshot, with the facts in its record.

What is compared is what the person was told and what was done: the outcome, the outcome in shadow, whether a list was out of
date, and each reason with its list, measure, effect, case and end. The replica of then is not needed: the registry keeps
every policy and every version of an entry, and the record says which change its snapshot included. A list that was suspended
is so in the policy of then, and does not speak again either. Of the entries those are put back that gave a reason, and no
others: what a redress number took away (``cleared`` in the record) stays away.

Two things of then can't be seen any more, and a difference may come of them: a list that the publisher could not bring up to
date was older than its snapshot, and an entry that its list left out of the snapshot (it did not fit a record).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from portcullis.domain.decisions import Hit, Verdict, decide
from portcullis.domain.editions import Legal, ListEdition
from portcullis.domain.errors import PortcullisError
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.plans import Plan, Plans
from portcullis.domain.policies import Policy, RestrictedList
from portcullis.domain.records import ALL_MEASURES, Record, encode_body
from portcullis.domain.segments import join_segments
from portcullis.ports import DecisionRecord, Past, PastEntry, PastReader, RecordedReason, Replay

_EXACT, _WEAK = bytes(16), b"\x01" * 16
"""Stand-ins for the customer's tokens: what matters of one is only whether its matches are weak."""

_NO_RECORDS = MultisetDigest().hex()


def replay(record: DecisionRecord, registry: PastReader) -> Replay:
    """Make a decision again.

    Raises:
        NotFound: the registry has not come to the change that the decision was made from.
        RegistryUnavailable: the registry can't be read.
    """
    past = registry.as_of(record.registry_seq, {each.entry_id for each in record.reasons if each.entry_id})
    numbers = {each.name: number for number, each in enumerate(past.policy.lists, start=1)}
    try:
        plan = _plan(record, past.policy, numbers)
    except PortcullisError as fault:
        return Replay(outcome="", differences=(f"nothing was to be decided under the policy of then: {fault.message}",))
    stale = {numbers[name] for name in record.stale if name in numbers}
    values = _values(record, past, numbers)
    probes = [(token, token == _WEAK) for token in (_EXACT, _WEAK)]
    verdict = decide(plan, probes, record.attributes, values.get, record.decided_at, stale)
    return Replay(outcome=str(verdict.outcome), differences=tuple(_differences(record, verdict)))


def _plan(record: DecisionRecord, policy: Policy, numbers: Mapping[str, int]) -> Plan:
    editions = [_edition(each, numbers[each.name]) for each in policy.lists]
    return Plans(policy, editions).plan(record.partner, record.action, record.purpose, record.decided_at)


def _edition(each: RestrictedList, number: int) -> ListEdition:
    return ListEdition(
        name=each.name,
        number=number,
        legal=(Legal(each.legal_basis, each.redress_url),),
        measures=tuple(measure.name for measure in each.measures),
        version=0,
        records=0,
        digest=_NO_RECORDS,
    )


def _values(record: DecisionRecord, past: Past, numbers: Mapping[str, int]) -> dict[bytes, bytes]:
    """Put the entries of the reasons where the customer's tokens would find them."""
    weak = {each.entry_id for each in record.reasons if each.weak}
    exact = {each.entry_id for each in record.reasons if not each.weak}
    return {
        token: value
        for token, ids in ((_EXACT, exact), (_WEAK, weak))
        if (value := _value([each for each in past.entries if each.entry_id in ids and each.in_force], past, numbers))
    }


def _value(entries: Sequence[PastEntry], past: Past, numbers: Mapping[str, int]) -> bytes:
    bodies: dict[int, list[Record]] = {}
    for each in entries:
        source = past.policy.list_named(each.list)
        if source is not None:
            bodies.setdefault(numbers[each.list], []).append(_record(each, source, numbers[each.list]))
    return join_segments((number, encode_body(records)) for number, records in sorted(bodies.items()))


def _record(entry: PastEntry, source: RestrictedList, number: int) -> Record:
    names = [measure.name for measure in source.measures]
    mask = sum(1 << names.index(name) for name in entry.measures if name in names) if entry.measures else ALL_MEASURES
    return Record(number, 0, entry.until, entry.entry_id, entry.case_reference, max(0, entry.valid_from), mask)


def _differences(record: DecisionRecord, verdict: Verdict) -> Iterator[str]:
    pairs = (
        ("outcome", record.outcome, str(verdict.outcome)),
        ("outcome in shadow", record.shadow_outcome, str(verdict.shadow_outcome or "")),
        ("degraded", str(record.degraded), str(verdict.degraded)),
    )
    yield from (f"{what}: {then or 'none'} then, {now or 'none'} now" for what, then, now in pairs if then != now)
    told, again = _lines(map(_of_reason, record.reasons)), _lines(map(_of_hit, verdict.hits))
    yield from (f"only then: {line}" for line in told if line not in again)
    yield from (f"only now: {line}" for line in again if line not in told)


_Told = tuple[str, str, str, int, int, bool, bool]


def _of_reason(reason: RecordedReason) -> _Told:
    return reason.list, reason.measure, reason.effect, reason.entry_id, reason.until, reason.weak, reason.shadow


def _of_hit(hit: Hit) -> _Told:
    entry_id, until = (hit.record.entry_id, hit.record.until) if hit.record else (0, 0)
    return hit.measure.list.name, hit.measure.name, str(hit.effect), entry_id, until, hit.weak, hit.measure.shadow


def _lines(told: Iterable[_Told]) -> list[str]:
    return [
        f"{name} / {measure}: {effect} by entry {entry_id} until {until}{' (weak)' * weak}{' (shadow)' * shadow}"
        for name, measure, effect, entry_id, until, weak, shadow in told
    ]
