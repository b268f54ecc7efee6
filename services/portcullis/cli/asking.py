"""What a check needs from its command line: identifiers, facts, a gateway and a key.

No message of this module repeats an identifier, a key or a fact.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from portcullis.cli.output import print_json
from portcullis.cli.wiring import Tls, Wiring

if TYPE_CHECKING:
    from portcullis.client import AttributeValue, Client, ClientError, Identifier

DEMONSTRATION_KEYS = "demo-keys.json"

DEMONSTRATION_PARTNERS: Mapping[str, str] = {
    "ticketing": "ticketing",
    "retail": "ecommerce",
    "gaming": "ecommerce",
    "lending": "lending",
    "rental": "bikeshare",
    "caller-identification": "callerid",
}
"""Whose demonstration key a purpose uses when no key is given."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")
_TRUTH = {"true": True, "false": False}


def identifiers(given: Sequence[str]) -> list[Identifier]:
    """Read the identifiers of ``--id``; ``-`` stands for those on stdin, one a line.

    Raises:
        typer.BadParameter: one is not written as it should be, or stdin holds none.
    """
    from portcullis.client import Identifier  # noqa: PLC0415 - gRPC would slow `--help` down

    read: list[Identifier] = []
    for place, text in enumerate(_with_stdin(given), start=1):
        try:
            read.append(Identifier.parse(text))
        except ValueError as fault:
            raise typer.BadParameter(f"identifier {place}: {fault}", param_hint="--id") from None
    return read


def phone(given: str) -> str:
    """Read the one number of ``caller``; ``-`` stands for the one on stdin.

    Raises:
        typer.BadParameter: stdin does not hold one number.
    """
    numbers = _with_stdin([given])
    if len(numbers) != 1:
        raise typer.BadParameter("stdin holds more than one number; ask about one at a time", param_hint="PHONE")
    return numbers[0]


def attributes(given: Sequence[str]) -> dict[str, AttributeValue]:
    """Read the facts of ``--attr``: ``name=value`` with its type inferred, or ``name:type=value``.

    Raises:
        typer.BadParameter: one is not written as it should be, or a name comes twice.
    """
    facts: dict[str, AttributeValue] = {}
    for place, text in enumerate(given, start=1):
        name, equals, value = text.partition("=")
        name, colon, kind = name.partition(":")
        if not equals or not name:
            raise typer.BadParameter(f"fact {place}: a fact is written NAME=VALUE or NAME:TYPE=VALUE", param_hint="--attr")
        if name in facts:
            raise typer.BadParameter(f"fact {place}: its name is given twice; give it once", param_hint="--attr")
        facts[name] = _forced(place, kind, value) if colon else _inferred(value)
    return facts


def whom(
    wiring: Wiring,
    *,
    target: str | None,
    key: str | None,
    partner: str | None,
    home: Path | None,
    purpose: str,
    tls: Tls | None = None,
) -> tuple[str, str | None]:
    """Decide which gateway is asked, and with whose key; gives (target, key).

    Who shows a certificate needs no key, and is given none that they have not named.

    Raises:
        SetupFault: no key is given, and none stands in the home.
    """
    certified = tls is not None and tls.cert is not None
    if target and (key or certified) and not partner:
        return target, key
    settings = wiring.settings(home=home)
    if partner or not (key or certified):
        key = _demonstration_key(settings.home / DEMONSTRATION_KEYS, partner, purpose)
    return target or wiring.gateway_target(settings, tls=tls is not None), key


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> Tls | None:
    """Give the files of TLS; None where none is named.

    Raises:
        typer.BadParameter: a certificate is given without its key, or a key alone.
    """
    if (cert is None) != (key is None):
        raise typer.BadParameter("give --tls-cert and --tls-key together", param_hint="--tls-cert")
    return Tls(ca, cert, key) if ca or cert else None


@contextmanager
def client(
    wiring: Wiring,
    target: str,
    key: str | None,
    timeout_s: float,
    *,
    as_json: bool,
    advice: str = "",
    tls: Tls | None = None,
) -> Iterator[Client]:
    """Open the client; with ``as_json``, an error answer is printed as JSON on its way out.

    Args:
        wiring: opens it.
        target: the gateway's address.
        key: the partner's API key.
        timeout_s: the deadline of a call, in seconds.
        as_json: whether an error answer is printed as JSON, too.
        advice: what to do about what was under way where nobody answers.
        tls: the files of TLS; None for plain text.

    Raises:
        typer.BadParameter: the key can't be a key, or a certificate is given without its key.
        ClientError: there is no answer.
    """
    try:
        opened = wiring.client(target, key, timeout_s, tls)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--key") from None
    with opened, asked(target, as_json=as_json, advice=advice):
        yield opened


@contextmanager
def asked(target: str, *, as_json: bool, advice: str = "") -> Iterator[None]:
    """Tell of an error answer in the words of a command; with ``as_json`` it is printed as JSON, too.

    Raises:
        typer.BadParameter: an argument can't be sent.
        ClientError: there is no answer.
    """
    from portcullis.client import ClientError, Unavailable  # noqa: PLC0415 - gRPC would slow `--help` down

    nobody = f"no gateway answers at {target}" + (f"; {advice}" if advice else "")
    try:
        yield
    except ClientError as fault:
        # Without a reason nobody of Portcullis has answered, and gRPC's own words are for its developers.
        silent = isinstance(fault, Unavailable) and not fault.reason
        told = Unavailable(nobody, status=fault.status) if silent else fault
        if as_json:
            print_json({"error": _document(told)})
        raise told from fault
    except UnicodeEncodeError:
        raise typer.BadParameter("an argument is no UTF-8 text; write it in UTF-8") from None


def _document(fault: ClientError) -> dict[str, object]:
    return {
        "status": fault.status,
        "reason": fault.reason,
        "message": fault.message,
        "metadata": fault.metadata,
        "violations": [{"field": each.field, "description": each.description} for each in fault.violations],
        "retry_after_s": fault.retry_after_s,
    }


def _with_stdin(given: Sequence[str]) -> list[str]:
    read: list[str] = []
    for text in given:
        read += [line.strip() for line in sys.stdin if line.strip()] if text == "-" else [text]
    if not read:
        raise typer.BadParameter("stdin holds nothing; write one identifier a line", param_hint="--id")
    return read


def _inferred(value: str) -> AttributeValue:
    if value in _TRUTH:
        return _TRUTH[value]
    if _WHOLE.fullmatch(value):
        return int(value)
    return float(value) if _DECIMAL.fullmatch(value) else value


def _forced(place: int, kind: str, value: str) -> AttributeValue:
    try:
        match kind:
            case "string":
                return value
            case "int":
                return int(value)
            case "double":
                return float(value)
            case "bool":
                return _TRUTH[value]
    except (KeyError, ValueError):
        raise typer.BadParameter(f"fact {place}: the value is no {kind}", param_hint="--attr") from None
    raise typer.BadParameter(f"fact {place}: the type must be string, int, double or bool", param_hint="--attr")


def _demonstration_key(file: Path, partner: str | None, purpose: str) -> str:
    from portcullis.domain.errors import SetupFault  # noqa: PLC0415 - only a check without a key needs it

    name = partner or DEMONSTRATION_PARTNERS.get(purpose, purpose)
    key = _stored_keys(file).get(name)
    if not isinstance(key, str) and partner is None and purpose not in DEMONSTRATION_PARTNERS:
        raise SetupFault(
            f"--purpose: no demonstration key fits it; the purposes with one are {', '.join(DEMONSTRATION_PARTNERS)}. "
            "Mend it, name a partner with --as, or set PORTCULLIS_API_KEY"
        )
    if not isinstance(key, str):
        raise SetupFault(f"{file} has no key of {name}; name one of its partners with --as, or set PORTCULLIS_API_KEY")
    return key


def stored_key(file: Path, name: str) -> str:
    """Give somebody's demonstration key out of a file of a home.

    Raises:
        SetupFault: there is none.
    """
    from portcullis.domain.errors import SetupFault  # noqa: PLC0415 - as above

    keys = _stored_keys(file)
    key = keys.get(name)
    if not isinstance(key, str):
        raise SetupFault(f"{file} has no key of {name}; it has {', '.join(sorted(keys))}. Or set PORTCULLIS_API_KEY")
    return key


def _stored_keys(file: Path) -> dict[str, object]:
    from portcullis.domain.errors import SetupFault  # noqa: PLC0415 - as above

    try:
        keys = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SetupFault(
            f"no API key is given, and {file} is not there; set PORTCULLIS_API_KEY, or start the demonstration stack with "
            "`portcullis run` (--home names its folder)"
        ) from None
    except ValueError:
        raise SetupFault(f"{file} is no JSON; remove it, and set PORTCULLIS_API_KEY") from None
    return keys if isinstance(keys, dict) else {}
