"""The embedded stack's processes and its status server, put together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from portcullis.config import Settings
from portcullis.mains import handing, lifeline
from portcullis.mains.children import ChildSpec
from portcullis.mains.environments import child_environment
from portcullis.mains.homes import run_folder
from portcullis.mains.http import StatusServer
from portcullis.mains.listening import dialled, health_socket, health_socket_path
from portcullis.mains.metric_files import discard_metric_folder, make_metric_folder
from portcullis.mains.readiness import Check, Readiness, readiness_of
from portcullis.mains.stack_file import StackFile, left_behind, remove_stack_file, write_stack_file
from portcullis.mains.store_health import store_fault
from portcullis.mains.supervisor import Supervisor
from portcullis.mains.valkey import discard_socket, path_of, socket_path, url_of, valkey_spec
from portcullis.metrics import StackMetrics

_STOP_MARGIN_S = 3.0
_HEALTH_DEADLINE_S = 0.5
_CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    # A worker that comes back is seen at once; by default the channel would wait for up to two minutes.
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
_log = structlog.get_logger(__name__)


class Stack:
    """Valkey, publisher, follower, exchange and gateway workers under one supervisor; for the main thread alone."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        """Bind the HTTP port and lay out the children; nothing is started yet.

        Args:
            settings: with an absolute home, and the gRPC port chosen.
            registry: where the parent's own metrics and the children's are served from.

        Raises:
            SetupFault: the HTTP port is taken, or there is no Valkey for this machine.
        """
        self.home = settings.home
        self._run = run_folder(settings.home)
        self._target = dialled(settings.grpc_host, settings.grpc_port)
        self._status = StatusServer(settings.http_host, settings.http_port, registry, self.readiness)
        self._settings = settings.model_copy(update={"http_port": self._status.port})
        self._lifeline, self._lifeline_held = os.pipe()
        asked = f"unix:{socket}" if (socket := health_socket(settings)) else self._target
        self._channel = grpc.insecure_channel(asked, options=_CHANNEL_OPTIONS)
        self._health = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        self._socket: Path | None = None
        self._clear_leftovers()
        self._metrics = make_metric_folder(self._run)
        stages = self._stages()
        MultiProcessCollector(registry, path=str(self._metrics))  # type: ignore[no-untyped-call]
        self._supervisor = Supervisor(
            stages,
            metrics=StackMetrics(registry),
            on_change=self._write_file,
            on_death=lambda pid: mark_process_dead(pid, path=str(self._metrics)),  # type: ignore[no-untyped-call]
        )

    def start(self) -> None:
        """Start the children and the status server."""
        self._supervisor.start()
        self._status.start()
        _log.info("health and metrics are served", http=self._http)

    def tend(self) -> None:
        """Start again what died."""
        self._supervisor.tend()

    def refused(self) -> list[str]:
        """Name the children that can't start as they are set up."""
        return self._supervisor.refused()

    def serving(self) -> bool:
        """Say whether the gateway answers and has a snapshot."""
        return self._gateway_fault() is None

    def readiness(self) -> Readiness:
        """Sum up the checks. Only the gateway is vital: it answers from its replica without the others."""
        supervisor = self._supervisor
        parts = [
            Check(name, lambda name=name: None if supervisor.is_up(name) else "not running", vital=False)  # type: ignore[misc]
            for name in ("publisher", "follower", "exchange")
        ]
        return readiness_of(
            [
                Check("gateway", self._gateway_fault),
                *parts,
                Check("store", lambda: store_fault(self._redis_url), vital=False),
            ]
        )

    def stop(self, hurry: Callable[[], bool]) -> None:
        """End the children in order: the gateways drain first, Valkey goes last."""
        self._supervisor.stop(hurry)

    def close(self) -> None:
        """Give up the ports, files and descriptors of a stack whose children are gone."""
        self._status.close()
        self._channel.close()
        for descriptor in (self._lifeline, self._lifeline_held, self._handed):
            os.close(descriptor)
        if self._socket is not None:
            discard_socket(self._socket)
        health_socket_path(self.home).unlink(missing_ok=True)
        remove_stack_file(self.home)
        discard_metric_folder(self._metrics)

    @property
    def valkey_log(self) -> Path | None:
        """Where the embedded Valkey writes what it has to say; None where another server is used."""
        return self._run / "valkey.log" if self._socket is not None else None

    @property
    def _http(self) -> str:
        return dialled(self._settings.http_host, self._settings.http_port)

    @property
    def _redis_url(self) -> str:
        return self._settings.redis_url

    def _clear_leftovers(self) -> None:
        """Remove what a stack that was killed left behind."""
        before = left_behind(self.home)
        if before is not None and (lost := path_of(before.redis_url, self._run)):
            discard_socket(lost)
        if before is not None and before.metrics:
            discard_metric_folder(Path(before.metrics))
        discard_metric_folder(self._run / "metrics")
        health_socket_path(self.home).unlink(missing_ok=True)
        remove_stack_file(self.home)

    def _stages(self) -> list[list[ChildSpec]]:
        stages = []
        if not self._settings.redis_url:
            self._socket = socket_path(self._run)
            self._settings = self._settings.model_copy(update={"redis_url": url_of(self._socket)})
            stages.append([valkey_spec(self._socket, self._run)])
        self._handed = handing.hand_over(self._settings, self._run)
        workers = self._settings.workers
        names = ["gateway"] if workers == 1 else [f"gateway-{number}" for number in range(1, workers + 1)]
        return [
            *stages,
            [self._part("publisher", "publisher")],
            [self._part("follower", "follower")],
            [self._part("exchange", "exchange")],
            [self._part(name, "gateway") for name in names],
        ]

    def _part(self, name: str, part: str) -> ChildSpec:
        extra = {
            lifeline.VARIABLE: str(self._lifeline),
            handing.VARIABLE: str(self._handed),
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics),
            "PYTHONUNBUFFERED": "1",
        }
        return ChildSpec(
            name=name,
            argv=(sys.executable, "-P", "-m", "portcullis", "serve", part),
            environment=child_environment(extra),
            keep=(self._lifeline, self._handed),
            stop_s=self._settings.drain_s + _STOP_MARGIN_S,
        )

    def _gateway_fault(self) -> str | None:
        try:
            answer = self._health(health_pb2.HealthCheckRequest(), timeout=_HEALTH_DEADLINE_S)
        except grpc.RpcError:
            return "no answer"
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return None
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def _write_file(self, children: dict[str, int]) -> None:
        stack = StackFile(
            pid=os.getpid(),
            grpc=self._target,
            http=self._http,
            transport=self._settings.transport,
            redis_url=self._redis_url,
            children=children,
            metrics=str(self._metrics),
        )
        try:
            write_stack_file(self.home, stack)
        except OSError as fault:
            # A full disk must not end what still answers; only the other commands of this home miss the file.
            _log.error("run/stack.json can't be written", fault=fault.strerror)
