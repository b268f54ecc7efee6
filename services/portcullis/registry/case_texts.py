"""What people say in a case: a reason, the reference of a document. Neither is a place for personal data."""

from __future__ import annotations

import re
from collections.abc import Sequence

from portcullis.domain.dispute_rules import MAX_EVIDENCE_AT_ONCE
from portcullis.domain.entry_life import MAX_DOCUMENT, MAX_WHY
from portcullis.domain.entry_rules import is_plain_text
from portcullis.domain.errors import InvalidRequest

_REFERENCE = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)


def read_why(given: str) -> str:
    """Read a reason, which is required.

    Raises:
        InvalidRequest: it is missing, too long or no plain text.
    """
    told = given.strip()
    if not 1 <= len(told) <= MAX_WHY or not is_plain_text(told):
        raise InvalidRequest.at("why", f"must be plain text of 1 to {MAX_WHY} characters, without personal data")
    return told


def read_document(given: str) -> str:
    """Read the reference of a letter or a decision; "" for none.

    Raises:
        InvalidRequest: it is too long or no plain text.
    """
    told = given.strip()
    if len(told) > MAX_DOCUMENT or not is_plain_text(told):
        raise InvalidRequest.at(
            "document", f"must be plain text of at most {MAX_DOCUMENT} characters, without personal data"
        )
    return told


def read_reference(given: str, field: str = "reference") -> str:
    """Read the reference of a document that is evidence.

    Raises:
        InvalidRequest: it is no reference.
    """
    if not _REFERENCE.fullmatch(given):
        raise InvalidRequest.at(field, "must be 1 to 128 characters of A-Z a-z 0-9 . _ : / -: a reference, not a text")
    return given


def read_references(given: Sequence[str]) -> list[str]:
    """Read the documents that a case is opened with.

    Raises:
        InvalidRequest: they are too many, or one is no reference.
    """
    if len(given) > MAX_EVIDENCE_AT_ONCE:
        raise InvalidRequest.at("evidence", f"at most {MAX_EVIDENCE_AT_ONCE} documents; add the others one by one")
    return [read_reference(each, f"evidence[{place}]") for place, each in enumerate(given)]
