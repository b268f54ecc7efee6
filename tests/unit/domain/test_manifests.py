"""The signed files that describe a snapshot: what is read, what is refused, and the way from one version to another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.editions import FORMAT, Credential, Legal
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import (
    MAX_TERM_CHARACTERS,
    Base,
    Delta,
    Head,
    HeadList,
    Manifest,
    Terms,
    assemble,
    base_target,
    decode_head,
    decode_manifest,
    decode_terms,
    delta_target,
    encode_document,
    manifest_target,
    steps_from,
    terms_target,
)
from portcullis.domain.multisets import EMPTY
from portcullis.domain.policies import Effect, Measure, OnStale
from tests.support.policies import CALL, LEGAL, LOAN, NOW, RAIL, a_list, measure, policy

VERSION = 1_800_000_000_000
DIGEST = "ab" * 64


def a_head(**changes: Any) -> Head:
    values: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "published_at": NOW + 0.25,
        "registry_seq": 7,
        "actions": (LOAN, RAIL, CALL),
        "partners": policy().partners,
        "credentials": (
            Credential("id-1", "lender", "00" * 32, expires_at=NOW + 60.5),
            Credential("id-2", "olga", "01" * 32, "operator"),
        ),
        "revoked": ("a1b", "0" * 64),
        "lists": (HeadList(name="court", number=1), HeadList(name="carriers", number=2, stalled_at=NOW - 60.5)),
    }
    return Head(**(values | changes))


def some_terms(name: str = "court", number: int = 1, **changes: Any) -> Terms:
    values: dict[str, Any] = {
        "format": FORMAT,
        "number": number,
        "definition": a_list(name, measure(), measure("more", effect=Effect.NOTICE, when="amount > 1.0")),
        "legal": LEGAL,
        "measures": ("gone", "more", "loans"),
    }
    return Terms(**(values | changes))


def a_delta(since: int, version: int, name: str = "court") -> Delta:
    return Delta(target=delta_target(name, since, version), since=since, version=version, changes=3, length=99)


def a_manifest(name: str = "court", number: int = 1, **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "format": FORMAT,
        "list": name,
        "number": number,
        "version": 142,
        "records": 40_000,
        "digest": DIGEST,
        "terms": terms_target(name, 90),
        "base": Base(target=base_target(name, 100), version=100, records=39_990, length=1 << 20),
        "deltas": (a_delta(100, 140, name), a_delta(140, 141, name), a_delta(141, 142, name)),
    }
    return Manifest(**(values | changes))


DOCUMENTS: list[tuple[Any, Callable[[bytes], Any], Refusal]] = [
    (a_head(), decode_head, Refusal.HEAD_MALFORMED),
    (some_terms(), decode_terms, Refusal.TERMS_MALFORMED),
    (a_manifest(), decode_manifest, Refusal.MANIFEST_MALFORMED),
]
each_document = pytest.mark.parametrize(("document", "decode", "refusal"), DOCUMENTS, ids=["head", "terms", "manifest"])


def refusal_of(decode: Callable[[bytes], Any], data: bytes) -> Refusal:
    with pytest.raises(SnapshotInvalid) as caught:
        decode(data)
    return caught.value.refusal


@each_document
def test_what_is_written_is_read(document: Any, decode: Callable[[bytes], Any], refusal: Refusal) -> None:
    assert document == decode(encode_document(document))


@each_document
def test_the_same_document_gives_the_same_bytes(document: Any, decode: Callable[[bytes], Any], refusal: Refusal) -> None:
    data = encode_document(document)
    assert data == encode_document(decode(data))
    assert data == json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False).encode()
    assert list(json.loads(data)) == [name for name in type(document).__struct_fields__ if name in json.loads(data)]


def respelled(data: bytes) -> dict[str, bytes]:
    """Other spellings of the same document."""
    plain = json.loads(data)
    first = next(iter(plain))
    return {
        "spaces": json.dumps(plain, sort_keys=True).encode(),
        "a line at the end": data + b"\n",
        "a space before": b" " + data,
        "another order": json.dumps(dict(reversed(plain.items())), separators=(",", ":"), ensure_ascii=False).encode(),
        "a field twice": b"{" + json.dumps(first).encode() + b":" + json.dumps(plain[first]).encode() + b"," + data[1:],
        "escapes": data.replace(b'"format"', b'"\\u0066ormat"'),
    }


@pytest.mark.parametrize("spelling", list(respelled(b'{"format":2}')))
@each_document
def test_another_spelling_is_refused(document: Any, decode: Callable[[bytes], Any], refusal: Refusal, spelling: str) -> None:
    data = encode_document(document)
    other = respelled(data)[spelling]
    assert data != other
    assert refusal == refusal_of(decode, other)


@each_document
def test_a_number_written_in_another_way_is_refused(document: Any, decode: Callable[[bytes], Any], refusal: Refusal) -> None:
    data = encode_document(document)
    assert refusal == refusal_of(decode, data.replace(b'"format":2', b'"format":2.0'))


@each_document
def test_an_unknown_field_is_refused(document: Any, decode: Callable[[bytes], Any], refusal: Refusal) -> None:
    plain = json.loads(encode_document(document)) | {"zzz": 1}
    assert refusal == refusal_of(decode, json.dumps(plain, separators=(",", ":"), sort_keys=True).encode())


@each_document
def test_a_missing_field_is_refused(document: Any, decode: Callable[[bytes], Any], refusal: Refusal) -> None:
    plain = json.loads(encode_document(document))
    for name in plain:
        if name == "deltas":
            continue
        rest = {key: value for key, value in plain.items() if key != name}
        assert refusal == refusal_of(decode, json.dumps(rest, separators=(",", ":"), sort_keys=True).encode())


@pytest.mark.parametrize("other", [1, 3, 99])
@each_document
def test_another_format_is_refused_as_such(
    document: Any, decode: Callable[[bytes], Any], refusal: Refusal, other: int
) -> None:
    data = encode_document(msgspec.structs.replace(document, format=other))
    assert Refusal.FORMAT == refusal_of(decode, data)
    # A later format may have other fields: it is still told from damage.
    assert Refusal.FORMAT == refusal_of(decode, b'{"format":%d,"new":[]}' % other)


@each_document
def test_a_document_cut_short_is_refused(document: Any, decode: Callable[[bytes], Any], refusal: Refusal) -> None:
    data = encode_document(document)
    for cut in range(len(data)):
        assert refusal_of(decode, data[:cut]) in {refusal, Refusal.FORMAT}


@given(st.data())
@pytest.mark.parametrize("number", range(3))
def test_a_flipped_bit_is_refused_or_changes_what_is_read(number: int, data: st.DataObject) -> None:
    document, decode, _ = DOCUMENTS[number]
    whole = encode_document(document)
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    flipped = whole[:place] + bytes((whole[place] ^ 1 << bit,)) + whole[place + 1 :]
    try:
        read = decode(flipped)
    except SnapshotInvalid:
        return
    assert document != read
    assert flipped == encode_document(read)


@given(st.binary(max_size=80))
@pytest.mark.parametrize("number", range(3))
def test_any_other_bytes_are_refused(number: int, data: bytes) -> None:
    refusal_of(DOCUMENTS[number][1], data)


def test_a_fault_does_not_show_the_bytes_it_was_found_in() -> None:
    data = encode_document(a_head()).replace(b'"format":2', b'"format":2,"phone":"+447700900123"')
    with pytest.raises(SnapshotInvalid) as caught:
        decode_head(data)
    assert "447700900123" not in f"{caught.value}{caught.value.metadata}"
    assert None is caught.value.__cause__
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "lists",
    [
        (HeadList(name="court", number=1), HeadList(name="court", number=2)),
        (HeadList(name="court", number=1), HeadList(name="carriers", number=1)),
    ],
    ids=["name", "number"],
)
def test_a_head_that_names_a_list_twice_is_refused(lists: tuple[HeadList, ...]) -> None:
    assert Refusal.HEAD_MALFORMED == refusal_of(decode_head, encode_document(a_head(lists=lists)))


@pytest.mark.parametrize("number", [0, -1, 0x10000])
def test_a_list_number_that_no_record_can_hold_is_refused(number: int) -> None:
    head = a_head(lists=(HeadList(name="court", number=number),))
    assert Refusal.HEAD_MALFORMED == refusal_of(decode_head, encode_document(head))
    assert Refusal.TERMS_MALFORMED == refusal_of(decode_terms, encode_document(some_terms(number=number)))
    assert Refusal.MANIFEST_MALFORMED == refusal_of(decode_manifest, encode_document(a_manifest(number=number)))


OUT_OF_BOUNDS: list[dict[str, Any]] = [
    {"version": 0},
    {"version": -1},
    {"version": 1 << 54},
    {"registry_seq": -1},
    {"published_at": -1.0},
    {"published_at": 1e300},
    {"lists": (HeadList(name="court", number=1, stalled_at=1e300),)},
    {"credentials": (Credential("id-1", "lender", "no digest"),)},
]


@pytest.mark.parametrize("changes", OUT_OF_BOUNDS, ids=repr)
def test_a_head_that_no_gateway_could_serve_from_is_refused(changes: dict[str, Any]) -> None:
    assert Refusal.HEAD_MALFORMED == refusal_of(decode_head, encode_document(a_head(**changes)))


@pytest.mark.parametrize("measures", [("loans", "more", "loans"), ("loans",), ()], ids=["twice", "one missing", "none"])
def test_terms_whose_bits_do_not_name_every_measure_once_are_refused(measures: tuple[str, ...]) -> None:
    assert Refusal.TERMS_MALFORMED == refusal_of(decode_terms, encode_document(some_terms(measures=measures)))


def test_terms_that_define_a_measure_twice_are_refused() -> None:
    twice = some_terms(definition=a_list("court", *[measure()] * 40), measures=("loans",))
    assert Refusal.TERMS_MALFORMED == refusal_of(decode_terms, encode_document(twice))


LONG = "x" * (MAX_TERM_CHARACTERS + 1)
OVERLONG: list[dict[str, Any]] = [
    {"definition": a_list("court", measure(message=LONG))},
    {"definition": a_list("court", measure(LONG)), "measures": (LONG,)},
    *({"definition": a_list("court", measure(), **{field: LONG})} for field in ("authority", "legal_basis", "redress_url")),
    {"legal": (*LEGAL, Legal(LONG, "https://court.example"))},
    {"legal": (*LEGAL, Legal("An Act", LONG))},
]


@pytest.mark.parametrize("changes", OVERLONG, ids=range(len(OVERLONG)))
def test_terms_whose_texts_could_make_any_answer_too_long_are_refused(changes: dict[str, Any]) -> None:
    terms = some_terms(**({"measures": ("loans",)} | changes))
    assert Refusal.TERMS_MALFORMED == refusal_of(decode_terms, encode_document(terms))


@pytest.mark.parametrize("decode", [decode_head, decode_terms, decode_manifest])
@pytest.mark.parametrize("nest", [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
def test_a_document_nested_without_end_is_refused(decode: Callable[[bytes], Any], nest: tuple[bytes, bytes]) -> None:
    opened, closed = nest
    data = b'{"a":' + opened * 50_000 + b"1" + closed * 50_000 + b"}"
    assert "malformed" in refusal_of(decode, data)


def test_terms_have_a_bit_for_32_measures_and_no_more() -> None:
    full = (*(f"gone-{number}" for number in range(30)), "loans", "more")
    assert full == decode_terms(encode_document(some_terms(measures=full))).measures
    over = (*full, "one-more")
    assert Refusal.TERMS_MALFORMED == refusal_of(decode_terms, encode_document(some_terms(measures=over)))


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "a base newer than the list": {"base": Base(target=base_target("court", 143), version=143, records=1, length=1)},
    "no way from the base": {"deltas": (a_delta(101, 142),)},
    "a gap": {"deltas": (a_delta(100, 140), a_delta(141, 142))},
    "no delta at all": {"deltas": ()},
    "a delta beyond the list": {"deltas": (a_delta(100, 142), a_delta(142, 143))},
    "a delta that overshoots": {"deltas": (a_delta(100, 150),)},
    "a delta backwards": {"deltas": (a_delta(100, 142), a_delta(141, 140))},
    "a delta to itself": {"deltas": (a_delta(100, 142), a_delta(120, 120))},
    "the terms of another list": {"terms": terms_target("carriers", 90)},
    "the base of another list": {"base": Base(target=base_target("carriers", 100), version=100, records=1, length=1)},
    "a delta of another list": {"deltas": (a_delta(100, 142, "carriers"),)},
    "a list whose name only begins alike": {"terms": "lists/court-of-appeal/terms-90.json"},
    "a target outside": {"terms": "head/head.json"},
    "a digest cut short": {"digest": DIGEST[:-1]},
    "a digest in capitals": {"digest": DIGEST.upper()},
    "a negative count": {"records": -1},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_manifest_that_contradicts_itself_is_refused(name: str) -> None:
    data = encode_document(a_manifest(**CONTRADICTIONS[name]))
    assert Refusal.MANIFEST_MALFORMED == refusal_of(decode_manifest, data)


def test_a_manifest_of_a_base_alone_is_read() -> None:
    base = Base(target=base_target("court", 142), version=142, records=0, length=4)
    manifest = a_manifest(base=base, deltas=(), records=0, digest=EMPTY)
    assert manifest == decode_manifest(encode_document(manifest))
    assert () == steps_from(manifest, 142)
    assert None is steps_from(manifest, 141)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (142, []),
        (141, [142]),
        (140, [141, 142]),
        (139, [140, 141, 142]),
        (120, [140, 141, 142]),
        (100, [140, 141, 142]),
        (99, None),
        (0, None),
        (143, None),
    ],
)
def test_the_way_from_a_version_is_the_shortest_that_the_deltas_give(version: int, expected: list[int] | None) -> None:
    steps = steps_from(a_manifest(), version)
    assert expected == (None if steps is None else [each.version for each in steps])


def test_the_delta_that_leads_farthest_is_taken() -> None:
    manifest = a_manifest(deltas=(a_delta(100, 120), a_delta(110, 142), a_delta(100, 130), a_delta(130, 142)))
    steps = steps_from(manifest, 100)
    assert [(100, 130), (110, 142)] == [(each.since, each.version) for each in steps or ()]


deltas = st.lists(st.tuples(st.integers(100, 119), st.integers(1, 20)), max_size=12).map(
    lambda pairs: tuple(a_delta(since, min(since + span, 120)) for since, span in pairs)
)


@given(deltas, st.integers(95, 121))
def test_a_way_is_found_exactly_where_there_is_one(given_deltas: tuple[Delta, ...], version: int) -> None:
    manifest = a_manifest(version=120, deltas=given_deltas)
    reached, waiting = {version}, [version]
    while waiting:
        here = waiting.pop()
        for each in given_deltas:
            if each.since <= here < each.version and each.version not in reached:
                reached.add(each.version)
                waiting.append(each.version)
    steps = steps_from(manifest, version)
    assert (120 in reached) == (steps is not None)
    for step in steps or ():
        assert step.since <= version < step.version
        version = step.version
    assert steps is None or 120 == version


@given(deltas)
def test_the_way_has_no_more_steps_than_any_other(given_deltas: tuple[Delta, ...]) -> None:
    chain = tuple(a_delta(version, version + 5) for version in (100, 105, 110, 115))
    manifest = a_manifest(version=120, deltas=(*given_deltas, *chain))
    distance, front = 0, {100}
    while 120 not in front:
        front |= {each.version for here in front for each in manifest.deltas if each.since <= here < each.version}
        distance += 1
    assert distance == len(steps_from(manifest, 100) or ())


def test_the_way_through_very_many_deltas_is_found_soon() -> None:
    many = tuple(a_delta(since, since + 1) for since in range(100_000))
    manifest = a_manifest(version=100_000, base=Base(target=base_target("court", 1), version=1, records=1, length=1))
    steps = steps_from(msgspec.structs.replace(manifest, deltas=many), 1)
    assert 99_999 == len(steps or ())


def two_lists() -> tuple[Head, dict[str, Manifest], dict[str, Terms]]:
    manifests = {"court": a_manifest(), "carriers": a_manifest("carriers", 2, version=100, deltas=())}
    terms = {"court": some_terms(), "carriers": some_terms("carriers", 2, legal=(Legal("Other Act", "https://x.example"),))}
    return a_head(), manifests, terms


def test_an_edition_is_put_together_in_the_order_of_the_head() -> None:
    head, manifests, terms = two_lists()
    edition = assemble(head, manifests, terms)
    assert (VERSION, NOW + 0.25, 7) == (edition.version, edition.published_at, edition.registry_seq)
    assert (head.actions, head.partners, head.credentials, head.revoked) == (
        edition.policy.actions,
        edition.policy.partners,
        edition.credentials,
        edition.revoked,
    )
    assert ["court", "carriers"] == [each.name for each in edition.lists] == [each.name for each in edition.policy.lists]
    court, carriers = edition.lists
    assert (1, 142, 40_000, DIGEST, ("gone", "more", "loans"), LEGAL, None) == (
        court.number,
        court.version,
        court.records,
        court.digest,
        court.measures,
        court.legal,
        court.stalled_at,
    )
    assert (2, 100, NOW - 60.5) == (carriers.number, carriers.version, carriers.stalled_at)
    assert 80_000 == edition.records
    assert (carriers, None) == (edition.list_numbered(2), edition.list_numbered(3))


def test_a_head_without_lists_is_an_edition_without_lists() -> None:
    edition = assemble(a_head(lists=()), {}, {})
    assert ((), (), 0) == (edition.lists, edition.policy.lists, edition.records)


MIXTURES: dict[str, Callable[[dict[str, Manifest], dict[str, Terms]], None]] = {
    "a list newer than the head": lambda manifests, _: manifests.update(court=a_manifest(version=VERSION + 1)),
    "another list's manifest": lambda manifests, _: manifests.update(court=manifests["carriers"]),
    "another list's terms": lambda _, terms: terms.update(court=terms["carriers"]),
    "a manifest of another number": lambda manifests, _: manifests.update(court=a_manifest(number=9)),
    "terms of another number": lambda _, terms: terms.update(court=some_terms(number=9)),
    "terms of another name": lambda _, terms: terms.update(court=some_terms("council")),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_documents_of_different_snapshots_are_not_put_together(name: str) -> None:
    head, manifests, terms = two_lists()
    MIXTURES[name](manifests, terms)
    with pytest.raises(SnapshotInvalid) as caught:
        assemble(head, manifests, terms)
    assert Refusal.MIXED_VERSIONS == caught.value.refusal


def test_targets_lie_in_the_folder_of_their_list() -> None:
    assert [
        "lists/court/manifest.json",
        "lists/court/terms-7.json",
        "lists/court/base-7",
        "lists/court/delta-6-7",
    ] == [manifest_target("court"), terms_target("court", 7), base_target("court", 7), delta_target("court", 6, 7)]


def test_what_a_gateway_enforces_stands_in_what_the_list_signs() -> None:
    signed = decode_terms(encode_document(some_terms()))
    expected = Measure("loans", ("loan.apply",), Effect.RESTRICT, OnStale.ALLOW, "You are on a list.")
    assert expected == signed.definition.measures[0]
