"""The shipped Envoy configuration before a gateway, without TLS, so that the drivers of these benchmarks can speak to it."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import LOAD_CPU, pinned
from tests.support.envoys import running_envoy, shipped

PATIENCE_S = 20.0


def is_installed() -> bool:
    """Say whether there is an Envoy to run."""
    return importlib.util.find_spec("envoy") is not None


@contextmanager
def envoy_before(address: str, folder: Path) -> Iterator[str]:
    """Run Envoy before the gateway at an address; gives Envoy's. It shares the load's processor.

    Raises:
        RuntimeError: Envoy does not find the gateway healthy.
    """
    folder.mkdir(exist_ok=True)
    configuration = shipped(int(address.rpartition(":")[2]), folder)
    (listener,) = configuration["static_resources"]["listeners"]
    for chain in listener["filter_chains"]:
        del chain["transport_socket"]
    with pinned(LOAD_CPU), running_envoy(folder, configuration) as envoy:
        deadline = time.monotonic() + PATIENCE_S
        while not envoy.count("cluster.gateway.membership_healthy"):
            if time.monotonic() > deadline:
                raise RuntimeError("Envoy does not find the gateway healthy")
            time.sleep(0.05)
        yield f"127.0.0.1:{envoy.port}"
