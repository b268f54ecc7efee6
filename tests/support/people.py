"""The made-up subjects of the demonstration, for tests."""

from portcullis.demo.people import (
    DOCUMENTS,
    IMO_NUMBERS,
    PHONES,
    RESIDENT_IDS,
    USCCS,
    document,
    imo,
    passport,
    phone,
    resident_id,
    uscc,
)

__all__ = [
    "DOCUMENTS",
    "IMO_NUMBERS",
    "PHONES",
    "RESIDENT_IDS",
    "USCCS",
    "document",
    "imo",
    "passport",
    "phone",
    "resident_id",
    "uscc",
]
