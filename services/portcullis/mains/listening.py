"""Ports: found free before anything starts, and kept free for the workers.

A gRPC server binds with SO_REUSEPORT, so two stacks of one user could share a port unnoticed. A plain bind tells whether
anyone is there; a bound socket that never listens then keeps strangers off the port while the workers come and go.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from pathlib import Path

from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.mains.homes import run_folder

_ANY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
_HOLDERS_LOOKED_AT = 4096
_MAX_SOCKET_PATH_BYTES = 100


def reserve_port(host: str, port: int, option: str) -> socket.socket:
    """Bind a port for workers that will listen with SO_REUSEPORT; port 0 takes a free one.

    Args:
        host: the address to bind.
        port: the port, or 0.
        option: the command line's option that chooses the port, for the error's text.

    Returns:
        The reservation: keep it open as long as the port is wanted; ``getsockname()[1]`` is the port.

    Raises:
        SetupFault: the port is taken, or the address is not this machine's.
    """
    family, address = _resolve(host, port, option)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Without this, connections in TIME_WAIT from an earlier run would count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(probe, address, option)
        chosen = probe.getsockname()[:2]
    # Without SO_REUSEADDR first: between two sockets that have it and don't listen, a probe would see no conflict. But a
    # port on which connections of a dead server still time out can't be had without it.
    try:
        return _reserved(family, chosen, option, reuse_address=False)
    except SetupFault:
        if holder_of(chosen[1]):
            raise
        return _reserved(family, chosen, option, reuse_address=True)


def _reserved(family: int, address: tuple[str, int], option: str, *, reuse_address: bool) -> socket.socket:
    reservation = socket.socket(family, socket.SOCK_STREAM)
    try:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if reuse_address:
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(reservation, address, option)
    except BaseException:
        reservation.close()
        raise
    return reservation


def taken(host: str, port: int, option: str) -> SetupFault:
    """Build the error of a taken port; it names who holds it where that can be seen."""
    holder = holder_of(port)
    by = f" by {holder}" if holder else ""
    return SetupFault(
        f"port {port} of {host} is taken{by}; stop that, or choose another with {option} PORT ({option} 0 takes a free one)"
    )


def dialled(host: str, port: int) -> str:
    """Give the target by which a client of this machine reaches a listening address."""
    reachable = _ANY.get(host, host)
    return f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"


def health_socket_path(home: Path) -> Path:
    """Give the place of that socket (`health_socket`); it is there while a stack with TLS runs."""
    return run_folder(home.absolute()) / "gateway.sock"


def health_socket(settings: Settings) -> str:
    """Name the Unix socket by which the embedded stack sees how its gateways are where their port speaks TLS; else "".

    It lies in the home's own run folder, which is closed to others. The worker that began last listens on it.

    Raises:
        SetupFault: its path is too long for a socket.
    """
    if settings.tls_cert is None:
        return ""
    path = str(health_socket_path(settings.home))
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise SetupFault(f"the home's path is too long for a socket ({path}); choose a shorter one with --home")
    return path


def holder_of(port: int) -> str:
    """Name the process that listens on a TCP port, as "process 12 (name)"; empty where that can't be seen."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listening_inodes(Path("/proc/net") / table, port)}
    if not inodes:
        return ""
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in list(Path("/proc").glob("[0-9]*"))[:_HOLDERS_LOOKED_AT]:
        if _has_any(process / "fd", links):
            return f"process {process.name} ({_name_of(process)})"
    return ""


def _resolve(host: str, port: int, option: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
    except OSError as fault:
        variable = "PORTCULLIS_" + option.strip("-").replace("-port", "_host").upper()
        raise SetupFault(f"the address {host} can't be resolved ({fault.strerror}); mend {variable}") from fault
    return family, (str(address[0]), int(address[1]))


def _bind(sock: socket.socket, address: tuple[str, int], option: str) -> None:
    host, port = address
    try:
        sock.bind(address)
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            raise taken(host, port, option) from fault
        raise SetupFault(
            f"port {port} of {host} can't be bound ({fault.strerror}); choose another with {option} PORT"
        ) from fault


def _listening_inodes(table: Path, port: int) -> list[str]:
    listening = re.compile(rf"^\s*\d+: [0-9A-F]+:{port:04X} [0-9A-F:]+ 0A (?:\S+ ){{3}}\s*\d+\s+\d+\s+(\d+)", re.MULTILINE)
    try:
        return listening.findall(table.read_text())
    except OSError:
        return []


def _has_any(descriptors: Path, links: set[str]) -> bool:
    try:
        return any(str(each.readlink()) in links for each in descriptors.iterdir())
    except OSError:
        return False


def _name_of(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "?"
