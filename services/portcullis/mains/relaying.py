"""The relay, joined to its streams, its logs and its ways out; and the answers to its receivers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import NamedTuple

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from portcullis.adapters.http_delivery import HttpDelivery
from portcullis.adapters.line_files import DurableLines
from portcullis.adapters.set_signing import FileSigner, ensure_set_key
from portcullis.adapters.sql.relay.relay import SqlRelay
from portcullis.adapters.sql.relay.source import SqlReportedEvents
from portcullis.config import Settings
from portcullis.domain.errors import SetupFault
from portcullis.exchange.relay.delivering import Deliveries
from portcullis.exchange.relay.desk import Streams
from portcullis.exchange.relay.envelopes import Envelopes
from portcullis.exchange.relay.http_app import relay_app
from portcullis.exchange.relay.polling import Polls
from portcullis.exchange.relay.receivers import Receivers
from portcullis.exchange.relay.relay import Relay
from portcullis.exchange.relay.sources import AuthoritySource, PartnerSource, Source
from portcullis.mains.held_connections import HeldConnection
from portcullis.mains.keys import RECORD_KEY, read_key
from portcullis.mains.parts import open_feed, open_subjects
from portcullis.metrics.relay import RelayMetrics
from portcullis.ports import Clock, KnownPolicy
from portcullis.ports.relay import Side

_DRAIN_S = 3


class OpenStreams(NamedTuple):
    """The streams of a journal, and the logs that they carry."""

    store: SqlRelay
    sources: Mapping[Side, Source]
    desk: Streams


@contextmanager
def open_streams(settings: Settings, *, known: KnownPolicy, clock: Clock) -> Iterator[OpenStreams]:
    """Open the streams, in the journal's database, which must be migrated.

    Args:
        settings: name the database and the keys.
        known: what is known of the policy; looked at anew for whatever is read.
        clock: wall and monotonic time.

    Raises:
        SetupFault: a key is missing, or the database's URL can't be used.
    """
    url, key = settings.journal_database_url, read_key(settings.keys_path, RECORD_KEY)
    with (
        closing(SqlRelay(url, seal_key=key)) as store,
        closing(SqlReportedEvents(url, seal_key=key)) as reported,
        open_feed(settings) as feed,
    ):
        sources: dict[Side, Source] = {
            Side.PARTNER: PartnerSource(feed, known=known, names=open_subjects(settings), clock=clock),
            Side.AUTHORITY: AuthoritySource(reported, known=known),
        }
        yield OpenStreams(store, sources, Streams(store, sources=sources, clock=clock))


class OpenRelay(NamedTuple):
    """The relay, and the application that answers its receivers."""

    relay: Relay
    app: FastAPI


def open_relay(
    settings: Settings,
    streams: OpenStreams,
    *,
    partner_of: Callable[[str], str | None],
    clock: Clock,
    metrics: CollectorRegistry,
) -> OpenRelay:
    """Build the relay of this process; its signing key is made where it is missing.

    Raises:
        SetupFault: the key file can't be read or made, or the issuer is no URL for one.
    """
    ensure_set_key(settings.keys_path)
    signer = FileSigner(settings.keys_path)
    issuer, counts = settings.relay_issuer_url, RelayMetrics(metrics)
    store, sources = streams.store, streams.sources
    envelopes = Envelopes(signer, names=open_subjects(settings), issuer=issuer, clock=clock)
    relay = Relay(
        store,
        sources=sources,
        envelopes=envelopes,
        deliveries=Deliveries(store, poster=HttpDelivery(), files=DurableLines()),
        clock=clock,
        metrics=counts,
        owner=f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}",
    )
    app = relay_app(
        issuer=issuer,
        signer=signer,
        receivers=Receivers(streams.desk, store=store, sources=sources, partner_of=partner_of, clock=clock),
        polls=Polls(store, sources=sources, envelopes=envelopes, clock=clock, metrics=counts),
    )
    return OpenRelay(relay, app)


def receivers_server(settings: Settings, app: FastAPI) -> Callable[[threading.Event], None]:
    """Take the relay's port, and give the work that answers receivers on it until told to stop.

    Raises:
        SetupFault: the port is taken.
    """
    address = (settings.relay_host, settings.relay_port)
    try:
        listening = socket.create_server(address)
    except OSError as fault:
        raise SetupFault(
            f"the relay can't listen on {address[0]}:{address[1]} ({fault.strerror}); choose another PORTCULLIS_RELAY_PORT"
        ) from fault
    # Its own logs would name who polls; what matters is counted.
    config = uvicorn.Config(
        app,
        http=HeldConnection,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_DRAIN_S,
    )

    def work(stop: threading.Event) -> None:
        server = uvicorn.Server(config)

        def end() -> None:
            stop.wait()
            server.should_exit = True

        threading.Thread(target=end, name="portcullis-relay-end", daemon=True).start()
        server.run(sockets=[listening])

    return work
