"""Quotas of a process: what it needs to agree with others."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.config import Settings
from portcullis.gateway.quotas.gates import Gates
from portcullis.mains.keys import FEED_KEY
from portcullis.mains.quotas import open_quota_sharing


async def test_workers_agree_after_the_first_token_key_was_retired(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / FEED_KEY).write_text("5a" * 32)
    settings = Settings(home=tmp_path, keys_dir=tmp_path / "keys")
    sharing = open_quota_sharing(settings, Gates(), clock=SystemClock(), metrics=CollectorRegistry())
    async with sharing.running():
        assert (tmp_path / "quotas" / "data.mdb").exists()
