"""``portcullis run``, ``serve`` and ``publish``: the parts, together, alone or once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from portcullis.cli import options
from portcullis.cli.output import print_json, print_line
from portcullis.cli.wiring import wiring_of


class Part(StrEnum):
    """What `serve` can run."""

    GATEWAY = "gateway"
    FOLLOWER = "follower"
    PUBLISHER = "publisher"
    SHIPPER = "shipper"
    EXCHANGE = "exchange"
    REGISTRY = "registry"


class Transport(StrEnum):
    """Which gRPC server carries the calls."""

    GRPCIO = "grpcio"
    NATIVE = "native"


_GrpcPort = Annotated[
    int | None,
    typer.Option(
        "--grpc-port", metavar="PORT", min=0, max=65535, help="The gRPC port; 0 takes a free one.", show_default=False
    ),
]
_HttpPort = Annotated[
    int | None,
    typer.Option(
        "--http-port",
        metavar="PORT",
        min=0,
        max=65535,
        help="The port of health and metrics; 0 takes a free one.",
        show_default=False,
    ),
]
_Transport = Annotated[
    Transport | None, typer.Option("--transport", help="Which gRPC server carries the calls.", show_default=False)
]


def run(
    ctx: typer.Context,
    *,
    empty: Annotated[bool, typer.Option("--empty", help="Load no demonstration lists, partners or keys.")] = False,
    transport: _Transport = None,
    grpc_port: _GrpcPort = None,
    http_port: _HttpPort = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="NUMBER", min=1, max=64, help="How many gateway processes.", show_default=False),
    ] = None,
    home: options.Home = None,
) -> None:
    """Start the whole stack on this machine; Ctrl-C drains and ends it.

    What no option gives comes from the PORTCULLIS_* variables.
    """
    wiring = wiring_of(ctx)
    settings = wiring.settings(
        home=home, transport=transport and transport.value, grpc_port=grpc_port, http_port=http_port, workers=workers
    )
    raise typer.Exit(wiring.run(settings, empty=empty))


def serve(
    ctx: typer.Context,
    *,
    part: Annotated[Part, typer.Argument(metavar="PART", help="The part; in production each is a process of its own.")],
    transport: _Transport = None,
    grpc_port: _GrpcPort = None,
    http_port: _HttpPort = None,
    home: options.Home = None,
) -> None:
    """Run one part as a process of its own, until SIGTERM or Ctrl-C.

    What no option gives comes from the PORTCULLIS_* variables.
    """
    wiring = wiring_of(ctx)
    settings = wiring.settings(home=home, transport=transport and transport.value, grpc_port=grpc_port, http_port=http_port)
    raise typer.Exit(wiring.serve(part.value, settings))


def publish(ctx: typer.Context, *, home: options.Home = None, as_json: options.Json = False) -> None:
    """Publish what the registry holds now, and print the snapshot's version.

    A running publisher does this by itself whenever something changes; then this waits until it has.
    """
    wiring = wiring_of(ctx)
    version = wiring.publish(wiring.settings(home=home))
    if as_json:
        print_json({"version": str(version)})
    else:
        print_line(f"published snapshot {version}")
