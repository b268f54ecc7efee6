"""An entry: one subject on one list, with all that rule 1 asks of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from portcullis.domain.identifiers import Identifier


class SubjectType(StrEnum):
    """What an entry names."""

    PERSON = "person"
    ORGANISATION = "organisation"
    VESSEL = "vessel"
    AIRCRAFT = "aircraft"


class EntryStatus(StrEnum):
    """Where an entry stands."""

    PROPOSED = "proposed"
    IN_FORCE = "in-force"
    STAYED = "stayed"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"
    IN_ERROR = "withdrawn-in-error"
    REJECTED = "rejected"


LISTED = (EntryStatus.IN_FORCE, EntryStatus.STAYED)
"""Where an entry stands on its list: it binds, or would but for a stay. A snapshot knows these alone."""


class GivenIdentifier(msgspec.Struct, frozen=True):
    """One identifier as an authority wrote it, not yet normalised. ``label`` is the source's own name for it.

    Its representation does not show the value.
    """

    kind: str
    value: str
    country: str = ""
    label: str = ""

    def __repr__(self) -> str:
        return f"GivenIdentifier(kind={self.kind!r}, value=<hidden>)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kind", self.kind)]


class EntryDraft(msgspec.Struct, frozen=True, kw_only=True):
    """One row of an authority's list before the rules were applied (`portcullis.domain.entry_rules`).

    Empty texts mean "not given". ``valid_from`` and ``until`` are Unix seconds, None when not given. ``as_found`` marks a
    source that writes numbers as it found them and lists some subjects by name only, as sanctions lists do: there an
    identifier that can't be used is left out of matching, and the entry stands.
    """

    subject_type: str
    identifiers: tuple[GivenIdentifier, ...] = ()
    names: tuple[str, ...] = ()
    key: str = ""
    legal_basis: str = ""
    case_reference: str = ""
    purpose: str = ""
    valid_from: int | None = None
    until: int | None = None
    redress: str = ""
    measures: tuple[str, ...] = ()
    as_found: bool = False

    def __repr__(self) -> str:
        return f"EntryDraft(subject_type={self.subject_type!r}, identifiers=<{len(self.identifiers)} hidden>)"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("subject_type", self.subject_type)]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One subject on one list, as an authority submits it.

    ``identifiers`` are normalised. ``valid_from`` and ``until`` are Unix seconds, the end exclusive. ``measures`` narrows
    the list's measures; empty means all of them. ``key`` names the entry within its list. ``names`` never take part in
    matching. ``lapses_at`` is when the entry lapses unless its authority reaffirms it before (Unix seconds); 0 on a list
    whose entries do not lapse.
    """

    list: str
    key: str
    subject_type: SubjectType
    identifiers: tuple[Identifier, ...]
    names: tuple[str, ...] = ()
    authority: str
    legal_basis: str
    case_reference: str
    purpose: str
    valid_from: int
    until: int
    redress: str
    measures: tuple[str, ...] = ()
    lapses_at: int = 0
