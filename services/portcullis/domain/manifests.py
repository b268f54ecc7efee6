"""The signed files that describe a snapshot, besides the records themselves.

Every file here is a TUF target. The rules:

1. ``head/head.json``, signed by the role ``head``, is written with every version: the actions, partners and API keys, and
   which lists there are, by name and number.
2. ``lists/NAME/manifest.json``, signed by the role ``list-NAME``, says how to come to the list's present state: by a base,
   and by deltas that lead on from it or from an earlier state.
3. ``lists/NAME/terms-VERSION.json``, signed by the same role, is what the list's records refer to: its definition with its
   measures, its legal table, and the names of the measure bits. So what a gateway enforces for a list, and why, is signed
   by whoever holds that list's key.
4. All are canonical JSON: a reader refuses any other spelling, an unknown field, and another format.
5. A delta leads from any version in [``since``, ``version``) to ``version`` (`portcullis.domain.frames`, rule 3). A reader
   takes the one that leads farthest, and again from there; where none leads on, it goes back to the base.

Example: base 100, deltas 100 to 140 (forty folded into one), 140 to 141, 141 to 142. A reader at 120 takes the first, then
the others; one at 99, or without a replica, takes the base and then all three.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from portcullis.domain.editions import FORMAT, Credential, Edition, Legal, ListEdition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.policies import Action, Partner, Policy, RestrictedList
from portcullis.domain.token_keys import TokenKey

HEAD_TARGET = "head/head.json"
MAX_DOCUMENT_BYTES = 64 << 20
"""The longest head, manifest or terms that is read."""

MAX_TERM_CHARACTERS = 1024
"""The longest text of a list's terms that is given to partners: no rule of the registry lets a longer one in."""

MAX_NUMBER = 0xFFFF

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Version = Annotated[int, Meta(ge=1, le=1 << 53)]
Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
Moment = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Unix seconds, up to the end of the year 9999: what a protobuf Timestamp holds."""

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{128}$")]


class HeadList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One list of a snapshot; ``stalled_at`` as in `ListEdition`."""

    name: str
    number: Number
    stalled_at: Moment | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``head/head.json``. ``registry_at`` is when the change ``registry_seq`` was made: another registry has another."""

    format: int
    version: Version
    published_at: Moment
    registry_seq: Count
    registry_at: Moment = 0.0
    actions: tuple[Action, ...]
    partners: tuple[Partner, ...]
    credentials: tuple[Credential, ...]
    revoked: tuple[str, ...] = ()
    token_keys: tuple[TokenKey, ...] = ()
    lists: tuple[HeadList, ...]


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``lists/NAME/terms-VERSION.json``.

    ``measures`` names the bits of the records: every measure of the definition, and names that records use or once used.
    """

    format: int
    number: Number
    definition: RestrictedList
    legal: tuple[Legal, ...]
    measures: Annotated[tuple[str, ...], Meta(max_length=32)]


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A base file: the list as it was in ``version``."""

    target: str
    version: Version
    records: Count
    length: Count


class Delta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A delta file, with how many frames and bytes it has, and from how many published deltas it was folded.

    Of one with a single step it is known that its list was as in ``since`` in every snapshot before ``version``.
    """

    target: str
    since: Version
    version: Version
    changes: Count
    length: Count
    steps: Annotated[int, Meta(ge=1, le=1 << 53)] = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``lists/NAME/manifest.json``. ``records`` and ``digest`` are those of ``version``; ``terms`` names a target."""

    format: int
    list: str
    number: Number
    version: Version
    records: Count
    digest: Digest
    terms: str
    base: Base
    deltas: tuple[Delta, ...] = ()


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ENCODER = msgspec.json.Encoder(order="deterministic")
_Document = TypeVar("_Document", Head, Terms, Manifest)


def manifest_target(name: str) -> str:
    """Name the target of a list's manifest."""
    return f"{list_folder(name)}/manifest.json"


def terms_target(name: str, version: int) -> str:
    """Name the target of a list's terms."""
    return f"{list_folder(name)}/terms-{version}.json"


def base_target(name: str, version: int) -> str:
    """Name the target of a list's base."""
    return f"{list_folder(name)}/base-{version}"


def delta_target(name: str, since: int, version: int) -> str:
    """Name the target of a list's delta."""
    return f"{list_folder(name)}/delta-{since}-{version}"


def list_folder(name: str) -> str:
    """Give the folder of a list's targets."""
    return f"lists/{name}"


def encode_document(document: Head | Terms | Manifest) -> bytes:
    """Write a document as canonical JSON: the same document gives the same bytes."""
    return _ENCODER.encode(document)


def decode_head(data: bytes) -> Head:
    """Read a head.

    Raises:
        SnapshotInvalid: it is malformed, contradicts itself, or is of another format.
    """
    head = _decode(data, Head, Refusal.HEAD_MALFORMED)
    _demand_distinct([each.name for each in head.lists], [each.number for each in head.lists])
    if len({each.epoch for each in head.token_keys}) != len(head.token_keys):
        raise SnapshotInvalid("a head names a token key twice", refusal=Refusal.HEAD_MALFORMED)
    return head


def decode_terms(data: bytes) -> Terms:
    """Read a list's terms; raises as `decode_head`."""
    terms = _decode(data, Terms, Refusal.TERMS_MALFORMED)
    names, own = set(terms.measures), [each.name for each in terms.definition.measures]
    if len(names) != len(terms.measures) or len(set(own)) != len(own) or not names.issuperset(own):
        raise SnapshotInvalid("a list's terms contradict themselves", refusal=Refusal.TERMS_MALFORMED)
    if any(len(text) > MAX_TERM_CHARACTERS for text in _told(terms)):
        raise SnapshotInvalid("a list's terms have a text that no answer can carry", refusal=Refusal.TERMS_MALFORMED)
    return terms


def _told(terms: Terms) -> Iterator[str]:
    """Give the texts that go into answers, where they stand beside those of other lists."""
    definition = terms.definition
    yield from (definition.authority, definition.legal_basis, definition.redress_url)
    for measure in definition.measures:
        yield from (measure.name, measure.message)
    for row in terms.legal:
        yield from (row.legal_basis, row.redress)


def decode_manifest(data: bytes) -> Manifest:
    """Read a list's manifest; raises as `decode_head`."""
    manifest = _decode(data, Manifest, Refusal.MANIFEST_MALFORMED)
    folder = list_folder(manifest.list) + "/"
    deltas = manifest.deltas
    consistent = (
        manifest.base.version <= manifest.version
        and all(each.since < each.version <= manifest.version for each in deltas)
        and all(name.startswith(folder) for name in (manifest.terms, manifest.base.target, *(d.target for d in deltas)))
        and steps_from(manifest, manifest.base.version) is not None
    )
    if not consistent:
        raise SnapshotInvalid("a manifest contradicts itself", refusal=Refusal.MANIFEST_MALFORMED)
    return manifest


def steps_from(manifest: Manifest, version: int) -> tuple[Delta, ...] | None:
    """Give the deltas that lead from a version of the list to the present one (rule 5); None where there is no way."""
    waiting = deque(sorted(manifest.deltas, key=lambda each: each.since))
    steps: list[Delta] = []
    farthest: Delta | None = None
    while version < manifest.version:
        while waiting and waiting[0].since <= version:
            each = waiting.popleft()
            farthest = each if farthest is None or each.version > farthest.version else farthest
        if farthest is None or farthest.version <= version:
            return None
        steps.append(farthest)
        version = farthest.version
    return tuple(steps) if version == manifest.version else None


def assemble(head: Head, manifests: Mapping[str, Manifest], terms: Mapping[str, Terms]) -> Edition:
    """Put an edition together; ``manifests`` and ``terms`` are by the name of their list.

    Raises:
        SnapshotInvalid: the documents are not of one snapshot.
    """
    definitions: list[RestrictedList] = []
    lists: list[ListEdition] = []
    for each in head.lists:
        manifest, own = manifests[each.name], terms[each.name]
        agree = manifest.list == own.definition.name == each.name and manifest.number == own.number == each.number
        if not agree or manifest.version > head.version:
            raise SnapshotInvalid("a list's files are not of one snapshot with the head", refusal=Refusal.MIXED_VERSIONS)
        definitions.append(own.definition)
        lists.append(
            ListEdition(
                name=each.name,
                number=each.number,
                legal=own.legal,
                measures=own.measures,
                version=manifest.version,
                records=manifest.records,
                digest=manifest.digest,
                stalled_at=each.stalled_at,
            )
        )
    return Edition(
        format=head.format,
        version=head.version,
        published_at=head.published_at,
        registry_seq=head.registry_seq,
        policy=Policy(actions=head.actions, lists=tuple(definitions), partners=head.partners),
        lists=tuple(lists),
        credentials=head.credentials,
        revoked=head.revoked,
        token_keys=head.token_keys,
    )


def _decode(data: bytes, kind: type[_Document], refusal: Refusal) -> _Document:
    try:
        document = msgspec.json.decode(data, type=kind)
    except _UNREADABLE:
        found = _format_of(data)
        if found not in (None, FORMAT):
            raise _other_format(found) from None
        # Not chained: the fault may carry the bytes.
        raise SnapshotInvalid(f"a {kind.__name__.lower()} can't be read", refusal=refusal) from None
    if document.format != FORMAT:
        raise _other_format(document.format)
    if encode_document(document) != data:
        raise SnapshotInvalid(f"a {kind.__name__.lower()} is not canonical", refusal=refusal)
    return document


class _Heading(msgspec.Struct, frozen=True):
    format: int


def _format_of(data: bytes) -> int | None:
    try:
        return msgspec.json.decode(data, type=_Heading).format
    except _UNREADABLE:
        return None


def _other_format(found: int | None) -> SnapshotInvalid:
    return SnapshotInvalid(f"the snapshot has format {found}; this release reads {FORMAT}", refusal=Refusal.FORMAT)


def _demand_distinct(*columns: list[str] | list[int]) -> None:
    if any(len(set(column)) != len(column) for column in columns):
        raise SnapshotInvalid("a head names a list twice", refusal=Refusal.HEAD_MALFORMED)
