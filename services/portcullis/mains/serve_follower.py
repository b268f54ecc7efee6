"""The follower as a process: this host's replica follows the store."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.adapters.tuf.expiries import trusted_expiries
from portcullis.adapters.tuf.trusted import TufTrustedSnapshots
from portcullis.config import Settings
from portcullis.domain.errors import Refusal, SetupFault
from portcullis.gateway.follower import Follower
from portcullis.gateway.following.acknowledging import Acknowledger
from portcullis.mains.background import Background
from portcullis.mains.readiness import Check
from portcullis.mains.stack_file import locate_store
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_signals
from portcullis.mains.store_health import store_fault
from portcullis.mains.token_keys import FolderTokenKeys
from portcullis.metrics import FollowerMetrics

TRUST_FOLDER = "trust"
"""Where a replica keeps the metadata that was trusted last."""

_ACKNOWLEDGED_WITHIN_S = 1.0
"""Bounds what stopping waits for."""


def run_follower(settings: Settings) -> None:
    """Follow until told to stop.

    Raises:
        SetupFault: no store or root file is there, another follower writes this replica, its folder can't be written, or
            the HTTP port is taken.
    """
    url = locate_store(settings)
    root = read_trusted_root(settings.trusted_root_path)
    clock = SystemClock()
    metrics = CollectorRegistry()
    with (
        stop_signals() as signals,
        closing(RedisSnapshotStore(url)) as store,
        closing(RedisSnapshotStore(url, timeout_s=_ACKNOWLEDGED_WITHIN_S)) as acknowledged,
        # First of all that is in the folder: it keeps a second follower out.
        closing(LmdbReplicaWriter(settings.replica_path, clock)) as replica,
    ):
        trust = settings.replica_path / TRUST_FOLDER
        keys = FolderTokenKeys(settings.keys_path)
        acknowledger = Acknowledger(acknowledged, host=socket.gethostname(), clock=clock, token_keys=keys)
        follower = Follower(
            store=store,
            trusted=TufTrustedSnapshots(store, trust, root, clock),
            replica=replica,
            clock=clock,
            counts=FollowerMetrics(
                metrics, reasons=[each.value for each in Refusal], expiries=lambda: trusted_expiries(trust)
            ),
            follow_interval_s=settings.follow_interval_s,
            note_held=acknowledger.note,
            token_keys=keys,
        )
        checks = [
            Check("replica", lambda: None if replica.held() else "no snapshot yet"),
            Check("token-key", lambda: follower.key_fault or None, vital=False),
            Check("store", lambda: store_fault(url), vital=False),
        ]
        with status(settings, metrics, checks), Background() as background:
            background.run("acknowledging", acknowledger.run)
            follower.run(signals.event)


def read_trusted_root(file: Path) -> bytes:
    """Give the root file that a follower begins to trust from.

    Raises:
        SetupFault: it is not there, or can't be read.
    """
    try:
        return file.read_bytes()
    except OSError as fault:
        raise SetupFault(
            f"the root file {file.absolute()} can't be read ({fault.strerror}), and nothing is trusted without it; "
            "copy 1.root.json from the trust folder with the publisher's key files, or set PORTCULLIS_TRUSTED_ROOT"
        ) from fault
