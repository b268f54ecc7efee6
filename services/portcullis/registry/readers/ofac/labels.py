"""What the clauses of a remark are called, and which kind of identifier each of them is.

Rules:

1. A label that names an official number of a person, organisation or vessel has a kind. Some labels stand on persons and
   organisations alike and have a kind for each.
2. A label that names its country ("UK Company Number", "C.U.R.P.") gives it; any other number has the country that its
   clause states, or none.
3. A number that is given out by a part of a country (a chamber of commerce, a state's register, a court) or that is not the
   document its kind means (a driver's licence is no national ID, though it is an official number) is not unique in its
   country: it is kept without country, so that it can lead to a review at most.
4. A label that names something else a subject has (a bank code, a fax, a radio call sign) is known, and left out.

Example: ``label_of("Folio Mercantil No. 12345 (Mexico)")`` is the label "Folio Mercantil No.", a registration-id that is
local, and the text behind it, "12345 (Mexico)".
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Label(NamedTuple):
    """One label: its name in reports, the kinds for a person and for any other subject (none: left out of matching)."""

    name: str
    person: tuple[str, ...]
    other: tuple[str, ...]
    country: str = ""
    local: bool = False


def _anyone(kind: str, *names: str, country: str = "", local: bool = False) -> list[tuple[str, Label]]:
    return _either((kind,), (kind,), *names, country=country, local=local)


def _either(
    person: tuple[str, ...], other: tuple[str, ...], *names: str, country: str = "", local: bool = False
) -> list[tuple[str, Label]]:
    """Give one label under all its spellings; the first is its name."""
    label = Label(names[0], person, other, country, local)
    return [(name, label) for name in names]


_NATIONAL = ("national-id",)
_TAX = ("tax-id",)
_REGISTRATION = ("registration-id",)

_SPELLINGS: list[tuple[str, Label]] = [
    # Passports and what serves as one at a border.
    *_anyone("passport", "Passport", "Passport No.", "Passport Number", "Passport Booklet"),
    *_anyone("passport", "Diplomatic Passport"),
    *_anyone("passport", "British National Overseas Passport", country="GB"),
    *_anyone("passport", "Stateless Person Passport"),
    *_anyone("passport", "U.S.A. Passport", country="US"),
    *_anyone("passport", "Travel Document Number"),
    # National identity numbers. An organisation under such a label has a number of its register.
    *_either(_NATIONAL, _REGISTRATION, "National ID No.", "National ID Number"),
    *_either(_NATIONAL, _REGISTRATION, "Identification Number"),
    *_either(_NATIONAL, _REGISTRATION, "Cedula No."),
    *_either(_NATIONAL, _REGISTRATION, "Personal ID Card"),
    *_either(_NATIONAL, _REGISTRATION, "National Foreign ID Number"),
    *_either(_NATIONAL, _REGISTRATION, "Numero de Identidad"),
    *_anyone("national-id", "C.U.R.P.", "C.U.R.P. #", country="MX"),
    *_anyone("national-id", "D.N.I."),
    *_anyone("national-id", "N.I.E."),
    *_anyone("national-id", "LE Number"),
    *_anyone("national-id", "Citizen's Card Number"),
    *_anyone("national-id", "Tazkira National ID Card"),
    *_anyone("national-id", "Turkish Identification Number", "Turkish Identificiation Number", country="TR"),
    *_anyone("national-id", "Kenyan ID No.", country="KE"),
    *_anyone("national-id", "Moroccan Personal ID No.", country="MA"),
    *_anyone("national-id", "Bosnian Personal ID No.", country="BA"),
    *_anyone("national-id", "UAE Identification", country="AE"),
    *_anyone("national-id", "CNP (Personal Numerical Code)", country="RO"),
    *_anyone("national-id", "Residency Number"),
    *_anyone("national-id", "Stateless Person ID Card"),
    *_anyone("national-id", "Refugee ID Card"),
    *_anyone("national-id", "Romanian Permanent Resident", "Romanian Permanent Resident CAN", country="RO"),
    # A social security number is asked for as either.
    *_either(("national-id", "tax-id"), _TAX, "SSN", country="US"),
    # Official numbers of a person that are not the national ID.
    *_anyone("national-id", "Driver's License No.", local=True),
    *_anyone("national-id", "Electoral Registry No.", local=True),
    *_anyone("national-id", "Credencial electoral", local=True),
    *_anyone("national-id", "I.F.E.", local=True),
    *_anyone("national-id", "Cartilla de Servicio Militar Nacional", local=True),
    *_anyone("national-id", "C.U.I.P.", local=True),
    *_anyone("national-id", "Immigration No.", local=True),
    # Tax numbers.
    *_anyone("tax-id", "Tax ID No.", "Tax ID Number"),
    *_anyone("tax-id", "NIT #", "NIT"),
    *_anyone("tax-id", "R.F.C.", "R.F.C. #", "RFC", country="MX"),
    *_anyone("tax-id", "RUC #", "RUC"),
    *_anyone("tax-id", "RIF #", "RIF", "Tax ID No. RIF", country="VE"),
    *_anyone("tax-id", "RTN", country="HN"),
    *_anyone("tax-id", "C.U.I.T.", country="AR"),
    *_anyone("tax-id", "C.I.F."),
    *_anyone("tax-id", "V.A.T. Number", "VAT Number"),
    *_anyone("tax-id", "US FEIN", country="US"),
    *_anyone("tax-id", "Italian Fiscal Code", country="IT"),
    *_anyone("tax-id", "Fiscal Code"),
    *_anyone("tax-id", "Numero Unico de Identificacao Tributaria (NUIT)", country="MZ"),
    *_anyone("tax-id", "Romanian Tax Registration", country="RO"),
    *_anyone("tax-id", "Paraguayan tax identification number", country="PY"),
    # Registers of organisations that are one for the country.
    *_anyone("registration-id", "Registration ID"),
    *_anyone("registration-id", "Registration Number"),
    *_anyone("registration-id", "Company Number"),
    *_anyone("registration-id", "Company ID", "Company ID: No.", local=True),
    *_anyone("registration-id", "UK Company Number", country="GB"),
    *_anyone("registration-id", "Business Registration Number"),
    *_anyone("registration-id", "Business Number"),
    *_anyone("registration-id", "Public Registration Number"),
    *_anyone("registration-id", "Government Gazette Number"),
    *_anyone("registration-id", "Certificate of Incorporation Number"),
    *_anyone("registration-id", "Chamber of Commerce Number"),
    *_anyone("registration-id", "Legal Entity Number"),
    *_anyone("registration-id", "Enterprise Number"),
    *_anyone("registration-id", "Branch Unit Number"),
    *_anyone("registration-id", "Registered Charity No."),
    *_anyone("registration-id", "Romanian C.R.", country="RO"),
    # Registers of a part of a country, and licences.
    *_anyone("registration-id", "Folio Mercantil No.", local=True),
    *_anyone("registration-id", "Matricula Mercantil No", "Matricula Mercantil No.", local=True),
    *_anyone("registration-id", "Commercial Registry Number", local=True),
    *_anyone("registration-id", "Business Registration Document #", local=True),
    *_anyone("registration-id", "Trade License No.", local=True),
    *_anyone("registration-id", "C.R. No.", local=True),
    *_anyone("registration-id", "Dubai Chamber of Commerce Membership No.", local=True),
    *_anyone("registration-id", "Istanbul Chamber of Comm. No.", local=True),
    *_anyone("registration-id", "Afghan Money Service Provider License Number", local=True),
    # Chinese organisations' own.
    *_anyone(
        "cn.uscc",
        "Unified Social Credit Code (USCC)",
        "Unified Social Credit Code",
        "United Social Credit Code Certificate (USCCC)",
    ),
    # Ships. The same organisation numbers shipping companies, in a series of its own.
    *_either(
        _REGISTRATION,
        ("imo",),
        "Vessel Registration Identification IMO",
        "Vessel Registration Identification",
        "International Maritime Organization No.",
    ),
    *_anyone("registration-id", "Company Number IMO", "Identification Number IMO", local=True),
    # Contacts.
    *_anyone("phone", "Phone Number", "Phone No.", "Phone", "Telephone", "Telephone No.", "Telephone Number"),
    # Known, and no identifier of a kind.
    *(
        (name, Label(name, (), ()))
        for name in (
            "Aircraft Construction Number (also called L/N or S/N or F/N)",
            "Aircraft Manufacturer's Serial Number (MSN)",
            "Aircraft Mode S Transponder Code",
            "Aircraft Tail Number",
            "BIK (RU)",
            "Birth Certificate Number",
            "Chinese Commercial Code",
            "D-U-N-S Number",
            "Digital Currency Address",
            "Fax",
            "Identification Number ISIN",
            "License",
            "MMSI",
            "Other Vessel Call Sign",
            "Pilot License Number",
            "Previous Aircraft Tail Number",
            "Public Security and Immigration No.",
            "Serial No.",
            "SRE Permit No.",
            "SWIFT/BIC",
            "Tarjeta Profesional",
            "TELEX",
            "Temporary suspension of deportation No.",
            "VisaNumberID",
        )
    ),
]

_BY_SPELLING = {spelling.casefold(): label for spelling, label in _SPELLINGS}
_LABELLED = re.compile(
    r"(?:alt\. |secondary )?("
    + "|".join(re.escape(spelling) for spelling in sorted(_BY_SPELLING, key=len, reverse=True))
    + r")(?![\w])[\s:#.]*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_UNKNOWN = re.compile(r"(?:alt\. )?([A-Z][A-Za-z'.()/-]*(?: [A-Za-z'.()/-]+){0,6} (?:No\.|Number|ID|Card|Code))[ :#]+\S*\d")


def label_of(clause: str) -> tuple[Label, str] | None:
    """Find the label at the beginning of a clause, and the text behind it; None for a clause that is no number."""
    match = _LABELLED.match(clause)
    return (_BY_SPELLING[match[1].casefold()], match[2]) if match else None


def unknown_label(clause: str) -> str:
    """Name the label of a clause that looks like a number's but is none of ours; "" for any other clause."""
    match = _UNKNOWN.match(clause)
    return match[1] if match else ""
