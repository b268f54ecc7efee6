"""A thousand made-up identifiers, handed out each once, and the files of authorities that are made of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from portcullis.domain.identifiers import Identifier
from tests.support.people import document, passport, phone, resident_id, uscc

CANARIES = 1_000
WITNESS = "Canary report 0001"
"""A case reference of theirs, which is in the clear by design."""

Row = dict[str, Any]

_TODAY = datetime.now(UTC).date()
_COUNTS = {"cn.resident-id": 420, "passport": 200, "national-id": 160, "cn.uscc": 120, "phone": 100}
_DOCUMENTS = 26 * 47_110_000
"""Where the documents begin: at serials that no other made-up people have. Each 26th has another serial and country."""
_PHONES = 700
_RESIDENTS = 7_000_000


class Canaries:
    """The thousand, handed out kind by kind, each once; with everything that was ever derived from one for this run."""

    def __init__(self) -> None:
        made = [
            *(resident_id(_RESIDENTS + 7 * number) for number in range(_COUNTS["cn.resident-id"])),
            *(passport(_DOCUMENTS + 26 * number) for number in range(_COUNTS["passport"])),
            *(document("national-id", _DOCUMENTS + 26 * number) for number in range(_COUNTS["national-id"])),
            *(uscc(4_711_000 + number) for number in range(_COUNTS["cn.uscc"])),
            *(phone(_PHONES + number) for number in range(_COUNTS["phone"])),
        ]
        self.all = tuple(made)
        self.texts = {each.value: f"{each.kind} {place}" for place, each in enumerate(made)}
        self._left = {kind: [each for each in reversed(made) if each.kind == kind] for kind in _COUNTS}
        self._names = 0

    def take(self, kind: str) -> Identifier:
        """Hand out the next of a kind."""
        return self._left[kind].pop()

    def several(self, kind: str, count: int) -> list[Identifier]:
        """Hand out the next few of a kind."""
        return [self.take(kind) for _ in range(count)]

    def name(self) -> str:
        """Make a name that nobody has; it is searched for too."""
        self._names += 1
        name = f"Kanarella Zeisig-{self._names:04}" if self._names % 2 else f"金丝雀鸟第{self._names:04}号"
        return self.also(name, "name")

    def spoilt(self, identifier: Identifier) -> str:
        """Give a number that can't be what it says, made of a canary; it is searched for too."""
        value = identifier.value
        if identifier.kind in {"cn.resident-id", "cn.uscc"}:
            last = "7" if value[-1] != "7" else "8"
            return self.also(value[:-1] + last, f"spoilt {identifier.kind}")
        return self.also(value + "?!", f"spoilt {identifier.kind}")

    def also(self, text: str, what: str) -> str:
        """Search for one more text."""
        self.texts.setdefault(text, what)
        return text


def row(key: str, *identifiers: Identifier, names: Iterable[str] = (), **changes: Any) -> Row:
    """A row of an authority's file."""
    return {
        "key": key,
        "subject_type": "person",
        "identifiers": [{"kind": each.kind, "value": each.value, "country": each.country} for each in identifiers],
        "names": list(names),
        "case_reference": f"Canary report {key}",
        "valid_from": str(_TODAY - timedelta(days=1)),
        "until": str(_TODAY + timedelta(days=60)),
    } | changes


def court_rows(canaries: Canaries) -> list[Row]:
    """Most of the listed: 300 people with one, two or three documents."""
    rows = []
    for number in range(1, 301):
        known = [canaries.take("cn.resident-id")]
        known += canaries.several("passport", number % 2) + canaries.several("national-id", number % 3 == 0)
        rows.append(row(f"{number:04}", *known, names=[canaries.name()]))
    return rows


def bad_rows(canaries: Canaries) -> list[Row]:
    """Rows that can't be taken: wrong numbers, and numbers where something else belongs."""
    rows = []
    for number, identifier in enumerate(canaries.several("cn.resident-id", 12)):
        one = row(f"bad-{number}", identifier)
        spoilt = canaries.spoilt(identifier)
        rows += [
            one | {"identifiers": [one["identifiers"][0] | {"value": spoilt}]},
            one | {"identifiers": [one["identifiers"][0] | {"kind": identifier.value}]},
            one | {"identifiers": [one["identifiers"][0] | {"country": identifier.value}]},
            one | {"identifiers": [one["identifiers"][0] | {identifier.value: "1"}]},
            one | {"identifiers": identifier.value},
            one | {identifier.value: 1},
            one | {"subject_type": identifier.value},
            one | {"until": identifier.value},
            one | {"measures": [identifier.value]},
            *(
                one | {field: f"of {identifier.value}"}
                for field in ("case_reference", "key", "legal_basis", "purpose", "redress")
            ),
            one | {"names": [identifier.value + "\n"]},
        ]
    return rows


def json_lines(rows: Iterable[Row]) -> bytes:
    return b"".join(msgspec.json.encode(each) + b"\n" for each in rows)


def firms(canaries: Canaries) -> str:
    """A table of organisations; its last rows are bad."""
    dates = f"{_TODAY - timedelta(days=1)},{_TODAY + timedelta(days=60)}"
    lines = [
        "key,subject_type,case_reference,valid_from,until,names,id.cn.uscc",
        *(
            f"F{number},organisation,Canary firm {number},{dates},{canaries.name()},{canaries.take('cn.uscc').value}"
            for number in range(100)
        ),
    ]
    spoilt = canaries.take("cn.uscc")
    lines.append(f"F100,organisation,Canary firm 100,{dates},,{canaries.spoilt(spoilt)}")
    lines.append(f'F101,{spoilt.value},"{spoilt.value},{dates},,{spoilt.value}')
    return "\n".join(lines) + "\n"
