from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tuf.api.metadata import Metadata

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.tuf.expiries import trusted_expiries, trusted_root_version
from portcullis.adapters.tuf.repository import TufRepository
from tests.support.clocks import HandClock
from tests.support.signed_snapshots import make_keys, make_trusted, publish_snapshot


def test_the_expiry_of_every_role_is_read_from_what_a_follower_trusts(tmp_path: Path) -> None:
    clock, store, folder = HandClock(), MemorySnapshotStore(), tmp_path / "trusted"
    keys = make_keys(tmp_path / "trust", "court", clock=clock)
    repository = TufRepository(tmp_path / "repository", keys, clock)
    publish_snapshot(repository, store, 1, now=clock.now())
    trusted = make_trusted(folder, store, keys, clock)
    trusted.look()
    for name in ("head/head.json", "lists/court/manifest.json"):
        trusted.read(name, 1000)
    signed = {
        name.removesuffix(".json").rpartition(".")[2]: Metadata.from_bytes(data).signed.expires.timestamp()
        for name, data in repository.publication().metadata.items()
    }

    assert {"root", "targets", "snapshot", "timestamp", "head", "list-court"} == signed.keys()
    assert signed == trusted_expiries(folder)
    assert (1, 1) == (trusted_root_version(folder), trusted.root_version())


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").write_text('{"signed": {"expires": "tomorrow"}}')
    (tmp_path / "timestamp.json").write_bytes(b"\xff{")
    (tmp_path / "head.json").write_text('{"signed": {"expires": "2026-12-01T00:00:00Z"}}')
    with suppress(OSError):
        (tmp_path / "targets.json").symlink_to(tmp_path / "nothing")

    assert {"head": 1_796_083_200.0} == trusted_expiries(tmp_path)
    assert {} == trusted_expiries(tmp_path / "not-there")
    assert trusted_root_version(tmp_path) is None
