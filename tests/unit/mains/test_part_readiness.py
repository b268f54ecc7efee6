"""When a part says that it is ready, and when not yet."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from portcullis.config import Settings
from portcullis.gateway import operators, server
from portcullis.mains import serve_exchange, serve_gateway, serve_registry
from portcullis.mains.keys import ensure_keys
from tests.support.parts import free_port
from tests.support.stack import fetch


@pytest.mark.parametrize(
    ("part", "opener"), [(serve_registry, operators), (serve_exchange, operators), (serve_gateway, server)]
)
async def test_a_part_is_not_ready_before_its_port_is_open(
    part: ModuleType, opener: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        home=tmp_path, grpc_port=0, http_port=free_port(), drain_s=0.1, redis_url=f"redis://127.0.0.1:{free_port()}/0"
    )
    ensure_keys(settings.keys_path)
    opened, is_open = opener.serving, asyncio.Event()

    async def fails() -> bool:
        _, body = await asyncio.to_thread(fetch, f"127.0.0.1:{settings.http_port}", "/readyz")
        return "listening" in json.loads(body)["failing"]

    before: list[bool] = []

    @asynccontextmanager
    async def watched(*given: Any, **named: Any) -> AsyncIterator[Any]:
        before.append(await fails())
        async with opened(*given, **named) as what:
            is_open.set()
            yield what

    monkeypatch.setattr(opener, "serving", watched)
    async with asyncio.timeout(60):
        serving = asyncio.create_task(part._serve(settings))
        await asyncio.wait([serving, asyncio.create_task(is_open.wait())], return_when=asyncio.FIRST_COMPLETED)
        while not serving.done() and await fails():
            pass
        if not serving.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await serving
    assert [True] == before
