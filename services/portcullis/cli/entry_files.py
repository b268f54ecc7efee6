"""One entry from JSON, written as a row of an import (docs/how-to/import-a-list.md), as a message of the contract."""

from __future__ import annotations

from portcullis.domain.entries import EntryDraft
from portcullis.v1 import registry_service_pb2 as pb
from portcullis.v1 import types_pb2


def entry_message(draft: EntryDraft, list_name: str) -> pb.Entry:
    """Write a row as an entry; what it says is judged by the registry."""
    entry = pb.Entry(
        list=list_name,
        key=draft.key,
        identifiers=[types_pb2.Identifier(kind=e.kind, value=e.value, country=e.country) for e in draft.identifiers],
        names=draft.names,
        legal_basis=draft.legal_basis,
        case_reference=draft.case_reference,
        purpose=draft.purpose,
        redress=draft.redress,
        measures=draft.measures,
    )
    kind = f"SUBJECT_TYPE_{draft.subject_type.upper()}"
    if kind in pb.SubjectType.keys():  # noqa: SIM118 - an enum wrapper is no mapping
        entry.subject_type = pb.SubjectType.Value(kind)
    for name in ("valid_from", "until"):
        seconds = getattr(draft, name)
        if seconds is not None:
            getattr(entry, name).seconds = seconds
    return entry
