"""A gateway worker as a process of its own, whose memory and descriptors can be looked at while it is attacked.

Run as a module it serves the policy of `tests.support.tls_gateways` from memory, prints its port, and ends when its standard
input does. Its arguments are settings as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.stack import ROOT, clean_environment


class AttackedGateway:
    """A running gateway process and what it takes of the machine."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def memory_mib(self) -> float:
        """The resident memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def descriptors(self) -> int:
        """How many descriptors are open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def cpu_s(self) -> float:
        """Processor time taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def is_alive(self) -> bool:
        return self.process.poll() is None


@contextmanager
def attacked_gateway(log: Path, **settings: Any) -> Iterator[AttackedGateway]:
    """Run a gateway with these settings while the context lasts; what it logs goes to ``log``."""
    command = [sys.executable, "-m", "tests.support.attacked_gateway", json.dumps(settings)]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment(PYTHONPATH=f"{ROOT}:{ROOT / 'services'}"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("port "), log.read_text()
        yield AttackedGateway(process, int(line.split()[1]))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


async def _serve(given: dict[str, Any]) -> None:
    import msgspec
    from prometheus_client import CollectorRegistry

    from portcullis.adapters.clock import SystemClock
    from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
    from portcullis.config import Settings
    from portcullis.domain.quotas import UNLIMITED
    from portcullis.gateway.server import Gateway
    from portcullis.metrics import CheckTally
    from tests.support.gateways import SUBJECTS, TOKENISER, ScriptedSpool, credential, edition_of, installed
    from tests.support.tls_gateways import KEYS, the_policy

    clock = SystemClock()
    writer = MemoryReplicaWriter(clock)
    keys = tuple(credential(key, name) for name, key in KEYS.items())
    # Without quotas, so that what bounds an attack is the transport.
    policy = the_policy()
    partners = tuple(msgspec.structs.replace(each, quota=UNLIMITED) for each in policy.partners)
    policy = msgspec.structs.replace(policy, partners=partners)
    installed(writer, edition_of(1, policy, {}, credentials=keys), {})
    gateway = Gateway(
        settings=Settings(**{"grpc_port": 0, "drain_s": 0.2, **given}),
        replica=MemoryReplica(writer, clock),
        spool=ScriptedSpool(),
        tokeniser=TOKENISER,
        subjects=SUBJECTS,
        clock=clock,
        tally=CheckTally(CollectorRegistry()),
    )
    async with gateway.running() as port:
        assert gateway.serving()
        print(f"port {port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(json.loads(sys.argv[1])))
