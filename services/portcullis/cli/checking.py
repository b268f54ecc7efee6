"""``portcullis check`` and ``portcullis caller``: ask a gateway, as a partner would."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from portcullis.cli import answers, asking, options
from portcullis.cli.output import print_json
from portcullis.cli.wiring import wiring_of

EXIT_CODES = {"ALLOW": 0, "RESTRICT": 10, "REVIEW": 11}
"""The exit codes of `check --exit-code`."""

_CALLER_PURPOSE = "caller-identification"


def check(
    ctx: typer.Context,
    *,
    action: Annotated[str, typer.Option("--action", metavar="NAME", help="What the customer wants to do.")],
    purpose: Annotated[str, typer.Option("--purpose", metavar="NAME", help="What you ask for, as the agreement names it.")],
    ids: Annotated[
        list[str],
        typer.Option(
            "--id",
            metavar="KIND:[COUNTRY:]VALUE",
            help="An identifier of the customer, such as cn.resident-id:... or passport:XA:...; give every one you hold. "
            "The arguments of a process can be seen by its neighbours: '--id -' reads them from stdin, one a line.",
        ),
    ],
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attr",
            metavar="NAME=VALUE",
            help="A fact about the action. true and false, whole numbers and decimals are taken as such; "
            "NAME:string=1461 forces a type (string, int, double, bool).",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[str, typer.Option("--reference", metavar="TEXT", help="Your own reference of it.")] = "",
    at_least: Annotated[
        str, typer.Option("--at-least-snapshot", metavar="VERSION", help="The lowest snapshot version that may answer.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask what the answer would be; don't act on it.")] = False,
    redress_number: Annotated[
        str,
        typer.Option(
            "--redress-number",
            metavar="NUMBER",
            help="What the customer was given because they are mistaken for a listed subject, such as "
            "PCR-XXXX-XXXX-XXXX-XXXX; it counts beside a document of their own.",
        ),
    ] = "",
    locale: Annotated[
        str, typer.Option("--locale", metavar="LANGUAGE", help="The language of a refusal's notice, such as en or zh-CN.")
    ] = "",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 0 for ALLOW, 10 for RESTRICT, 11 for REVIEW; else any answer is 0.")
    ] = False,
    target: options.Target = None,
    key: options.Key = None,
    partner: options.As = None,
    home: options.Home = None,
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Ask whether a customer may do something."""
    wiring = wiring_of(ctx)
    identifiers = asking.identifiers(ids)
    facts = asking.attributes(attributes or ())
    tls = asking.tls_of(tls_ca, tls_cert, tls_key)
    address, api_key = asking.whom(wiring, target=target, key=key, partner=partner, home=home, purpose=purpose, tls=tls)
    with asking.client(wiring, address, api_key, timeout, as_json=as_json, tls=tls) as client:
        started = wiring.clock.monotonic()
        decision = client.check(
            identifiers,
            action=action,
            purpose=purpose,
            attributes=facts,
            partner_reference=reference,
            at_least_snapshot=at_least,
            dry_run=dry_run,
            redress_number=redress_number,
            locale=locale,
        )
        took_ms = (wiring.clock.monotonic() - started) * 1000
    if as_json:
        print_json({**asdict(decision), "took_ms": round(took_ms, 3)})
    else:
        answers.show_decision(decision, action, took_ms, dry_run=dry_run)
    if exit_code:
        raise typer.Exit(EXIT_CODES[decision.outcome])


def caller(
    ctx: typer.Context,
    *,
    phone: Annotated[
        str,
        typer.Argument(metavar="PHONE", help="The number in E.164 form, such as +447700900123; '-' reads it from stdin."),
    ],
    purpose: Annotated[
        str, typer.Option("--purpose", metavar="NAME", help="What you ask for, as the agreement names it.")
    ] = _CALLER_PURPOSE,
    target: options.Target = None,
    key: options.Key = None,
    partner: options.As = None,
    home: options.Home = None,
    tls_ca: options.TlsCa = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    timeout: options.Timeout = 5.0,
    as_json: options.Json = False,
) -> None:
    """Ask what may be shown of a caller."""
    wiring = wiring_of(ctx)
    number = asking.phone(phone)
    tls = asking.tls_of(tls_ca, tls_cert, tls_key)
    address, api_key = asking.whom(wiring, target=target, key=key, partner=partner, home=home, purpose=purpose, tls=tls)
    with asking.client(wiring, address, api_key, timeout, as_json=as_json, tls=tls) as client:
        started = wiring.clock.monotonic()
        answer = client.lookup_caller(number, purpose=purpose)
        took_ms = (wiring.clock.monotonic() - started) * 1000
    if as_json:
        print_json({**asdict(answer), "took_ms": round(took_ms, 3)})
    else:
        answers.show_caller(answer, took_ms)
