"""Entries of made-up people for the suites of the registry."""

from __future__ import annotations

from typing import Any

from portcullis.domain.entries import Entry, SubjectType
from portcullis.domain.identifiers import Identifier
from portcullis.domain.policies import Disclosure, Policy
from portcullis.domain.tokens import Tokeniser
from tests.support.policies import NOW, YEAR_S, a_list

SEAL_KEY = bytes(range(32))
TOKENISER = Tokeniser(bytes(range(32, 64)))

POLICY = Policy(
    lists=(a_list("court"), a_list("carrier"), a_list("secret", disclosure=Disclosure.AUTHORITY_ONLY)),
)


def document(number: int, country: str = "XA") -> Identifier:
    """A passport that nobody holds."""
    return Identifier("passport", f"N{number:08d}", country)


def an_entry(key: str = "k1", *identifiers: Identifier, **changes: Any) -> Entry:
    """An entry of the court's list, in force around NOW, with one passport unless others are given."""
    values: dict[str, Any] = {
        "list": "court",
        "subject_type": SubjectType.PERSON,
        "identifiers": identifiers or (document(sum(key.encode())),),
        "names": ("Nobody Atall",),
        "authority": "Demonstration Court",
        "legal_basis": "Demonstration Act, section 1",
        "case_reference": f"(2090) Demo {key}",
        "purpose": "judgment-enforcement",
        "valid_from": NOW - YEAR_S,
        "until": NOW + YEAR_S,
        "redress": "https://redress.example/court",
    }
    return Entry(key=key, **(values | changes))


def tokens_of(entry: Entry) -> set[bytes]:
    """The tokens that an entry is indexed under."""
    return {token for identifier in entry.identifiers for token in TOKENISER.index_tokens(identifier)}
