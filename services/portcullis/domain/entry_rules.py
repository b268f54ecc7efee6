"""What an entry must have before it may bind anyone.

Rule 1. No entry without an authority, a legal basis, a case reference, a purpose, an end and a redress contact. What a row
        leaves empty and its list states (authority, legal basis, purpose, redress) is the list's; the case reference, the
        beginning and the end are the row's own. A text of marks or blanks alone states nothing, and a redress contact is one
        that a subject can use. The end is after the beginning and within the list's greatest term,
        counted from the beginning.
Rule 2. An end that has passed is no fault: the entry has no effect, and the same file imports the same way for ever.
Rule 4. An entry binds the one subject it names. A document that only a person can hold does not stand on an organisation's
        entry, nor an organisation's number on a person's, and no subject has two numbers of a kind that is held once.
Rule 6. Only identifiers match. Names are kept, sealed, and never matched, so an entry needs at least one identifier, unless
        its source names some subjects by name only (`EntryDraft.as_found`): then it stands and matches nobody.

An identifier leaves the registry only as a token. Key, case reference and the other texts travel in clear, so a text that
holds one of the subject's own identifiers is refused; of a short one, a text that is nothing else.

Example: on a list whose greatest term is two years, a row with the case reference "(2090) Demo 17", one passport, a
beginning of 2090-01-01 and an end of 2091-01-01 is admitted under the list's authority, legal basis, purpose and redress
contact. Without its end it is rejected at ``until``; with an end in 2093 as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from portcullis.domain.contacts import is_contact
from portcullis.domain.entries import Entry, EntryDraft, GivenIdentifier, SubjectType
from portcullis.domain.errors import EntryRejected, FieldViolation, InvalidIdentifier
from portcullis.domain.identifiers import Identifier, normalise
from portcullis.domain.policies import RestrictedList
from portcullis.domain.records import MAX_CASE_REFERENCE_BYTES

MAX_KEY = 128
"""The most characters of a key."""
MAX_CASE_REFERENCE = 128
"""The most characters of a case reference; its UTF-8 form is bounded as well, by the replica's record."""
MAX_TEXT = 1024
"""The most characters of a legal basis, a purpose, a redress contact or a name."""
MAX_IDENTIFIERS = 256
"""The most identifiers of one entry."""
MAX_NAMES = 512
"""The most names of one entry."""
MAX_TIME = 2**32 - 1
"""The last second an entry may end in: a record holds 32 bits of Unix seconds, up to February 2106."""

HOLDERS = {
    "cn.resident-id": frozenset({SubjectType.PERSON}),
    "passport": frozenset({SubjectType.PERSON}),
    "national-id": frozenset({SubjectType.PERSON}),
    "cn.uscc": frozenset({SubjectType.ORGANISATION}),
    "imo": frozenset({SubjectType.VESSEL}),
}
"""Who can hold an identifier of a kind; a kind that is not here can be anyone's."""
HELD_ONCE = frozenset({"cn.resident-id", "cn.uscc", "imo"})
"""Kinds of which one subject has one number for life: two of them name two subjects."""

# With those that turn the direction of a line: they show another text than the one that stands there.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SEPARATORS = re.compile(r"[\W_]+")
_SHORTEST_TELLING_VALUE = 8
_SHORTEST_WHOLE_VALUE = 5
_TELLS = "holds an identifier of the subject; it leaves the registry in clear, so reword it"

IndexTokens = Callable[[Identifier], tuple[bytes, ...]]
"""The keyed pseudonyms of an identifier: `portcullis.domain.tokens.Tokeniser.index_tokens`."""


class Admission(NamedTuple):
    """An entry that may stand, and why identifiers of its draft take no part in matching ("label: reason" each)."""

    entry: Entry
    dropped: tuple[str, ...]


def admit_entry(draft: EntryDraft, on: RestrictedList, *, index_tokens: IndexTokens) -> Admission:
    """Make an entry of a draft, or say everything that is wrong with it.

    A draft without a key gets one derived from its case reference and the tokens of its identifiers: the same row gives
    the same key, and nobody can read an identifier out of it.

    Raises:
        EntryRejected: names each faulty field and what to write, never an identifier's value.
    """
    faults: list[FieldViolation] = []
    subject = _subject_type(draft.subject_type, faults)
    identifiers, dropped = _identifiers(draft, on, subject, faults)
    reference = _case_reference(draft.case_reference, faults)
    key = _text("key", draft.key, MAX_KEY, faults)
    legal_basis = _stated("legal_basis", draft.legal_basis, on.legal_basis, faults)
    purpose = _stated("purpose", draft.purpose, on.purpose, faults)
    redress = _redress(draft.redress, on.redress_url, faults)
    authority = _stated("authority", "", on.authority, faults)
    valid_from, until = _term(draft, on, faults)
    names = _names(draft.names, faults)
    _check_measures(draft.measures, on, faults)
    texts = (("key", key), ("case_reference", reference), ("legal_basis", draft.legal_basis), ("purpose", draft.purpose))
    _check_texts_tell_nothing((*texts, ("redress", draft.redress)), identifiers, faults)
    if not key and not identifiers:
        faults.append(FieldViolation("key", "missing, and without an identifier none can be derived; give the row a key"))
    if faults:
        raise EntryRejected(faults)
    entry = Entry(
        list=on.name,
        key=key or derive_key(reference, identifiers, index_tokens),
        subject_type=SubjectType(draft.subject_type),
        identifiers=identifiers,
        names=names,
        authority=authority,
        legal_basis=legal_basis,
        case_reference=reference,
        purpose=purpose,
        valid_from=valid_from,
        until=until,
        redress=redress,
        measures=tuple(sorted(set(draft.measures))) if draft.measures else (),
    )
    return Admission(entry, dropped)


def derive_key(case_reference: str, identifiers: Iterable[Identifier], index_tokens: IndexTokens) -> str:
    """Name an entry whose authority gave it no key: a digest of its case reference and its identifiers' tokens."""
    digest = blake2b(case_reference.encode(), digest_size=16, person=b"entry-key")
    for token in sorted(token for identifier in identifiers for token in index_tokens(identifier)):
        digest.update(b"\0" + token)
    return f"auto-{digest.hexdigest()}"


def is_plain_text(text: str) -> bool:
    """Say whether a text can be shown on one line as it is: no control character, line end or half of a surrogate pair."""
    return _CONTROL.search(text) is None


def _subject_type(given: str, faults: list[FieldViolation]) -> SubjectType | None:
    try:
        return SubjectType(given)
    except ValueError:
        faults.append(FieldViolation("subject_type", f"must be one of {', '.join(SubjectType)}"))
        return None


def _identifiers(
    draft: EntryDraft, on: RestrictedList, subject: SubjectType | None, faults: list[FieldViolation]
) -> tuple[tuple[Identifier, ...], tuple[str, ...]]:
    if len(draft.identifiers) > MAX_IDENTIFIERS:
        faults.append(FieldViolation("identifiers", f"more than {MAX_IDENTIFIERS}; an entry names one subject"))
        return (), ()
    kept: dict[Identifier, None] = {}
    dropped: list[str] = []
    for place, given in enumerate(draft.identifiers):
        identifier = _identifier(given, on, subject)
        if isinstance(identifier, Identifier):
            kept[identifier] = None
        elif draft.as_found:
            dropped.append(f"{given.label or given.kind}: {identifier.description}")
        else:
            faults.append(FieldViolation(f"identifiers[{place}].{identifier.field}", identifier.description))
    if not draft.as_found:
        _check_one_subject(draft.identifiers, kept, faults)
    return tuple(kept), tuple(dropped)


def _identifier(given: GivenIdentifier, on: RestrictedList, subject: SubjectType | None) -> Identifier | FieldViolation:
    if given.kind not in on.identifier_kinds:
        return FieldViolation("kind", f"this list does not take this kind; it takes {', '.join(on.identifier_kinds)}")
    holders = HOLDERS.get(given.kind)
    if holders and subject is not None and subject not in holders:
        held = " or ".join(sorted(holders))
        return FieldViolation("kind", f"only a {held} holds a {given.kind}; list that subject in an entry of its own")
    try:
        return normalise(given.kind, given.value, given.country)
    except InvalidIdentifier as fault:
        return FieldViolation(fault.field, fault.description)


def _check_one_subject(given: Sequence[GivenIdentifier], kept: Iterable[Identifier], faults: list[FieldViolation]) -> None:
    if not given:
        faults.append(FieldViolation("identifiers", "missing; only an identifier can match, so give at least one"))
        return
    once = [identifier.kind for identifier in kept if identifier.kind in HELD_ONCE]
    faults.extend(
        FieldViolation("identifiers", f"more than one {kind}; an entry names one subject, so give each its own entry")
        for kind in sorted({kind for kind in once if once.count(kind) > 1})
    )


def _case_reference(given: str, faults: list[FieldViolation]) -> str:
    reference = _text("case_reference", given, MAX_CASE_REFERENCE, faults)
    if not given.strip() or (reference and not _says_something(reference)):
        faults.append(FieldViolation("case_reference", "missing; give the authority's own reference of the case"))
    elif len(reference.encode()) > MAX_CASE_REFERENCE_BYTES:
        faults.append(FieldViolation("case_reference", f"longer than {MAX_CASE_REFERENCE_BYTES} bytes of UTF-8"))
    return reference


def _stated(field: str, given: str, lists_own: str, faults: list[FieldViolation]) -> str:
    text = _text(field, given, MAX_TEXT, faults) or lists_own.strip()
    if not text:
        faults.append(FieldViolation(field, "missing in the row and in its list; state it in one of them"))
    elif not _says_something(text):
        faults.append(
            FieldViolation(field, "holds no letter or digit; write what it is, or leave it empty for the list's own")
        )
    return text


def _redress(given: str, lists_own: str, faults: list[FieldViolation]) -> str:
    contact = _stated("redress", given, lists_own, faults)
    if given and contact == given.strip() and _says_something(contact) and not is_contact(contact):
        faults.append(FieldViolation("redress", "no place where a subject can object; write an https URL, mailto: or tel:"))
    return contact


def _says_something(text: str) -> bool:
    return any(map(str.isalnum, text))


def _text(field: str, given: str, limit: int, faults: list[FieldViolation]) -> str:
    if not given:
        return ""
    text = given.strip()
    if len(text) > limit:
        faults.append(FieldViolation(field, f"longer than {limit} characters"))
        return ""
    if not is_plain_text(text):
        faults.append(FieldViolation(field, "holds a control character; write plain text on one line"))
        return ""
    return text


def _term(draft: EntryDraft, on: RestrictedList, faults: list[FieldViolation]) -> tuple[int, int]:
    valid_from, until = draft.valid_from, draft.until
    if valid_from is None:
        faults.append(FieldViolation("valid_from", "missing; give the time from which the entry binds"))
    elif not 0 <= valid_from <= MAX_TIME:
        faults.append(FieldViolation("valid_from", "must be between 1970 and February 2106"))
    if until is None:
        faults.append(FieldViolation("until", "missing; no entry binds without an end"))
    elif not 0 <= until <= MAX_TIME:
        faults.append(FieldViolation("until", "must be between 1970 and February 2106"))
    if valid_from is None or until is None:
        return 0, 0
    if until <= valid_from:
        faults.append(FieldViolation("until", "not after valid_from"))
    elif until - valid_from > on.max_term_s:
        days = on.max_term_s / 86_400
        faults.append(FieldViolation("until", f"further from valid_from than the list's greatest term of {days:g} days"))
    return valid_from, until


def _names(given: tuple[str, ...], faults: list[FieldViolation]) -> tuple[str, ...]:
    if not given:
        return ()
    if len(given) > MAX_NAMES:
        faults.append(FieldViolation("names", f"more than {MAX_NAMES}"))
        return ()
    names = (_text(f"names[{place}]", name, MAX_TEXT, faults) for place, name in enumerate(given))
    return tuple(dict.fromkeys(name for name in names if name))


def _check_measures(given: tuple[str, ...], on: RestrictedList, faults: list[FieldViolation]) -> None:
    if not given:
        return
    known = [measure.name for measure in on.measures]
    faults.extend(
        FieldViolation(f"measures[{place}]", f"no measure of this list; it has {', '.join(known) or 'none'}")
        for place, name in enumerate(given)
        if name not in known
    )


def _check_texts_tell_nothing(
    texts: Sequence[tuple[str, str]], identifiers: tuple[Identifier, ...], faults: list[FieldViolation]
) -> None:
    values = [identifier.value.lstrip("+") for identifier in identifiers]
    # A short value may stand in any text by chance, but not as the whole of it.
    short = {value for value in values if _SHORTEST_WHOLE_VALUE <= len(value) < _SHORTEST_TELLING_VALUE}
    faults.extend(
        FieldViolation(field, _TELLS) for field, text in texts if short and _SEPARATORS.sub("", text).upper() in short
    )
    telling = [value for value in values if len(value) >= _SHORTEST_TELLING_VALUE]
    # Nearly every row is clean, and one look at all its texts together says so.
    if not _holds("".join([text for _, text in texts]), telling):
        return
    faults.extend(FieldViolation(field, _TELLS) for field, text in texts if _holds(text, telling))


def _holds(text: str, values: Sequence[str]) -> bool:
    folded = _SEPARATORS.sub("", text).upper()
    return any(value in folded for value in values)
