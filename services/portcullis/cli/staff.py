"""What the commands of those who keep lists and look into disputes share: whose key, which server, and what is shown.

Each of these commands asks the running registry over gRPC with the key of one person, so that roles and four eyes count on
the command line as they do anywhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from portcullis.cli import options
from portcullis.cli.asking import asked, stored_key, tls_of
from portcullis.cli.messages import show_message
from portcullis.cli.output import print_json
from portcullis.cli.wiring import Wiring, wiring_of

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpc import UnaryUnaryMultiCallable

    from portcullis.client.operating import StaffClient

Request = TypeVar("Request", bound="Message")
Response = TypeVar("Response", bound="Message")

OPERATOR_KEY = "operator-key"
PEOPLE_KEYS = "demo-people-keys.json"

EntryName = Annotated[str, typer.Argument(metavar="LIST/KEY", help="The entry: its list and its key there.")]
CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The case, as `case list` shows it.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        callback=options.secret,
        envvar="PORTCULLIS_API_KEY",
        help="Your API key, or @FILE, a file that holds it. Prefer that: others can see arguments and variables.",
        show_default=False,
    ),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Use this person's key from demo-people-keys.json of the home: editor, approver, reviewer or auditor.",
        show_default=False,
    ),
]
Why = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="Why, kept with the step; no personal data.", show_default=False)
]
Document = Annotated[
    str,
    typer.Option(
        "--document", metavar="REFERENCE", help="The reference of the document that it rests on.", show_default=False
    ),
]
Expected = Annotated[
    int,
    typer.Option(
        "--expected-version",
        metavar="NUMBER",
        min=0,
        help="The version that you have seen; another one present is refused. Without it, whatever stands.",
        show_default=False,
    ),
]
LookedAt = Annotated[
    int,
    typer.Option(
        "--expected-version",
        metavar="NUMBER",
        min=1,
        help="The version that you have looked at, as `entry proposals` shows it; another one present is refused.",
    ),
]
Purpose = Annotated[
    str,
    typer.Option("--purpose", metavar="TEXT", help="Why you look; the subject may read it.", show_default=False),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="The deadline of the call.")]
DEADLINE_S = 10.0


class Asked(NamedTuple):
    """Whom a command asks, with whose key, and how it shows the answer."""

    target: str | None
    home: Path | None
    timeout_s: float
    as_json: bool
    key: str | None = None
    name: str | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


def staff_command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command that acts with a person's key: its ``whom`` parameter becomes the options that say so."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        app.command(name)(with_options(command))
        return command

    return register


def subject_command(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command of a listed person, who has no key: its ``whom`` becomes the options that say whom it asks."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        app.command(name)(with_options(command, keyless=True))
        return command

    return register


def with_options(command: Callable[..., None], *, keyless: bool = False) -> Callable[..., None]:
    """Give a command the options that say whom it asks, and with whose key, in the place of its ``whom``.

    Args:
        command: the command.
        keyless: leave out the options that say with whose key, for whoever has none.
    """
    own = inspect.signature(command, eval_str=True)
    shared = [each for each in _WHOM if not (keyless and each.name in _WITH_KEY)]
    parameters = [*(each for each in own.parameters.values() if each.name != "whom"), *shared]
    given = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]

    @wraps(command)
    def run(**values: Any) -> None:
        whom = Asked(**{each.name: values.pop(each.name) for each in shared})
        command(whom=whom, **values)

    vars(run)["__signature__"] = inspect.Signature(given)  # what typer reads
    run.__annotations__ = {each.name: each.annotation for each in given}
    return run


def _option(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


_WHOM = (
    _option("target", options.Target, None),
    _option("key", Key, None),
    _option("name", As, None),
    _option("home", options.Home, None),
    _option("timeout_s", Timeout, DEADLINE_S),
    _option("as_json", options.Json, False),
    _option("tls_ca", options.TlsCa, None),
    _option("tls_cert", options.TlsCert, None),
    _option("tls_key", options.TlsKey, None),
)

_WITH_KEY = {"key", "name"}


def entry_of(name: str) -> tuple[str, str]:
    """Read ``LIST/KEY``.

    Raises:
        typer.BadParameter: it is not written so.
    """
    list_name, slash, key = name.partition("/")
    if not (list_name and slash and key):
        raise typer.BadParameter("an entry is written LIST/KEY, as carrier-misconduct/FM-2090-17", param_hint="LIST/KEY")
    return list_name, key


@contextmanager
def staff(ctx: typer.Context, whom: Asked, *, usual: str = "") -> Iterator[StaffClient]:
    """Open the connection of whoever acts.

    Args:
        ctx: the command's.
        whom: what its options say.
        usual: whose demonstration key is used where none is given; "" for the operator's.

    Raises:
        SetupFault: no key is given, and none stands in the home.
        ClientError: there is no answer.
    """
    wiring = wiring_of(ctx)
    settings = wiring.settings(home=whom.home)
    key = whom.key if whom.key and not whom.name else _own_key(settings.home, whom.name or usual)
    with connected(wiring, whom, key) as client:
        yield client


def ask(
    ctx: typer.Context,
    whom: Asked,
    method: Callable[[StaffClient], UnaryUnaryMultiCallable[Request, Response]],
    request: Request,
    *,
    usual: str = "",
    timeout_s: float | None = None,
) -> Response:
    """Call one method with the key of whoever acts; the rest is as in `staff`."""
    with staff(ctx, whom, usual=usual) as client:
        return client.call(method(client), request, timeout_s=timeout_s)


@contextmanager
def connected(wiring: Wiring, whom: Asked, key: str | None) -> Iterator[StaffClient]:
    """Open a connection with a key, or with none to begin a session.

    Raises:
        typer.BadParameter: the key can't be a key.
        ClientError: there is no answer.
    """
    tls = tls_of(whom.tls_ca, whom.tls_cert, whom.tls_key)
    target = whom.target or wiring.gateway_target(wiring.settings(home=whom.home), tls=tls is not None)
    try:
        client = wiring.staff_client(target, key, whom.timeout_s, tls)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--key") from None
    with client, asked(target, as_json=whom.as_json):
        yield client


def show(answer: Message, *, as_json: bool, text: Callable[[], object] | None = None) -> None:
    """Print an answer: as one JSON document, or for a reader, with ``text`` where its fields alone would not do."""
    if as_json:
        from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - would slow every command down

        print_json(MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
    elif text is not None:
        text()
    else:
        show_message(answer)


def _own_key(home: Path, name: str) -> str:
    file = home / OPERATOR_KEY
    if (not name or name == "operator") and file.is_file():
        return file.read_text(encoding="utf-8").strip()
    return stored_key(home / PEOPLE_KEYS, name or "operator")
